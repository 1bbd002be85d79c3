package queuejob_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/queuemill/queuemill/api/v1alpha1"
	"github.com/queuemill/queuemill/internal/executor"
	"github.com/queuemill/queuemill/internal/queue"
	"github.com/queuemill/queuemill/internal/queue/queuetest"
	"github.com/queuemill/queuemill/internal/queuejob"
	"github.com/queuemill/queuemill/internal/record"
)

// Each test is a row of the design's table of faults.

func TestQueueUnreachableLeavesJobsAloneAndSaysSo(t *testing.T) {
	for _, c := range []struct {
		hostility queuetest.Hostility
		reason    string
	}{
		{queuetest.Hostility{Unreachable: true}, "Unreachable"},
		{queuetest.Hostility{Throttle: 1}, "Throttled"},
	} {
		t.Run(c.reason, func(t *testing.T) {
			inWorld(t, func(s *v1alpha1.QueueJobSpec) { s.MaxActive = 2 }, func(t *testing.T, w *world) {
				w.send("a")
				w.pass(time.Second)
				w.send("b", "c")
				w.pass(time.Second)
				w.queue.SetHostility(c.hostility)
				w.wantStates("2 Running")
				w.exec.Finish(w.exec.Names(record.Running)[0], true)
				before := w.queue.Calls(queuetest.OpReceive)
				w.pass(10 * time.Minute)
				if n := w.queue.Calls(queuetest.OpReceive) - before; n < 5 || n > 120 {
					t.Errorf("%d receives in ten minutes without an answer, want a backoff", n)
				}
				w.wantCondition(queuejob.ConditionSourceHealthy, "False "+c.reason)
				w.wantCondition(queuejob.ConditionReady, "False SourceUnhealthy")
				w.wantStates("1 Running, 1 Succeeded")
				w.queue.SetHostility(queuetest.Hostility{})
				w.pass(time.Minute)
				w.wantCondition(queuejob.ConditionSourceHealthy, "True Answers")
				w.wantCondition(queuejob.ConditionReady, "True Receiving")
				w.wantStates("2 Running, 1 Succeeded")
				w.wantQueue(0, 0)
				w.wantCreated(3)
				if len(w.told(queuejob.EventUnhealthy)) == 0 || len(w.told(queuejob.EventHealthy)) == 0 {
					t.Errorf("events: %v", w.events)
				}
			})
		})
	}
}

func TestFailedDeleteIsRepeatedAndTheRecordStaysUntilThen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, queuetest.Options{}, func(s *v1alpha1.QueueJobSpec) {
			s.SuccessfulJobsHistoryLimit = new(int)
			s.DeduplicationWindow = duration(time.Minute)
		})
		q := &noDeletes{Fake: w.queue}
		q.fail.Store(true)
		w.via.queue = q
		w.start()
		defer w.stop()
		w.send("a", "b")
		w.finish(true)
		w.pass(10 * time.Minute) // the limit is 0, the window has passed
		w.wantStates("2 Succeeded")
		if n := q.calls.Load(); n < 10 || n > 300 {
			t.Errorf("%d deletes in ten minutes, want them repeated with backoff", n)
		}
		w.send("c")
		w.wantStates("2 Succeeded") // nothing is received meanwhile
		w.wantCondition(queuejob.ConditionSourceHealthy, "False Unreachable")

		q.fail.Store(false)
		w.pass(31 * time.Second)
		w.wantCondition(queuejob.ConditionSourceHealthy, "True Answers")
		w.wantQueue(0, 0)
		w.wantStates("1 Running, 2 Succeeded") // within the window since the delete
		w.pass(2 * time.Minute)
		w.wantStates("1 Running")
		w.wantCreated(3)
	})
}

// noDeletes is a queue whose deletes fail on demand.
type noDeletes struct {
	*queuetest.Fake
	fail  atomic.Bool
	calls atomic.Int32
}

func (q *noDeletes) Delete(ctx context.Context, receipts []queue.Receipt) []error {
	q.calls.Add(1)
	if q.fail.Load() {
		return allOf(len(receipts), queue.ErrUnreachable)
	}
	return q.Fake.Delete(ctx, receipts)
}

