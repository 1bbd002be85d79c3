package queuejob_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/queuemill/queuemill/api/v1alpha1"
	"github.com/queuemill/queuemill/internal/queuejob"
	"github.com/queuemill/queuemill/internal/record"
)

func fuse(s *v1alpha1.QueueJobSpec) {
	s.Breaker = &v1alpha1.Breaker{Failures: 3, Within: *duration(time.Minute), Pause: *duration(10 * time.Minute)}
	s.MaxActive = 3
}

func TestBreakerPausesReceivingAndLetsOneThrough(t *testing.T) {
	inWorld(t, fuse, func(t *testing.T, w *world) {
		w.send(bodies(3)...)
		w.finish(false)
		w.send(bodies(7)...)
		w.wantStates("3 Failed")
		w.wantCondition(queuejob.ConditionBreakerOpen, "True TooManyFailures")
		w.wantCondition(queuejob.ConditionReady, "False BreakerOpen")
		w.pass(9 * time.Minute)
		w.wantStates("3 Failed")
		w.pass(2 * time.Minute)
		w.wantStates("1 Running, 3 Failed") // the one that is let through
		w.wantCondition(queuejob.ConditionBreakerOpen, "True Trial")
		w.pass(time.Hour)
		w.wantStates("1 Running, 3 Failed")

		w.finish(false)
		w.pass(9 * time.Minute)
		w.wantStates("4 Failed")
		w.pass(2 * time.Minute)
		w.finish(true)
		w.wantStates("3 Running, 1 Succeeded, 4 Failed")
		w.wantCondition(queuejob.ConditionBreakerOpen, "False Closed")
		if o, c := len(w.told(queuejob.EventBreakerOpen)), len(w.told(queuejob.EventBreakerClosed)); o != 2 || c != 1 {
			t.Errorf("told %d times of opening and %d of closing, want 2 and 1", o, c)
		}
	})
}

func TestBreakerCountsWithinItsWindowOnly(t *testing.T) {
	inWorld(t, fuse, func(t *testing.T, w *world) {
		for range 6 {
			w.send("x")
			w.finish(false)
			w.pass(31 * time.Second)
		}
		w.wantStates("6 Failed")
		w.wantCondition(queuejob.ConditionBreakerOpen, "False Closed")
	})
}

func TestBreakerTrialThatStartsNothingLetsAnotherThrough(t *testing.T) {
	inWorld(t, func(s *v1alpha1.QueueJobSpec) {
		fuse(s)
		s.Message.Format = []v1alpha1.MessageFormat{v1alpha1.FormatJSON}
	}, func(t *testing.T, w *world) {
		w.send("1", "2", "3")
		w.finish(false)
		w.send("{", "4", "5")
		w.pass(11 * time.Minute)
		w.wantStates("1 Running, 3 Failed, 1 Invalid")
		// A trial whose job is deleted decides nothing either.
		if err := w.exec.Delete(t.Context(), w.exec.Names(record.Running)[0], ""); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		w.wantStates("1 Running, 3 Failed, 1 Invalid")
	})
}

func TestRetryIsLetThroughAnOpenBreaker(t *testing.T) {
	inWorld(t, fuse, func(t *testing.T, w *world) {
		w.send(bodies(3)...)
		w.finish(false)
		w.send("later")
		if err := w.runner.Retry(t.Context(), w.exec.Names(record.Failed)[0]); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		w.wantStates("1 Running, 2 Failed")
	})
}
