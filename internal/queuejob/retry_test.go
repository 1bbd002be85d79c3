package queuejob_test

import (
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/apimachinery/pkg/runtime"

	"github.com/queuemill/queuemill/api/v1alpha1"
	"github.com/queuemill/queuemill/internal/executor"
	"github.com/queuemill/queuemill/internal/queue/queuetest"
	"github.com/queuemill/queuemill/internal/queuejob"
	"github.com/queuemill/queuemill/internal/record"
)

func (w *world) retry(name string) {
	w.t.Helper()
	if err := w.runner.Retry(w.t.Context(), name); err != nil {
		w.t.Fatal(err)
	}
	w.pass(100 * time.Millisecond) // the batcher's linger
}

func TestRetryWaitsForRoomAndSurvivesARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, queuetest.Options{}, func(s *v1alpha1.QueueJobSpec) { s.MaxActive = 1 })
		w.start()
		w.send("a")
		failed := w.exec.Names("")[0]
		w.finish(false)
		w.send("b")
		w.retry(failed)
		w.wantStates("1 Running, 1 Failed")
		if w.runner.Idle() {
			t.Error("idle with a retry asked for")
		}
		w.stop()
		w.start()
		defer w.stop()
		w.wantStates("1 Running, 1 Failed")
		w.finish(true)
		if got := w.exec.Names(record.Running); len(got) != 1 || got[0] != failed {
			t.Errorf("%v runs, want %s", got, failed)
		}
		w.wantCreated(3)
	})
}

func TestRetryUnderOnSuccessTakesTheMessageBackFromItsBackoff(t *testing.T) {
	// With one receive allowed, a redelivery would be the message's death.
	inWorldOf(t, queuetest.Options{MaxReceiveCount: 1}, onSuccess, func(t *testing.T, w *world) {
		w.send("a")
		w.finish(false)
		w.pass(time.Second)
		w.retry(w.exec.Names("")[0])
		w.pass(time.Hour)
		w.wantStates("1 Running")
		w.wantQueue(0, 1)
		w.finish(true)
		w.pass(time.Second)
		w.wantQueue(0, 0)
		if n := len(w.dead()); n != 0 {
			t.Errorf("%d dead letters of a job that succeeded", n)
		}
		w.wantCreated(2)
	})
}

func TestRetryUnderOnSuccessOfADeadLetterStartsFromTheRecord(t *testing.T) {
	inWorldOf(t, queuetest.Options{MaxReceiveCount: 1}, onSuccess, func(t *testing.T, w *world) {
		w.send("a")
		w.finish(false)
		w.pass(time.Hour)
		if n := len(w.dead()); n != 1 {
			t.Fatalf("%d dead letters, want 1", n)
		}
		w.retry(w.exec.Names("")[0])
		w.wantStates("1 Running")
		w.finish(true)
		w.pass(time.Minute)
		w.wantStates("1 Succeeded")
		w.wantCreated(2)
	})
}

func TestRetryRacingARedeliveryStartsOneAttempt(t *testing.T) {
	inWorld(t, onSuccess, func(t *testing.T, w *world) {
		id := w.send("a")[0]
		w.finish(false)
		w.pass(time.Second)
		w.queue.Expire(id)
		w.retry(w.exec.Names("")[0])
		w.pass(time.Minute)
		w.wantStates("1 Running")
		w.wantCreated(2)
		w.finish(true)
		w.pass(time.Second)
		w.wantQueue(0, 0)
	})
}

func TestRetryOfInvalidReadsTheMessageAnew(t *testing.T) {
	schema := func(js string) func(*v1alpha1.QueueJobSpec) {
		return func(s *v1alpha1.QueueJobSpec) {
			s.Message.Format = []v1alpha1.MessageFormat{v1alpha1.FormatJSON}
			s.Message.Schema = &runtime.RawExtension{Raw: []byte(js)}
		}
	}
	inWorld(t, schema(`{"required":["n"]}`), func(t *testing.T, w *world) {
		w.send(`{"m":1}`)
		w.wantStates("1 Invalid")
		name := w.exec.Names("")[0]

		w.retry(name)
		w.wantStates("1 Invalid")
		if rec := w.record(name); rec.RetryRequested || len(w.told(queuejob.EventRetryRefused)) != 1 {
			t.Errorf("still invalid: requested %v, told %v", rec.RetryRequested, w.told(queuejob.EventRetryRefused))
		}

		if err := w.runner.Update(manifest(schema(`{"required":["m"]}`))); err != nil {
			t.Fatal(err)
		}
		w.retry(name)
		w.wantStates("1 Running")
		if got := w.exec.Names("")[0]; got != name {
			t.Errorf("the job is %s, want the same name %s", got, name)
		}
	})
}

