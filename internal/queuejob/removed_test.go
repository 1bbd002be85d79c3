package queuejob_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/queuemill/queuemill/api/v1alpha1"
	"github.com/queuemill/queuemill/internal/queue"
	"github.com/queuemill/queuemill/internal/queue/queuetest"
	"github.com/queuemill/queuemill/internal/queuejob"
	"github.com/queuemill/queuemill/internal/record"
)

// What was done and removed is not started again.

// beside is a second controller that sees w's records and receives nothing.
func (w *world) beside(q queue.Queue) *world {
	other := &world{t: w.t, queue: w.queue, exec: w.exec, qj: w.qj}
	other.via.queue, other.via.exec = q, w.exec
	other.start()
	other.runner.Suspend(true)
	return other
}

func TestPrunedRecordOutlivesAReceiveThatCrossesTheDeleteOfItsMessage(t *testing.T) {
	for _, how := range []string{"annotation", "verb"} {
		t.Run(how, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, queuetest.Options{}, nil)
				q := &noDeletes{Fake: w.queue}
				q.fail.Store(true)
				w.via.queue = q
				w.start()
				other := w.beside(w.queue)
				defer other.stop()
				w.send("a")
				w.finish(true)
				w.pass(time.Second)
				w.stop()
				w.wantQueue(0, 1)
				name := w.exec.Names("")[0]
				if how == "annotation" {
					w.patch(name, wantPrune)
				}
				w.pass(4*time.Minute + 30*time.Second)
				got, err := w.queue.Receive(t.Context(), queue.ReceiveOptions{Max: 1, Visibility: 2 * time.Minute})
				if err != nil || len(got) != 1 {
					t.Fatalf("received %d, %v", len(got), err)
				}
				w.pass(time.Minute)
				prune := func(dry bool, want int) {
					t.Helper()
					if how == "annotation" {
						return // the controller does it
					}
					names, err := other.runner.Prune(t.Context(), queuejob.PruneOptions{DryRun: dry})
					if err != nil || len(names) != want {
						t.Errorf("pruned %v, %v, want %d", names, err, want)
					}
				}
				prune(true, 0)
				prune(false, 0)
				w.wantQueue(0, 0) // by the old receipt, from under whoever received it
				w.wantStates("1 Succeeded")
				if k := other.runner.Kept(queuejob.PruneOptions{}); k.InWindow != 1 || k.WindowEnds.Before(time.Now()) {
					t.Errorf("kept: %+v, want one for another window", k)
				}
				w.pass(5 * time.Minute)
				prune(false, 1)
				w.wantStates("")
			})
		})
	}
}

func TestRecordStaysAWindowAfterTheLateDeleteOfAnotherController(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, queuetest.Options{}, func(s *v1alpha1.QueueJobSpec) { s.SuccessfulJobsHistoryLimit = new(int) })
		q := &noDeletes{Fake: w.queue}
		q.fail.Store(true)
		w.via.queue = q
		w.start()
		defer w.stop()
		other := w.beside(&refusing{Fake: w.queue})
		defer other.stop()
		w.send("a")
		w.finish(true)
		w.pass(10 * time.Minute)
		q.fail.Store(false)
		w.pass(31 * time.Second)
		w.wantQueue(0, 0)
		w.wantStates("1 Succeeded")
		w.pass(6 * time.Minute)
		w.wantStates("")
	})
}

// numbered asks for a field n of each record of an event.
func numbered(otherwise *string) func(*v1alpha1.QueueJobSpec) {
	return func(s *v1alpha1.QueueJobSpec) {
		s.Message.Format = []v1alpha1.MessageFormat{v1alpha1.FormatS3Event}
		s.Message.Env = []v1alpha1.FieldEnv{{Name: "N", FieldPath: "n", Default: otherwise}}
		s.SuccessfulJobsHistoryLimit = new(int)
	}
}

