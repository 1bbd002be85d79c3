package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/queuemill/queuemill/api/v1alpha1"
	"github.com/queuemill/queuemill/internal/httpapi"
	"github.com/queuemill/queuemill/internal/message"
	"github.com/queuemill/queuemill/internal/reason"
	"github.com/queuemill/queuemill/internal/record"
)

// controller answers like one whose world stands still.
func controller(t *testing.T) *httptest.Server {
	t.Helper()
	at := func(second int) time.Time { return time.Date(2026, 1, 2, 3, 4, second, 0, time.UTC) }
	two, zero := 2, 0
	failed := httpapi.Job{
		Name: "ping-bad0000000000000", UID: "1", QueueJob: "ping", Identity: "bad0", IdempotencyKey: "key-1", State: record.Failed,
		Cause: &reason.Cause{Reason: reason.NonZeroExit, Detail: "exit code 2"},
		Message: record.Message{
			ID: "m-1", Size: 22, SentAt: at(1),
			Attributes: map[string]message.Attribute{"tenant": {DataType: "String", StringValue: "acme"}},
		},
		Attempts: []record.Attempt{
			{Number: 1, StartedAt: at(2), FinishedAt: at(3), Signal: "SIGKILL", Cause: &reason.Cause{Reason: reason.Interrupted, Detail: "the controller went away"}},
			{Number: 2, StartedAt: at(4), FinishedAt: at(6), ExitCode: &two, Cause: &reason.Cause{Reason: reason.NonZeroExit, Detail: "exit code 2"}, PeakMemory: 3 << 20, LogSize: 10},
		},
	}
	good := httpapi.Job{
		Name: "ping-good000000000000", UID: "2", QueueJob: "ping", Identity: "good", IdempotencyKey: "key-2", State: record.Succeeded,
		Message: record.Message{ID: "m-2", Size: 2, SentAt: at(1)}, FinishedAt: at(9), Acked: true,
		Attempts: []record.Attempt{{Number: 1, StartedAt: at(8), FinishedAt: at(8).Add(250 * time.Millisecond), ExitCode: &zero}},
	}
	qj := httpapi.QueueJob{
		Name: "ping", Queue: "ping", Executor: "process", Ack: "OnCreate", MaxActive: 4,
		Jobs: httpapi.Counts{Succeeded: 1, Failed: 1},
		Conditions: []httpapi.Condition{
			{Type: "Ready", Reason: "SourceUnhealthy", Message: "the queue does not answer as it should"},
			{Type: "SourceHealthy", Reason: "Unreachable", Message: "receive: connection refused"},
		},
	}
	answers := map[string]any{
		"/v1/jobs":                       httpapi.JobList{Jobs: []httpapi.Job{failed, good}},
		"/v1/jobs/ping-bad0000000000000": failed,
		"/v1/queuejobs":                  httpapi.QueueJobList{QueueJobs: []httpapi.QueueJob{qj}},
		"/v1/queues/ping/messages": httpapi.PeekResult{CountsAsReceive: true, Messages: []httpapi.PeekedMessage{
			{ID: "m-3", Body: "{\n}", ReceiveCount: 1, GroupID: "g"},
		}},
		"/v1/status": httpapi.Status{
			Version: "test", StartedAt: at(0), QueueJobs: []httpapi.QueueJob{qj},
			WorkerPools: []httpapi.WorkerPool{{
				VisibilitySeconds: 60, Name: "thumbs", Queue: "images", RunsOn: "process", MaxWorkers: 10, Desired: 6, Workers: v1alpha1.WorkerCounts{Starting: 1, Ready: 5, Busy: 4},
				Messages: &v1alpha1.QueueCounts{Visible: 23, InFlight: 4},
				Decision: &v1alpha1.ScalingDecision{Desired: 6, Reason: "23 waiting + 4 running over 5 per worker wants 6", Time: metav1.NewMicroTime(at(0))},
			}},
			Queues: []httpapi.Queue{
				{Name: "far", URL: "https://sqs.example/1/far", Error: "access denied", QueueJobs: []string{}, WorkerPools: []string{}},
				{Name: "ping", Embedded: true, Visible: 12, InFlight: 1, Delayed: 2, OldestAgeSeconds: 200, DeadLetterQueue: "ping-dead", QueueJobs: []string{"ping"}, WorkerPools: []string{"thumbs"}},
			},
		},
	}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v1/jobs/ping-bad0000000000000/logs" {
			fmt.Fprint(w, "one\ntwo\n")
			return
		}
		answer, ok := answers[r.URL.Path]
		if !ok {
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(http.StatusNotFound)
			answer = httpapi.NewProblem(http.StatusNotFound, "there is no such thing", "look elsewhere")
		}
		if l, ok := answer.(httpapi.JobList); ok {
			l.Jobs = slices.DeleteFunc(slices.Clone(l.Jobs), func(j httpapi.Job) bool { return !strings.HasPrefix(j.Name, r.FormValue("prefix")) })
			answer = l
		}
		if j, ok := answer.(httpapi.Job); ok {
			j.Message.Body = `{"target": "nowhere"}`
			answer = j
		}
		if err := json.NewEncoder(w).Encode(answer); err != nil {
			t.Error(err)
		}
	}))
	t.Cleanup(s.Close)
	return s
}

