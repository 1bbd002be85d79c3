package e2e

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/queuemill/queuemill/internal/httpapi"
	"github.com/queuemill/queuemill/test/cluster"
	"github.com/queuemill/queuemill/test/kubernetes/site"
)

const ns = site.Namespace // where the QueueJobs are

// system is the site with what is asked of its QueueJobs.
type system struct{ *site.Site }

// apply makes a queue of the QueueJob's name and applies the QueueJob, whose
// spec is YAML with QUEUE for the queue's URL and BUSYBOX for the image.
func (s *system) apply(t *testing.T, name, spec string) (queueURL string) {
	t.Helper()
	queueURL = s.NewQueue(t, name, nil)
	s.applyOn(t, name, queueURL, spec)
	return queueURL
}

func (s *system) applyOn(t *testing.T, name, queueURL, spec string) {
	t.Helper()
	spec = strings.NewReplacer("BUSYBOX", cluster.Busybox).Replace(strings.Trim(spec, "\n"))
	s.Kubectl(t, fmt.Sprintf("apiVersion: queuemill.dev/v1alpha1\nkind: QueueJob\nmetadata: {name: %s, namespace: %s}\nspec:\n  queue: {sqs: {url: %q}}\n%s\n",
		name, ns, queueURL, spec), "apply", "-f", "-")
}

// jobs are the records of a QueueJob as `kubectl queuemill jobs` lists them.
func (s *system) jobs(t *testing.T, args ...string) []httpapi.Job {
	t.Helper()
	var list struct {
		Jobs []httpapi.Job `json:"jobs"`
	}
	text := s.Mill(t, 0, append([]string{"jobs", "-o", "json"}, args...)...)
	if err := json.Unmarshal([]byte(text), &list); err != nil {
		t.Fatalf("jobs -o json: %v\n%s", err, text)
	}
	return list.Jobs
}

// job is the one record of a message as `describe` shows it, zero when there is
// none yet.
func (s *system) job(t *testing.T, messageID string) httpapi.Job {
	t.Helper()
	jobs := s.jobs(t, "--message-id", messageID)
	if len(jobs) > 1 {
		t.Fatalf("message %s has %d records", messageID, len(jobs))
	}
	if len(jobs) == 0 {
		return httpapi.Job{}
	}
	var j httpapi.Job
	text := s.Mill(t, 0, "describe", jobs[0].Name, "-o", "json")
	if err := json.Unmarshal([]byte(text), &j); err != nil {
		t.Fatalf("describe -o json: %v\n%s", err, text)
	}
	return j
}

// await returns the message's record once it is as wanted.
func (s *system) await(t *testing.T, messageID, what string, want func(httpapi.Job) bool) httpapi.Job {
	t.Helper()
	var j httpapi.Job
	s.Eventually(t, what, func() bool {
		j = s.job(t, messageID)
		return want(j)
	}, func() string { return asJSON(j) })
	return j
}

func asJSON(v any) string {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err.Error()
	}
	return string(b)
}

func decode(t *testing.T, text string, into any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), into); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
}