func TestRetryOfAnInvalidRecordStartsNoneOfItsMessagesOthers(t *testing.T) {
	inWorld(t, numbered(nil), func(t *testing.T, w *world) {
		w.send(strings.Replace(s3Event("a", "b"), `"s3":`, `"n":"1","s3":`, 1))
		w.wantStates("1 Running, 1 Invalid")
		w.finish(true)
		w.pass(time.Hour)
		w.wantStates("1 Invalid")
		none := ""
		if err := w.runner.Update(manifest(numbered(&none))); err != nil {
			t.Fatal(err)
		}
		name := w.exec.Names("")[0]
		w.retry(name)
		w.wantStates("1 Running")
		if got := w.exec.Names("")[0]; got != name {
			t.Errorf("%s runs, want %s", got, name)
		}
		w.wantCreated(3)
	})
}

func TestRetryOfOneInvalidRecordOfSeveralIsRefusedWhereItCantBeTold(t *testing.T) {
	inWorld(t, numbered(nil), func(t *testing.T, w *world) {
		w.send(s3Event("a", "b"))
		w.wantStates("2 Invalid")
		if err := w.runner.Update(manifest(nil)); err != nil { // read as one text
			t.Fatal(err)
		}
		w.retry(w.exec.Names("")[0])
		w.wantStates("2 Invalid")
		w.wantCreated(2)
		if len(w.told(queuejob.EventRetryRefused)) != 1 {
			t.Errorf("events: %v", w.events)
		}
	})
}

func TestInvalidMessageThatBecomesSeveralJobsStartsThemAll(t *testing.T) {
	inWorld(t, func(s *v1alpha1.QueueJobSpec) {
		s.Message.Env = []v1alpha1.FieldEnv{{Name: "N", FieldPath: "n"}}
	}, func(t *testing.T, w *world) {
		w.send(s3Event("a", "b", "c"))
		w.wantStates("1 Invalid")
		none := ""
		if err := w.runner.Update(manifest(numbered(&none))); err != nil {
			t.Fatal(err)
		}
		w.retry(w.exec.Names("")[0])
		w.wantStates("3 Running")
	})
}

// slowLook is an executor whose looks are answered late, with what stood when
// they were asked.
type slowLook struct {
	queuejob.Executor
	takes time.Duration
}

func (x *slowLook) Get(ctx context.Context, name string) (record.Record, error) {
	rec, err := x.Executor.Get(ctx, name)
	select {
	case <-time.After(x.takes):
	case <-ctx.Done():
	}
	return rec, err
}

func TestRetryStartsNothingFromAnInvalidRecordSeenLongAgo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, queuetest.Options{}, func(s *v1alpha1.QueueJobSpec) {
			s.Message.Env = []v1alpha1.FieldEnv{{Name: "N", FieldPath: "n"}}
		})
		w.via.exec = &slowLook{w.exec, 10 * time.Minute}
		w.start()
		defer w.stop()
		w.send("{}")
		name := w.exec.Names(record.Invalid)[0]
		if err := w.runner.Update(manifest(nil)); err != nil {
			t.Fatal(err)
		}
		w.patch(name, wantRetry)
		w.pass(time.Minute)
		// Another controller does it meanwhile, and its record is removed.
		if err := w.exec.Delete(t.Context(), name, ""); err != nil {
			t.Fatal(err)
		}
		w.pass(time.Hour)
		w.wantStates("")
		w.wantCreated(1)
	})
}

func TestRetryDuringARedeliveryDoesNotSettleTheMessageBeforeItIsPlaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, queuetest.Options{}, func(s *v1alpha1.QueueJobSpec) {
			onSuccess(s)
			s.Message.Format = []v1alpha1.MessageFormat{v1alpha1.FormatS3Event}
		})
		w.via.exec = &slowLook{w.exec, time.Minute}
		w.start()
		defer w.stop()
		w.send(s3Event("a", "b"))
		name := w.exec.Names("")[0]
		w.finish(false)
		w.pass(time.Second)
		w.patch(name, wantRetry) // looks for a minute; the redelivery begins to, seconds later
		w.pass(time.Minute)
		w.wantStates("1 Running, 1 Failed")
		w.exec.Finish(name, true)
		w.pass(time.Second)
		w.wantQueue(0, 1) // the other's
		w.wantStates("1 Succeeded, 1 Failed")
		w.pass(10 * time.Second)
		w.wantStates("1 Running, 1 Succeeded")
		w.finish(true)
		w.pass(time.Second)
		w.wantQueue(0, 0)
		w.wantCreated(4)
	})
}