func TestExecutorUnavailableStopsReceivingAndKeepsWhatIsInHand(t *testing.T) {
	for _, ack := range []v1alpha1.AckMode{v1alpha1.AckOnCreate, v1alpha1.AckOnSuccess} {
		for _, cause := range []error{executor.ErrUnavailable, errors.New("never heard of")} {
			t.Run(fmt.Sprint(ack, " ", cause), func(t *testing.T) {
				inWorldOf(t, queuetest.Options{MaxReceiveCount: 1}, func(s *v1alpha1.QueueJobSpec) { s.Ack = ack }, func(t *testing.T, w *world) {
					w.exec.FailCreate(cause)
					w.send("a")
					w.send("b")
					w.pass(3 * time.Hour)
					w.wantQueue(1, 1)
					w.wantCondition(queuejob.ConditionReady, "False ExecutorUnavailable")
					w.wantCondition(queuejob.ConditionSourceHealthy, "True Answers")
					w.exec.FailCreate(nil)
					w.pass(time.Minute)
					w.wantStates("2 Running")
					w.wantCondition(queuejob.ConditionReady, "True Receiving")
					w.finish(true)
					w.pass(time.Second)
					w.wantQueue(0, 0)
				})
			})
		}
	}
}

func TestLostAnswerOfCreateStartsNothingTwice(t *testing.T) {
	inWorld(t, nil, func(t *testing.T, w *world) {
		var lost atomic.Int32
		w.exec.AfterCreate(func(executor.Job) error {
			if lost.Add(1) <= 2 {
				return executor.ErrUnavailable
			}
			return nil
		})
		w.send("a", "b")
		w.pass(time.Minute)
		w.wantStates("2 Running")
		w.wantQueue(0, 0)
		w.wantCreated(2)
	})
}

func TestUnreadableMessageBecomesAnInvalidRecordAndTheQueueGoesOn(t *testing.T) {
	for _, ack := range []v1alpha1.AckMode{v1alpha1.AckOnCreate, v1alpha1.AckOnSuccess} {
		inWorld(t, func(s *v1alpha1.QueueJobSpec) {
			s.Ack = ack
			s.MaxActive = 1
			s.Message.Env = []v1alpha1.FieldEnv{{Name: "TARGET", FieldPath: "target"}}
		}, func(t *testing.T, w *world) {
			w.send("{", "{}", `{"target":"a\u0000b"}`, `{"target":"x"}`)
			w.pass(time.Second)
			w.wantStates("1 Running, 3 Invalid")
			if n := w.queue.Count().Total(); ack == v1alpha1.AckOnCreate && n != 0 || n > 1 {
				t.Errorf("%s: %d messages left", ack, n)
			}
			reasons := map[string]bool{}
			for _, name := range w.exec.Names(record.Invalid) {
				reasons[string(w.record(name).Cause.Reason)] = true
			}
			if !reasons["NotJSON"] || !reasons["FieldMissing"] || !reasons["UnusableValue"] {
				t.Errorf("reasons %v", reasons)
			}
		})
	}
}

func TestExpiredReceiptIsAdoptedOnRedelivery(t *testing.T) {
	inWorld(t, onSuccess, func(t *testing.T, w *world) {
		id := w.send("a")[0]
		first := w.record(w.exec.Names("")[0]).Message.Receipt
		w.queue.Expire(id)
		w.pass(time.Minute)
		w.wantStates("1 Running")
		w.wantCreated(1)
		w.wantQueue(0, 1) // held again
		if now := w.record(w.exec.Names("")[0]).Message.Receipt; now == first {
			t.Errorf("the record still has the expired receipt %s", now)
		}
		w.finish(true)
		w.pass(time.Second)
		w.wantQueue(0, 0)
	})
}

func TestLeaseLostWhileNothingIsReceivedIsCountedAndAdoptedLater(t *testing.T) {
	inWorld(t, onSuccess, func(t *testing.T, w *world) {
		id := w.send("a")[0]
		w.runner.Suspend(true)
		w.pass(time.Second)
		w.queue.Expire(id)
		w.pass(10 * time.Minute)
		if n := len(w.told(queuejob.EventLeaseLost)); n != 1 {
			t.Errorf("told %d times of a lost lease, want once", n)
		}
		w.finish(true) // its delete has an old receipt
		w.pass(time.Minute)
		w.runner.Suspend(false)
		w.pass(time.Minute)
		w.wantStates("1 Succeeded")
		w.wantQueue(0, 0)
		w.wantCreated(1)
	})
}

func TestMessageLostBeforeItsJobExistsIsLetGo(t *testing.T) {
	// Its redelivery may be its death: then no job of it may run.
	inWorldOf(t, queuetest.Options{MaxReceiveCount: 1}, onSuccess, func(t *testing.T, w *world) {
		w.exec.FailCreate(executor.ErrUnavailable)
		id := w.send("a")[0]
		w.queue.Expire(id)
		w.pass(10 * time.Minute)
		w.exec.FailCreate(nil)
		w.pass(10 * time.Minute)
		w.wantStates("")
		if n := len(w.dead()); n != 1 {
			t.Errorf("%d dead letters, want 1", n)
		}
	})
}

