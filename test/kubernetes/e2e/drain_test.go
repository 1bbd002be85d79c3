package e2e

import (
	"testing"

	"github.com/queuemill/queuemill/internal/httpapi"
	"github.com/queuemill/queuemill/internal/record"
)

// A pod that a drain takes away is not its job's failure, unless the template
// says so.
func drainedJobsRunElsewhere(t *testing.T, s *system) {
	queue := s.apply(t, "drained", "  kubernetes: {jobTemplate: {spec: "+sleeper+"}}")
	strict := s.apply(t, "drained-strict", `
  kubernetes: {jobTemplate: {spec: {backoffLimit: 0, podFailurePolicy: {rules: [{action: FailJob, onPodConditions: [{type: DisruptionTarget}]}]},
    template: {spec: {terminationGracePeriodSeconds: 1, restartPolicy: Never, containers: [{name: main, image: BUSYBOX, command: [sleep, "600"]}]}}}}}`)
	first := s.awaitRunning(t, s.Send(t, queue, "{}"))
	other := s.awaitRunning(t, s.Send(t, strict, "{}"))
	for _, node := range []string{"node1", "node2"} {
		s.Drain(t, node, "")
	}
	now := s.awaitRunning(t, first.Message.ID)
	if now.UID != first.UID || now.LastAttempt() != 1 {
		t.Errorf("it is now %s, want the same record in its first attempt", asJSON(now))
	}
	f := failure{state: record.Failed, reason: "Disrupted", detail: "evict"}
	f.check(t, s, s.await(t, other.Message.ID, "the strict one to fail", func(j httpapi.Job) bool { return j.State == record.Failed && j.Cause != nil }))
}
