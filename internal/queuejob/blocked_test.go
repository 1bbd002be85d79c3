package queuejob_test

import (
	"testing"
	"time"

	"github.com/queuemill/queuemill/api/v1alpha1"
	"github.com/queuemill/queuemill/internal/queuejob"
)

func TestBlockedRunnerBeginsNothingAndSaysWhy(t *testing.T) {
	inWorld(t, nil, func(t *testing.T, w *world) {
		w.send("a", "b")
		names := w.exec.Names("")
		w.exec.Finish(names[0], false)
		w.runner.SetBlocked("TemplateInvalid", "spec.template: no such field")
		w.runner.SetBlocked("TemplateInvalid", "spec.template: no such field at all")
		w.send("c")
		w.retry(names[0])
		w.pass(time.Hour)
		w.wantStates("1 Running, 1 Failed")
		w.wantQueue(1, 0)
		w.wantCondition(queuejob.ConditionReady, "False TemplateInvalid")
		w.wantCondition(queuejob.ConditionSourceHealthy, "True Answers")
		if n := len(w.told(queuejob.EventBlocked)); n != 1 {
			t.Errorf("told %d times that it is blocked, want once", n)
		}
		w.finish(true) // what runs goes on

		w.runner.SetBlocked("", "")
		w.pass(time.Second)
		w.wantStates("2 Running, 1 Succeeded")
		w.wantCondition(queuejob.ConditionReady, "True Receiving")
		if n := len(w.told(queuejob.EventUnblocked)); n != 1 {
			t.Errorf("told %d times that it goes on, want once", n)
		}
	})
}

func TestBlockedRunnerGoesOnHoldingTheMessagesOfRunningJobs(t *testing.T) {
	inWorld(t, func(s *v1alpha1.QueueJobSpec) { s.Ack = v1alpha1.AckOnSuccess }, func(t *testing.T, w *world) {
		w.send("a")
		w.runner.SetBlocked("TemplateInvalid", "no such field")
		w.pass(time.Hour)
		w.wantQueue(0, 1)
		w.finish(true)
		w.pass(time.Second)
		w.wantQueue(0, 0)
		w.wantCreated(1)
	})
}