func TestRecordDeletedUnderANextAttemptStartsAnew(t *testing.T) {
	inWorld(t, onSuccess, func(t *testing.T, w *world) {
		w.send("a")
		w.exec.BeforeCreate(func(job executor.Job) error {
			if job.Attempt == 2 {
				w.exec.BeforeCreate(nil)
				return w.exec.Delete(t.Context(), job.Name, "")
			}
			return nil
		})
		w.finish(false)
		w.pass(time.Minute)
		w.wantStates("1 Running")
		if n := w.record(w.exec.Names("")[0]); n.LastAttempt() != 1 {
			t.Errorf("attempt %d of a new record", n.LastAttempt())
		}
	})
}

func TestDuplicateDeliveryAfterTheDeleteIsRecognised(t *testing.T) {
	for _, ack := range []v1alpha1.AckMode{v1alpha1.AckOnCreate, v1alpha1.AckOnSuccess} {
		inWorld(t, func(s *v1alpha1.QueueJobSpec) { s.Ack = ack }, func(t *testing.T, w *world) {
			w.send("a")
			m := w.queue.Messages()
			if len(m) == 0 { // OnCreate deletes within the batcher's linger
				t.Fatal("no message left to repeat")
			}
			w.finish(true)
			w.pass(time.Second)
			w.queue.Duplicate(m[0])
			w.pass(time.Second)
			w.wantCreated(1)
			w.wantQueue(0, 0)
			if n := w.runner.Status().Duplicates; n != 1 || len(w.told(queuejob.EventDuplicate)) != 1 {
				t.Errorf("%s: %d duplicates counted, told %v", ack, n, w.told(queuejob.EventDuplicate))
			}
		})
	}
}

func TestTwinOfAnotherMessageIsAcknowledgedAndTold(t *testing.T) {
	inWorld(t, func(s *v1alpha1.QueueJobSpec) { dedup(s); onSuccess(s) }, func(t *testing.T, w *world) {
		w.send(`{"id":"1"}`, `{"id":"1"}`)
		w.pass(time.Second)
		w.wantStates("1 Running")
		w.wantQueue(0, 1)
		if w.record(w.exec.Names("")[0]).Acked {
			t.Error("the twin's acknowledgement counts for the original, whose message is held")
		}
		if n := w.runner.Status().Duplicates; n != 1 || len(w.told(queuejob.EventDuplicate)) != 1 {
			t.Errorf("%d duplicates counted, told %v", n, w.told(queuejob.EventDuplicate))
		}
	})
}

func TestSameKeyWithAnotherBodyIsInvalid(t *testing.T) {
	inWorld(t, dedup, func(t *testing.T, w *world) {
		w.send(`{"id":"1","n":1}`)
		ids := w.send(`{"id":"1","n":2}`)
		w.pass(time.Second)
		w.wantStates("1 Running, 1 Invalid")
		w.wantQueue(0, 0)
		rec := w.record(w.exec.Names(record.Invalid)[0])
		if rec.Cause.Reason != "IdentityCollision" || rec.Message.ID != ids[0] {
			t.Errorf("invalid record %s of message %s: %+v", rec.Name, rec.Message.ID, rec.Cause)
		}
		if first := w.record(w.exec.Names(record.Running)[0]); rec.IdempotencyKey == first.IdempotencyKey || rec.IdempotencyKey == "" {
			t.Errorf("the colliding message has the idempotency key %q of the one that runs", rec.IdempotencyKey)
		}
	})
}

func TestJobDeletedWhileItRuns(t *testing.T) {
	t.Run("OnCreate: gone, as asked", func(t *testing.T) {
		inWorld(t, nil, func(t *testing.T, w *world) {
			w.send("a")
			w.pass(time.Second)
			w.deleteJob()
			w.pass(time.Hour)
			w.wantStates("")
			w.wantCreated(1)
			if len(w.told(queuejob.EventDeleted)) != 1 {
				t.Errorf("events %v", w.events)
			}
		})
	})
	t.Run("OnSuccess: the message comes back", func(t *testing.T) {
		inWorld(t, onSuccess, func(t *testing.T, w *world) {
			w.send("a")
			w.pass(time.Second)
			w.deleteJob()
			w.pass(time.Minute)
			w.wantStates("1 Running")
			w.wantCreated(2)
			if len(w.told(queuejob.EventDeleted)) != 1 {
				t.Errorf("events %v", w.events)
			}
		})
	})
}

