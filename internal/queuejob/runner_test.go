package queuejob_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/queuemill/queuemill/api/v1alpha1"
	"github.com/queuemill/queuemill/internal/executor"
	"github.com/queuemill/queuemill/internal/queuejob"
	"github.com/queuemill/queuemill/internal/record"
)

func TestOnCreateDeletesMessageOnceItsJobExists(t *testing.T) {
	inWorld(t, nil, func(t *testing.T, w *world) {
		w.send("a", "b")
		w.wantStates("2 Running")
		w.pass(time.Second)
		w.wantQueue(0, 0)
		w.finish(true)
		w.wantStates("2 Succeeded")
		w.wantCreated(2)
	})
}

func TestOnSuccessHoldsMessageUntilItsJobSucceeds(t *testing.T) {
	inWorld(t, onSuccess, func(t *testing.T, w *world) {
		w.send("a")
		w.pass(time.Hour)
		w.wantQueue(0, 1)
		w.wantStates("1 Running")
		w.finish(true)
		w.pass(time.Second)
		w.wantQueue(0, 0)
		w.wantCreated(1)
	})
}

func TestOnSuccessFailedJobGivesMessageBackAndIsTriedAgain(t *testing.T) {
	inWorld(t, onSuccess, func(t *testing.T, w *world) {
		w.send("a")
		w.finish(false)
		w.pass(time.Second)
		w.wantQueue(0, 1) // in backoff
		w.wantStates("1 Failed")
		w.pass(10 * time.Second)
		w.wantStates("1 Running")
		name := w.exec.Names("")[0]
		if n := w.record(name); n.LastAttempt() != 2 {
			t.Errorf("attempt %d runs, want 2", n.LastAttempt())
		}
		w.finish(true)
		w.pass(time.Second)
		w.wantQueue(0, 0)
		w.wantStates("1 Succeeded")
	})
}

func TestReceivesNoMoreThanThereIsRoomFor(t *testing.T) {
	inWorld(t, func(s *v1alpha1.QueueJobSpec) { s.MaxActive = 13 }, func(t *testing.T, w *world) {
		w.send(bodies(30)...)
		w.pass(time.Minute)
		w.wantStates("13 Running")
		w.wantQueue(17, 0)
		for range 4 {
			w.exec.Finish(w.exec.Names(record.Running)[0], true)
		}
		w.pass(time.Second)
		w.wantStates("13 Running, 4 Succeeded")
		w.wantQueue(13, 0)
	})
}

func TestRetryStartsNextAttemptStraightFromTheRecord(t *testing.T) {
	inWorld(t, nil, func(t *testing.T, w *world) {
		w.send("a")
		w.finish(false)
		name := w.exec.Names(record.Failed)[0]
		if err := w.runner.Retry(t.Context(), name); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		w.wantStates("1 Running")
		rec := w.record(name)
		if rec.LastAttempt() != 2 || rec.RetryRequested {
			t.Errorf("attempt %d, retry requested %v; want 2, false", rec.LastAttempt(), rec.RetryRequested)
		}
		job := w.exec.Created()[1]
		if job.Payload != "a" || job.IdempotencyKey != w.exec.Created()[0].IdempotencyKey {
			t.Errorf("attempt 2 has payload %q and key %q", job.Payload, job.IdempotencyKey)
		}
	})
}

func TestRetryComesBeforeReceives(t *testing.T) {
	inWorld(t, func(s *v1alpha1.QueueJobSpec) { s.MaxActive = 1 }, func(t *testing.T, w *world) {
		w.send("a")
		w.finish(false) // the long poll begins anew
		name := w.exec.Names(record.Failed)[0]
		w.runner.Suspend(true)
		w.send("b", "c")
		if err := w.runner.Retry(t.Context(), name); err != nil {
			t.Fatal(err)
		}
		w.runner.Suspend(false)
		synctest.Wait()
		if got := w.exec.Names(record.Running); len(got) != 1 || got[0] != name {
			t.Errorf("%v runs, want the retried %s", got, name)
		}
	})
}

func TestRetryOfWhatCannotBeRetriedSaysWhy(t *testing.T) {
	inWorld(t, nil, func(t *testing.T, w *world) {
		w.send("a")
		name := w.exec.Names("")[0]
		check := func(name string, want error) {
			t.Helper()
			err := w.runner.Retry(t.Context(), name)
			var refused *queuejob.RetryError
			if !errors.Is(err, want) || !errors.As(err, &refused) || refused.Hint == "" {
				t.Errorf("retry %s: %v (%+v), want %v and a hint", name, err, refused, want)
			}
		}
		check(name, queuejob.ErrNotFinished)
		w.finish(true)
		check(name, queuejob.ErrSucceeded)
		check("ping-other", executor.ErrNotFound)
	})
}

func TestDrainLetsJobsFinishAndEnds(t *testing.T) {
	for _, ack := range []v1alpha1.AckMode{v1alpha1.AckOnCreate, v1alpha1.AckOnSuccess} {
		inWorld(t, func(s *v1alpha1.QueueJobSpec) { s.Ack = ack }, func(t *testing.T, w *world) {
			w.send("a")
			w.runner.StopReceiving()
			w.send("b")
			w.pass(time.Hour)
			w.wantStates("1 Running")
			select {
			case err := <-w.ended:
				t.Fatalf("run ended with a job unfinished: %v", err)
			default:
			}
			w.finish(true)
			w.pass(time.Second)
			w.wantQueue(1, 0)
			select {
			case err := <-w.ended:
				w.ended <- err
			default:
				t.Error("run did not end once all was settled")
			}
		})
	}
}

func TestHardStopGivesMessagesOfUnfinishedJobsBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, queueOptions(), onSuccess)
		w.start()
		w.send("a", "b")
		w.exec.Finish(w.exec.Names(record.Running)[0], true)
		w.pass(time.Second)
		began := time.Now()
		w.stop()
		if d := time.Since(began); d > time.Second {
			t.Errorf("stop took %v", d)
		}
		w.wantQueue(1, 0)
	})
}

func TestSuspendStopsReceivingAndLetsJobsRun(t *testing.T) {
	inWorld(t, nil, func(t *testing.T, w *world) {
		w.send("a")
		w.runner.Suspend(true)
		w.send("b")
		w.pass(time.Minute)
		w.wantStates("1 Running")
		w.wantCondition(queuejob.ConditionSuspended, "True Suspended")
		w.wantCondition(queuejob.ConditionReady, "False Suspended")
		w.runner.Suspend(false)
		synctest.Wait()
		w.wantStates("2 Running")
		w.wantCondition(queuejob.ConditionReady, "True Receiving")
	})
}