func TestRetryOfInvalidUnderAnotherIdentityReplacesTheRecord(t *testing.T) {
	inWorld(t, func(s *v1alpha1.QueueJobSpec) { s.Message.DeduplicationField = "id" }, func(t *testing.T, w *world) {
		w.send(`{"key":"7"}`)
		w.wantStates("1 Invalid")
		name := w.exec.Names("")[0]
		if err := w.runner.Update(manifest(func(s *v1alpha1.QueueJobSpec) { s.Message.DeduplicationField = "key" })); err != nil {
			t.Fatal(err)
		}
		w.retry(name)
		w.wantStates("1 Running")
		if got := w.exec.Names("")[0]; got == name {
			t.Error("the job has the name of the message's ID")
		}
		w.finish(true)
		w.wantCreated(2)
	})
}

func TestRetryOfACollisionStaysInvalid(t *testing.T) {
	inWorld(t, dedup, func(t *testing.T, w *world) {
		w.send(`{"id":"1","n":1}`)
		w.send(`{"id":"1","n":2}`)
		name := w.exec.Names(record.Invalid)[0]
		w.retry(name)
		w.wantStates("1 Running, 1 Invalid")
		if w.record(name).RetryRequested {
			t.Error("the request stands, and would be tried for ever")
		}
	})
}

func TestRetryAfterAnEditThatMakesTheMessageInvalidIsRefused(t *testing.T) {
	inWorld(t, nil, func(t *testing.T, w *world) {
		w.send("a")
		w.finish(false)
		name := w.exec.Names("")[0]
		edited := manifest(func(s *v1alpha1.QueueJobSpec) { s.Message.Format = []v1alpha1.MessageFormat{v1alpha1.FormatJSON} })
		if err := w.runner.Update(edited); err != nil {
			t.Fatal(err)
		}
		w.retry(name)
		w.wantStates("1 Failed")
		if w.record(name).RetryRequested || len(w.told(queuejob.EventRetryRefused)) != 1 {
			t.Errorf("events %v", w.events)
		}
	})
}

func TestRetryWhileTheExecutorIsAwayIsCarriedOutLater(t *testing.T) {
	inWorld(t, nil, func(t *testing.T, w *world) {
		w.send("a")
		w.finish(false)
		w.exec.FailCreate(executor.ErrUnavailable)
		w.retry(w.exec.Names("")[0])
		w.pass(time.Hour)
		w.wantStates("1 Failed")
		w.exec.FailCreate(nil)
		w.pass(time.Minute)
		w.wantStates("1 Running")
		w.wantCreated(2)
	})
}

func TestS3EventWithAFailedRecordTriesOnlyThatAgain(t *testing.T) {
	for _, how := range []string{"redelivery", "retry"} {
		t.Run(how, func(t *testing.T) {
			inWorld(t, func(s *v1alpha1.QueueJobSpec) {
				onSuccess(s)
				s.Message.Format = []v1alpha1.MessageFormat{v1alpha1.FormatS3Event}
				s.MaxActive = 2
			}, func(t *testing.T, w *world) {
				w.send(s3Event("a", "b", "c"))
				w.wantStates("3 Running") // over by this one message
				w.send(s3Event("d"))
				names := w.exec.Names("")
				w.exec.Finish(names[0], true)
				w.exec.Finish(names[1], false)
				w.pass(time.Hour)
				w.wantStates("2 Running, 1 Succeeded, 1 Failed") // c runs: the message is held; d has room
				w.exec.Finish(names[2], true)
				w.pass(time.Second)
				if how == "retry" {
					w.retry(names[1])
				} else {
					w.pass(time.Minute)
				}
				w.wantStates("2 Running, 2 Succeeded")
				w.wantCreated(5)
				w.finish(true)
				w.pass(time.Second)
				w.wantQueue(0, 0)
				w.wantStates("4 Succeeded")
			})
		})
	}
}

