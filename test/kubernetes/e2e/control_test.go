package e2e

import (
	"strings"
	"testing"

	"github.com/queuemill/queuemill/internal/httpapi"
	"github.com/queuemill/queuemill/internal/reason"
	"github.com/queuemill/queuemill/internal/record"
)

const sleeper = `{backoffLimit: 0, template: {spec: {terminationGracePeriodSeconds: 1, restartPolicy: Never,
    containers: [{name: main, image: BUSYBOX, command: [sleep, "600"]}]}}}`

// An Invalid record is a Job that names another controller as its own: the
// cluster's job controller, which is the real one here, makes no pod of it.
func invalidRecordsAreRunByNobody(t *testing.T, s *system) {
	queue := s.apply(t, "invalid", `
  message: {schema: {type: object, required: [number]}}
  kubernetes: {jobTemplate: {spec: {backoffLimit: 0, template: {spec: {restartPolicy: Never, containers: [{name: main, image: BUSYBOX, command: ["true"]}]}}}}}`)
	wrong := s.Send(t, queue, `{"letter": "n"}`)
	j := s.await(t, wrong, "the Invalid record", func(j httpapi.Job) bool { return j.State == record.Invalid })
	if j.Cause == nil || j.Cause.Reason != reason.SchemaMismatch {
		t.Errorf("its cause is %s, want %s", asJSON(j.Cause), reason.SchemaMismatch)
	}
	// A job sent later has run meanwhile: the job controller had its time.
	right := s.Send(t, queue, `{"number": 1}`)
	s.await(t, right, "the job behind it", func(j httpapi.Job) bool { return j.State == record.Succeeded })
	s.Kubectl(t, "", "get", "job", "-n", ns, j.Name)
	if pods := s.Kubectl(t, "", "get", "pods", "-n", ns, "-l", "job-name="+j.Name, "-o", "name"); pods != "" {
		t.Errorf("the Invalid record has pods: %s", pods)
	}
	if n := s.Depth(t, queue); n != 0 {
		t.Errorf("the queue holds %d messages, want none: an invalid one is acknowledged", n)
	}
}

// A Job that a quota system (Kueue) suspends waits as Queued and takes room.
func aSuspendedJobIsQueued(t *testing.T, s *system) {
	queue := s.apply(t, "quota", `
  kubernetes: {jobTemplate: {spec: {suspend: true, backoffLimit: 0, template: {spec: {restartPolicy: Never, containers: [{name: main, image: BUSYBOX, command: ["true"]}]}}}}}`)
	id := s.Send(t, queue, "{}")
	j := s.await(t, id, "its Job", func(j httpapi.Job) bool { return j.Name != "" })
	if j.State != record.Queued || j.Cause != nil {
		t.Errorf("it is %s for %s, want Queued without a cause", j.State, asJSON(j.Cause))
	}
	s.Kubectl(t, "", "patch", "job", "-n", ns, j.Name, "-p", `{"spec": {"suspend": false}}`)
	s.await(t, id, "it to succeed", func(j httpapi.Job) bool { return j.State == record.Succeeded })
}

func aSuspendedQueueJobReceivesNothing(t *testing.T, s *system) {
	queue := s.apply(t, "pausing", `
  kubernetes: {jobTemplate: {spec: {backoffLimit: 0, template: {spec: {restartPolicy: Never, containers: [{name: main, image: BUSYBOX, command: ["true"]}]}}}}}`)
	s.Mill(t, 0, "suspend", "pausing")
	s.Kubectl(t, "", "wait", "-n", ns, "queuejob/pausing", "--for=condition=Suspended", "--timeout=60s")
	id := s.Send(t, queue, "{}")
	if n := s.Depth(t, queue); n != 1 {
		t.Errorf("the queue holds %d messages, want the one sent", n)
	}
	s.Mill(t, 0, "resume", "pausing")
	s.await(t, id, "it to succeed once resumed", func(j httpapi.Job) bool { return j.State == record.Succeeded })
}

// New messages follow an edit; a job that runs stays as it is, and the hash of
// its template tells the two apart.
func anEditLeavesRunningJobsAsTheyAre(t *testing.T, s *system) {
	spec := "  kubernetes: {jobTemplate: {spec: " + sleeper + "}}"
	queue := s.apply(t, "edited", spec)
	first := s.awaitRunning(t, s.Send(t, queue, "before"))
	pod := s.Kubectl(t, "", "get", "pods", "-n", ns, "-l", "job-name="+first.Name, "-o", "jsonpath={.items[*].metadata.uid}")

	s.applyOn(t, "edited", queue, strings.Replace(spec, `[sleep, "600"]`, `[echo, edited]`, 1))
	var last httpapi.Job
	s.Eventually(t, "a message to follow the edit", func() bool {
		last = s.await(t, s.Send(t, queue, "after"), "its job to run", func(j httpapi.Job) bool {
			return j.State == record.Running || j.State == record.Succeeded
		})
		return last.TemplateHash != first.TemplateHash
	}, func() string { return asJSON(last) })
	if got := s.Mill(t, 0, "logs", "-f", last.Name); got != "edited\n" {
		t.Errorf("the job after the edit writes %q", got)
	}
	now := s.job(t, first.Message.ID)
	if now.State != record.Running || now.UID != first.UID || now.TemplateHash != first.TemplateHash {
		t.Errorf("the job that ran is now %s", asJSON(now))
	}
	if again := s.Kubectl(t, "", "get", "pods", "-n", ns, "-l", "job-name="+first.Name, "-o", "jsonpath={.items[*].metadata.uid}"); again != pod || pod == "" {
		t.Errorf("its pods are %q, and were %q", again, pod)
	}
}
