package e2e

import (
	"strings"
	"testing"
	"time"

	"github.com/queuemill/queuemill/internal/httpapi"
	"github.com/queuemill/queuemill/internal/install"
	"github.com/queuemill/queuemill/internal/reason"
	"github.com/queuemill/queuemill/internal/record"
)

// A failure is one way for a job to go wrong and what `describe` then says.
type failure struct {
	name   string
	job    string // of the Job's spec, YAML in braces
	state  record.State
	reason reason.Reason
	detail string // part of it
	log    string // a line that must be kept, also when the pods are gone
}

const never = "restartPolicy: Never, containers: "

var failures = []failure{
	{
		name:  "wrong-command",
		job:   `{backoffLimit: 0, template: {spec: {` + never + `[{name: main, image: BUSYBOX, command: [/no/such/program]}]}}}`,
		state: record.Failed, reason: reason.StartError, detail: "/no/such/program",
	},
	{
		name:  "exit-three",
		job:   `{backoffLimit: 0, template: {spec: {` + never + `[{name: main, image: BUSYBOX, command: [sh, -c, "echo the printer is on fire; exit 3"]}]}}}`,
		state: record.Failed, reason: reason.NonZeroExit, detail: "exit code 3", log: "the printer is on fire",
	},
	{
		name: "out-of-memory",
		job: `{backoffLimit: 0, template: {spec: {` + never + `[{name: main, image: BUSYBOX, resources: {limits: {memory: 24Mi}},
			command: [sh, -c, "echo reading it all; x=aaaaaaaaaaaaaaaa; while :; do x=$x$x; done"]}]}}}`,
		state: record.Failed, reason: reason.OutOfMemory, detail: "memory", log: "reading it all",
	},
	{
		name:  "deadline",
		job:   `{activeDeadlineSeconds: 3, backoffLimit: 0, template: {spec: {terminationGracePeriodSeconds: 1, ` + never + `[{name: main, image: BUSYBOX, command: [sleep, "600"]}]}}}`,
		state: record.Failed, reason: reason.DeadlineExceeded, detail: "activeDeadlineSeconds",
	},
	{
		name:  "wrong-image",
		job:   `{backoffLimit: 0, template: {spec: {` + never + `[{name: main, image: "queuemill.test/no-such-image:1"}]}}}`,
		state: record.Queued, reason: reason.ImagePull, detail: "queuemill.test/no-such-image:1",
	},
	{
		name:  "unschedulable",
		job:   `{backoffLimit: 0, template: {spec: {nodeSelector: {disk: none-has-this}, ` + never + `[{name: main, image: BUSYBOX}]}}}`,
		state: record.Queued, reason: reason.Unschedulable, detail: "node",
	},
	{
		name: "missing-secret",
		job: `{backoffLimit: 0, template: {spec: {` + never + `[{name: main, image: BUSYBOX,
			env: [{name: PASSWORD, valueFrom: {secretKeyRef: {name: no-such-secret, key: password}}}]}]}}}`,
		state: record.Queued, reason: reason.ConfigMissing, detail: `secret "no-such-secret" not found`,
	},
	{
		name: "missing-volume",
		job: `{backoffLimit: 0, template: {spec: {volumes: [{name: data, persistentVolumeClaim: {claimName: no-such-claim}}],
			` + never + `[{name: main, image: BUSYBOX, volumeMounts: [{name: data, mountPath: /data}]}]}}}`,
		state: record.Queued, reason: reason.VolumeMissing, detail: `"no-such-claim" not found`,
	},
}

func describeSaysWhyAJobFailed(t *testing.T, s *system) {
	for _, f := range failures {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			f.happens(t, s)
		})
	}
}

// happens sends one message and looks at its record, and again when its pods are
// gone. How long the reason took is in the log.
func (f *failure) happens(t *testing.T, s *system) {
	queue := s.apply(t, f.name, "  kubernetes: {jobTemplate: {spec: "+strings.ReplaceAll(f.job, "\n", " ")+"}}")
	id := s.Send(t, queue, "{}")
	s.await(t, id, "its Job", func(j httpapi.Job) bool { return j.Name != "" })
	began := time.Now()
	// Until the leader has gathered it, a failed Job says no more than that it failed.
	j := s.await(t, id, "the reason", func(j httpapi.Job) bool {
		return j.State == f.state && j.Cause != nil && j.Cause.Reason == f.reason
	})
	t.Logf("%s with its reason %v after its Job", f.state, time.Since(began).Round(100*time.Millisecond))
	f.check(t, s, j)

	if f.state == record.Failed { // describe looks at the pods itself until the leader has
		s.Eventually(t, "the reason on the Job", func() bool {
			return s.Kubectl(t, "", "get", "job", "-n", ns, j.Name, "-o", `jsonpath={.metadata.annotations.queuemill\.dev/reason}`) != ""
		}, func() string { return s.Kubectl(t, "", "get", "job", "-n", ns, j.Name, "-o", "yaml") })
	}
	s.Kubectl(t, "", "delete", "pods", "-n", ns, "-l", "job-name="+j.Name, "--force", "--grace-period=0")
	if f.state == record.Failed {
		f.check(t, s, s.job(t, id))
	}
}