func TestOutputIsAsReviewed(t *testing.T) {
	t.Setenv("TZ", "UTC")
	s := controller(t)
	var all strings.Builder
	for _, line := range []string{
		"jobs", "jobs -o wide", "jobs --no-headers", "jobs -o json", "jobs -o jsonl", "jobs -o yaml", "jobs -o name",
		"describe ping-bad", "describe ping-bad -o json", "describe ping-bad -o name", "describe none", "describe p",
		"logs ping-bad",
		"peek ping", "peek ping -o wide", "peek ping -o json", "peek other",
		"status", "status -o wide", "status -o json", "status -o name",
		"version -o name",
	} {
		var stdout, stderr bytes.Buffer
		args := append(strings.Fields(line), "--server", s.URL)
		if strings.HasPrefix(line, "version") {
			args = strings.Fields(line)
		}
		code := Main(args, Env{Stdin: strings.NewReader(""), Stdout: &stdout, Stderr: &stderr, Version: "test"})
		out := stdout.String()
		if agesOf.MatchString(out) { // and so do the widths of its columns
			out = blanks.ReplaceAllString(agesOf.ReplaceAllString(out, "(AGE ago)"), "  ")
		}
		fmt.Fprintf(&all, "$ queuemill %s\n%s", line, out)
		for said := range strings.Lines(stderr.String()) {
			fmt.Fprintf(&all, "stderr: %s", said)
		}
		fmt.Fprintf(&all, "exit code %d\n\n", code)
	}
	golden(t, "output.txt", strings.ReplaceAll(all.String(), s.URL, "URL"))
}

// agesOf is what depends on the day of the test.
var (
	agesOf = regexp.MustCompile(`\(\w+ ago\)`)
	blanks = regexp.MustCompile(`  +`)
)

func TestStatusSaysWhyNothingIsReceived(t *testing.T) {
	type conditions = []httpapi.Condition
	for want, qj := range map[string]httpapi.QueueJob{
		"Ready": {Conditions: conditions{{Type: "Ready", Status: true}, {Type: "SourceHealthy", Status: true}, {Type: "RecordsFull"}}},
		"Starting: looking at the records": {Conditions: conditions{
			{Type: "Ready", Reason: "Starting", Message: "looking at the records"}, {Type: "SourceHealthy", Status: true},
		}},
		"Suspended": {Suspended: true, Conditions: conditions{
			{Type: "Ready", Reason: "Suspended", Message: "nothing is received"}, {Type: "Suspended", Status: true},
		}},
		"RecordsFull: 2 of 2": {Conditions: conditions{
			{Type: "Ready", Reason: "RecordsFull"}, {Type: "RecordsFull", Status: true, Message: "2 of 2"},
		}},
		"not SourceHealthy: away": {Conditions: conditions{
			{Type: "Ready", Reason: "SourceUnhealthy"}, {Type: "SourceHealthy", Message: "away"},
		}},
	} {
		if got := conditionText(&qj); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
