package queuejob_test

import (
	"context"
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

// Requests that reach the Runner by the record alone, as an annotation does.

func (w *world) patch(name string, p executor.Patch) {
	w.t.Helper()
	if _, err := w.exec.Patch(w.t.Context(), name, "", p); err != nil {
		w.t.Fatal(err)
	}
	w.pass(100 * time.Millisecond)
}

var (
	yes       = true
	wantRetry = executor.Patch{RetryRequested: &yes}
	wantPrune = executor.Patch{PruneRequested: &yes}
)

func TestRetryIsStartedByTheRecordAlone(t *testing.T) {
	for _, ack := range []v1alpha1.AckMode{v1alpha1.AckOnCreate, v1alpha1.AckOnSuccess} {
		t.Run(string(ack), func(t *testing.T) {
			inWorldOf(t, queuetest.Options{MaxReceiveCount: 1}, func(s *v1alpha1.QueueJobSpec) { s.Ack = ack }, func(t *testing.T, w *world) {
				w.send("a")
				name := w.exec.Names("")[0]
				w.finish(false)
				w.patch(name, wantRetry)
				w.wantStates("1 Running")
				w.finish(false)
				w.pass(time.Hour)
				w.wantStates("1 Failed") // asked for once, done once
				w.wantCreated(2)
			})
		})
	}
}

func TestRetryAskedForWhileNothingRunsIsStartedAfterTheRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, queuetest.Options{}, nil)
		w.start()
		w.send("a")
		name := w.exec.Names("")[0]
		w.finish(false)
		w.stop()
		w.patch(name, wantRetry)
		w.wantStates("1 Failed")
		w.start()
		defer w.stop()
		w.wantStates("1 Running")
		w.wantCreated(2)
	})
}

func TestRequestOfAnEarlierAttemptStartsNothing(t *testing.T) {
	inWorld(t, nil, func(t *testing.T, w *world) {
		w.send("a")
		name := w.exec.Names("")[0]
		w.finish(false)
		// Asked for by the verb, started, failed again, while the watch is behind:
		// the request of the first attempt comes late.
		w.exec.Lag(func() time.Duration { return 10 * time.Second })
		w.retry(name)
		w.wantStates("1 Running")
		w.finish(false)
		w.pass(time.Hour)
		w.wantStates("1 Failed")
		w.wantCreated(2)
		if w.runner.Status().Retries != 0 {
			t.Error("a retry still waits")
		}
	})
}

func TestPruneRequestWaitsForTheWindowAndTheDelete(t *testing.T) {
	for _, ack := range []v1alpha1.AckMode{v1alpha1.AckOnCreate, v1alpha1.AckOnSuccess} {
		for _, ok := range []bool{true, false} {
			t.Run(string(ack)+map[bool]string{true: " succeeded", false: " failed"}[ok], func(t *testing.T) {
				inWorldOf(t, queuetest.Options{MaxReceiveCount: 1}, func(s *v1alpha1.QueueJobSpec) {
					s.Ack = ack
					s.DeduplicationWindow = duration(5 * time.Minute)
				}, func(t *testing.T, w *world) {
					w.send("a")
					w.finish(ok)
					w.pass(time.Minute)
					w.patch(w.exec.Names("")[0], wantPrune)
					w.pass(3*time.Minute + 50*time.Second)
					if len(w.exec.Names("")) != 1 {
						t.Error("pruned within the window")
					}
					w.pass(30 * time.Second)
					w.wantStates("")
					w.wantCreated(1)
				})
			})
		}
	}
}

func TestPruneRequestOnWhatRunsWaitsForItsEndAndForARetry(t *testing.T) {
	inWorld(t, nil, func(t *testing.T, w *world) {
		w.send("a")
		name := w.exec.Names("")[0]
		w.patch(name, wantPrune)
		w.pass(time.Hour)
		w.wantStates("1 Running")
		w.finish(false)
		w.pass(time.Minute)
		w.patch(name, wantRetry)
		w.wantStates("1 Running")
		w.pass(time.Hour)
		w.wantStates("1 Running")
		w.finish(true)
		w.pass(time.Hour)
		w.wantStates("")
	})
}

func TestPruneRequestIsCarriedOutAfterARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, queuetest.Options{}, nil)
		w.start()
		w.send("a", "b")
		w.finish(true)
		w.stop()
		w.patch(w.exec.Names("")[0], wantPrune)
		w.start()
		defer w.stop()
		w.pass(time.Hour)
		w.wantStates("1 Succeeded")
	})
}

func TestPruneRequestStaysWhereTheMessageMayBeQueued(t *testing.T) {
	inWorld(t, nil, func(t *testing.T, w *world) {
		w.queue.Script(queuetest.OpDelete, queuetest.Fault{Forgotten: true}) // as if another controller died before its delete
		w.send("a")
		name := w.exec.Names("")[0]
		w.finish(true)
		w.pass(10 * time.Second)
		w.wantQueue(0, 1)
		w.wantStates("1 Succeeded")
		w.patch(name, wantPrune)
		w.pass(6 * time.Minute) // redelivered, recognised, deleted
		w.wantQueue(0, 0)
		w.pass(time.Hour)
		w.wantStates("")
		w.wantCreated(1)
	})
}

// A record that another controller made is known to be done with only when its
// message's delete was repeated.
func TestRecordsOfAnotherControllerAreRemovedOnceTheirDeleteIsConfirmed(t *testing.T) {
	for _, ack := range []v1alpha1.AckMode{v1alpha1.AckOnCreate, v1alpha1.AckOnSuccess} {
		t.Run(string(ack), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				set := func(s *v1alpha1.QueueJobSpec) {
					keepOne(s)
					s.Ack = ack
				}
				w := newWorld(t, queuetest.Options{}, set)
				w.exec.FailPatch(executor.ErrUnavailable) // the note of the confirmed delete is lost
				w.start()
				other := newWorld(t, queuetest.Options{}, set)
				other.exec, other.via.exec = w.exec, w.exec // another queue: it sees the records alone
				other.via.queue = w.queue
				other.start()
				other.runner.Suspend(true)
				w.send("a", "b", "c")
				w.finish(true)
				w.pass(time.Second)
				w.stop()
				defer other.stop()
				w.wantQueue(0, 0)
				w.pass(time.Hour)
				w.wantStates("1 Succeeded")
				if n := len(other.told(queuejob.EventPruneRefused)); n != 0 {
					t.Errorf("told %d times that a record stays", n)
				}
			})
		})
	}
}

func TestUnconfirmedRecordIsAskedForOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, queuetest.Options{}, nil)
		w.start()
		q := &refusing{Fake: w.queue}
		w.send("a")
		w.finish(true)
		w.pass(time.Second)
		w.stop()
		no := false
		w.patch(w.exec.Names(record.Succeeded)[0], executor.Patch{Acked: &no})
		w.via.queue = q
		w.start()
		defer w.stop()
		w.patch(w.exec.Names(record.Succeeded)[0], wantPrune)
		w.pass(24 * time.Hour)
		w.wantStates("1 Succeeded")
		if n := q.deletes.Load(); n < 1 || n > 2 {
			t.Errorf("%d deletes in a day, want one at the start and one at the end of the window at most", n)
		}
		w.pass(14 * 24 * time.Hour) // no queue has the message any more
		w.wantStates("")
	})
}

// refusing is a queue that knows no receipt any more.
type refusing struct {
	*queuetest.Fake
	deletes atomic.Int32
}

func (q *refusing) Delete(_ context.Context, receipts []queue.Receipt) []error {
	q.deletes.Add(1)
	return allOf(len(receipts), queue.ErrReceiptInvalid)
}