func TestRetryOfOneFailedRecordLeavesTheOtherToTheRedelivery(t *testing.T) {
	inWorld(t, func(s *v1alpha1.QueueJobSpec) {
		onSuccess(s)
		s.Message.Format = []v1alpha1.MessageFormat{v1alpha1.FormatS3Event}
	}, func(t *testing.T, w *world) {
		w.send(s3Event("a", "b"))
		names := w.exec.Names("")
		w.finish(false)
		w.pass(time.Second)
		w.retry(names[0])
		w.finish(true)
		w.wantStates("1 Succeeded, 1 Failed")
		w.pass(time.Hour)
		w.wantStates("1 Running, 1 Succeeded")
		w.wantCreated(4)
	})
}

func TestRetryAskedForWhileARedeliveryIsInHandIsNotLost(t *testing.T) {
	inWorld(t, nil, func(t *testing.T, w *world) {
		id := w.send("a")[0]
		m := w.queue.Messages()
		w.finish(false)
		w.pass(time.Second)
		if len(m) != 1 || m[0].ID != id {
			t.Fatal("no message to deliver again")
		}
		name := w.exec.Names("")[0]
		slow := make(chan struct{})
		w.exec.BeforeCreate(func(executor.Job) error { <-slow; return nil })
		w.queue.Duplicate(m[0])
		synctest.Wait()
		w.retry(name)
		w.wantStates("1 Failed")
		close(slow)
		synctest.Wait()
		w.wantStates("1 Running")
		w.wantCreated(2)
	})
}

func TestRetryOfOneRecordDoesNotLoseAnotherOfTheMessage(t *testing.T) {
	inWorld(t, func(s *v1alpha1.QueueJobSpec) {
		onSuccess(s)
		s.Message.Format = []v1alpha1.MessageFormat{v1alpha1.FormatS3Event}
	}, func(t *testing.T, w *world) {
		w.send(s3Event("a", "b"))
		names := w.exec.Names("")
		if err := w.exec.Delete(t.Context(), names[1], ""); err != nil {
			t.Fatal(err)
		}
		w.exec.Finish(names[0], false)
		w.pass(time.Second)
		w.retry(names[0])
		w.finish(true)
		w.pass(time.Hour)
		w.wantStates("1 Running, 1 Succeeded")
		w.wantQueue(0, 1)
	})
}

func TestRetryWhoseCreateWasNotAnsweredHoldsAndSettlesTheMessage(t *testing.T) {
	inWorld(t, onSuccess, func(t *testing.T, w *world) {
		w.send("a")
		w.finish(false)
		w.pass(time.Second)
		w.exec.AfterCreate(func(executor.Job) error {
			w.exec.AfterCreate(nil)
			return executor.ErrUnavailable
		})
		w.retry(w.exec.Names("")[0])
		w.pass(time.Hour)
		w.wantStates("1 Running")
		w.wantQueue(0, 1)
		w.finish(true)
		w.pass(time.Second)
		w.wantQueue(0, 0)
		w.wantCreated(2)
		if !w.runner.Idle() {
			t.Error("not idle: a lease has leaked")
		}
	})
}

func TestS3TestEventIsAcknowledgedAndStartsNothing(t *testing.T) {
	inWorld(t, func(s *v1alpha1.QueueJobSpec) { s.Message.Format = []v1alpha1.MessageFormat{v1alpha1.FormatS3Event} }, func(t *testing.T, w *world) {
		w.send(`{"Service":"Amazon S3","Event":"s3:TestEvent","Time":"2014-10-13T15:57:02.089Z","Bucket":"b","RequestId":"r","HostId":"h"}`)
		w.pass(time.Second)
		w.wantStates("")
		w.wantQueue(0, 0)
		if !w.runner.Idle() {
			t.Error("not idle")
		}
	})
}