func (f *failure) check(t *testing.T, s *system, j httpapi.Job) {
	t.Helper()
	if j.Cause == nil || j.Cause.Reason != f.reason || !strings.Contains(j.Cause.Detail, f.detail) {
		t.Errorf("describe says %s, want %s with %q", asJSON(j.Cause), f.reason, f.detail)
	}
	text := s.Mill(t, 0, "describe", j.Name)
	if !strings.Contains(text, string(f.reason)) || !strings.Contains(text, f.detail) {
		t.Errorf("describe does not tell %s with %q:\n%s", f.reason, f.detail, text)
	}
	if !strings.Contains(text, f.log) {
		t.Errorf("describe does not keep the log %q:\n%s", f.log, text)
	}
}

// A person who deletes a running Job gets what its QueueJob's mode says: the
// message again, or nothing.
func aDeletedJobComesBackOrIsGone(t *testing.T, s *system) {
	const spec = `
  ack: MODE
  kubernetes: {jobTemplate: {spec: {backoffLimit: 0, template: {spec: {terminationGracePeriodSeconds: 1, restartPolicy: Never,
    containers: [{name: main, image: BUSYBOX, command: [sleep, "600"]}]}}}}}`
	t.Run("OnSuccess", func(t *testing.T) {
		t.Parallel()
		queue := s.NewQueue(t, "deleted-held", map[string]string{"VisibilityTimeout": "10"})
		s.applyOn(t, "deleted-held", queue, strings.Replace(spec, "MODE", "OnSuccess", 1))
		s.underOneLeader(t, func() {
			id := s.Send(t, queue, "{}")
			first := s.awaitRunning(t, id)
			s.Kubectl(t, "", "delete", "job", "-n", ns, first.Name)
			s.await(t, id, "the message to come back", func(j httpapi.Job) bool { return j.State == record.Running && j.UID != first.UID })
		})
		s.awaitEvent(t, "deleted-held", "deleted")
	})
	t.Run("OnCreate", func(t *testing.T) {
		t.Parallel()
		queue := s.apply(t, "deleted-acked", strings.Replace(spec, "MODE", "OnCreate", 1))
		s.underOneLeader(t, func() {
			id := s.Send(t, queue, "{}")
			j := s.awaitRunning(t, id)
			s.Kubectl(t, "", "delete", "job", "-n", ns, j.Name)
			s.await(t, id, "the record to be gone", func(j httpapi.Job) bool { return j.Name == "" })
			s.Mill(t, 5, "describe", j.Name)
		})
		s.awaitEvent(t, "deleted-acked", "deleted")
		if n := s.Depth(t, queue); n != 0 {
			t.Errorf("the queue holds %d messages, want none", n)
		}
	})
}

// underOneLeader does it until the leader is the same before and after: on a
// busy machine the lease may change hands, and a Job that is deleted while
// nobody leads was never seen to run by the next leader, who has no event to
// tell.
func (s *system) underOneLeader(t *testing.T, do func()) {
	t.Helper()
	leader := func() string {
		return s.Kubectl(t, "", "get", "lease", "-n", install.Namespace, install.Name, "-o", "jsonpath={.spec.holderIdentity} {.spec.leaseTransitions}")
	}
	for range 5 {
		before := leader()
		do()
		if leader() == before {
			return
		}
	}
	t.Fatal("the lease changed hands five times in a row")
}

func (s *system) awaitRunning(t *testing.T, id string) httpapi.Job {
	t.Helper()
	return s.await(t, id, "the job to run", func(j httpapi.Job) bool { return j.State == record.Running })
}

// awaitEvent waits for an event about the QueueJob whose note has text in it.
func (s *system) awaitEvent(t *testing.T, queueJob, text string) {
	t.Helper()
	var notes string
	s.Eventually(t, "an event that says "+text, func() bool {
		notes = s.Kubectl(t, "", "get", "events.events.k8s.io", "-n", ns, "-o", `jsonpath={range .items[?(@.regarding.name=="`+queueJob+`")]}{.reason}: {.note}{"\n"}{end}`)
		return strings.Contains(strings.ToLower(notes), text)
	}, func() string { return notes })
}