func (w *world) deleteJob() {
	w.t.Helper()
	if err := w.exec.Delete(w.t.Context(), w.exec.Names("")[0], ""); err != nil {
		w.t.Fatal(err)
	}
	synctest.Wait()
}

func TestRecordBeingDeletedLeavesTheMessageToItsRedelivery(t *testing.T) {
	for _, ack := range []v1alpha1.AckMode{v1alpha1.AckOnCreate, v1alpha1.AckOnSuccess} {
		inWorld(t, func(s *v1alpha1.QueueJobSpec) { s.Ack = ack }, func(t *testing.T, w *world) {
			w.send("a")
			m := w.queue.Messages()[0]
			w.finish(true)
			w.pass(time.Second)
			w.exec.HoldDeletes(true)
			w.deleteJob()
			w.queue.Duplicate(m)
			w.pass(5 * time.Second)
			w.wantQueue(0, 1)
			w.wantCreated(1)
			w.exec.HoldDeletes(false)
			w.pass(time.Minute)
			w.wantCreated(2)
			w.finish(true)
			w.pass(time.Second)
			w.wantQueue(0, 0)
		})
	}
}

func TestEditedManifestIsForNewMessages(t *testing.T) {
	inWorld(t, nil, func(t *testing.T, w *world) {
		w.send("a")
		edited := manifest(func(s *v1alpha1.QueueJobSpec) { s.Process.Command = []string{"false"}; s.Ack = v1alpha1.AckOnSuccess })
		if err := w.runner.Update(edited); err != nil {
			t.Fatal(err)
		}
		w.send("b")
		jobs := w.exec.Created()
		if len(jobs) != 2 || jobs[0].Spec.Process.Command[0] != "true" || jobs[1].Spec.Process.Command[0] != "false" {
			t.Errorf("created %d jobs, want one of each manifest", len(jobs))
		}
		w.pass(time.Second)
		w.wantQueue(0, 1)
		other := manifest(func(s *v1alpha1.QueueJobSpec) { s.Queue.SQS = &v1alpha1.SQSSource{Name: "pong"} })
		if err := w.runner.Update(other); !errors.Is(err, queuejob.ErrQueueChanged) {
			t.Errorf("update to another queue: %v", err)
		}
	})
}

func TestMessageOfARunningJobNeverDiesAndAFailingOneDoes(t *testing.T) {
	inWorldOf(t, queuetest.Options{MaxReceiveCount: 2}, onSuccess, func(t *testing.T, w *world) {
		w.send("a")
		w.pass(11 * time.Hour)
		w.finish(true)
		w.pass(time.Second)
		if n := len(w.dead()); n != 0 {
			t.Errorf("%d dead letters of a job that succeeded", n)
		}
		w.send("b")
		for range 4 {
			w.finish(false)
			w.pass(time.Hour)
		}
		w.wantStates("1 Succeeded, 1 Failed")
		w.wantCreated(3) // b twice
		if n := len(w.dead()); n != 1 {
			t.Errorf("%d dead letters, want the one of the failed job", n)
		}
	})
}

func TestMessageHeldForTwelveHoursComesBackAndIsAdopted(t *testing.T) {
	q := func(w *world) queue.Queue { return &limited{Fake: w.queue, received: map[queue.Receipt]time.Time{}} }
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, queuetest.Options{}, onSuccess)
		w.via.queue = q(w)
		w.start()
		defer w.stop()
		w.send("a")
		w.pass(30 * time.Hour)
		w.wantStates("1 Running")
		w.wantQueue(0, 1)
		if n := len(w.told(queuejob.EventLeaseLost)); n != 0 {
			t.Errorf("told %d times of a lost lease: the message was let go, not lost", n)
		}
		w.finish(true)
		w.pass(time.Second)
		w.wantQueue(0, 0)
		w.wantCreated(1)
	})
}

func (w *world) dead() []queue.Message {
	s, _ := w.queue.Settings(w.t.Context())
	if s.DeadLetterQueue == "" {
		return nil
	}
	return w.deadLetters.Messages()
}

// forgetful is a queue whose deletes find every receipt invalid.
type forgetful struct{ *queuetest.Fake }

func (q *forgetful) Delete(_ context.Context, receipts []queue.Receipt) []error {
	return allOf(len(receipts), queue.ErrReceiptInvalid)
}
