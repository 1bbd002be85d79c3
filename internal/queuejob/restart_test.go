package queuejob_test

import (
	"context"
	"sync"
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

// die ends the Runner as kill -9 does: no call gets through any more.
func (w *world) die(m *mortal) {
	m.mu.Lock()
	m.dead = true
	m.mu.Unlock()
	w.stop()
}

// inMortalWorld is inWorld with a controller that can die, and be started again.
func inMortalWorld(t *testing.T, o queuetest.Options, set func(*v1alpha1.QueueJobSpec), f func(t *testing.T, w *world, die func())) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, o, set)
		m := &mortal{Queue: w.queue, Executor: w.exec, dies: func() {}}
		w.via.queue, w.via.exec = mortalQueue{m}, mortalExecutor{m}
		w.start()
		f(t, w, func() {
			w.die(m)
			w.via.queue, w.via.exec = w.queue, w.exec
		})
		w.stop()
	})
}

func TestRestartHoldsTheMessagesOfRunningJobsFromTheirReceipts(t *testing.T) {
	inMortalWorld(t, queuetest.Options{MaxReceiveCount: 1}, onSuccess, func(t *testing.T, w *world, die func()) {
		w.send("a")
		w.pass(time.Hour)
		die()
		w.pass(30 * time.Second)
		first := &firstCall{Fake: w.queue}
		w.via.queue = first
		w.start()
		if first.op != queuetest.OpExtend {
			t.Errorf("the first call after a restart is %q, want the messages extended first", first.op)
		}
		w.pass(time.Hour)
		w.wantStates("1 Running")
		w.wantQueue(0, 1)
		w.finish(true)
		w.pass(time.Second)
		w.wantQueue(0, 0)
		if n := len(w.dead()); n != 0 {
			t.Errorf("%d dead letters", n)
		}
	})
}

// firstCall notes which call comes first.
type firstCall struct {
	*queuetest.Fake
	mu sync.Mutex
	op queuetest.Op
}

func (q *firstCall) note(op queuetest.Op) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.op == "" {
		q.op = op
	}
}

func (q *firstCall) Receive(ctx context.Context, o queue.ReceiveOptions) ([]queue.Message, error) {
	q.note(queuetest.OpReceive)
	return q.Fake.Receive(ctx, o)
}

func (q *firstCall) Extend(ctx context.Context, extensions []queue.Extension) []error {
	q.note(queuetest.OpExtend)
	return q.Fake.Extend(ctx, extensions)
}

func TestRestartDeletesTheMessageOfAJobThatSucceededMeanwhile(t *testing.T) {
	inMortalWorld(t, queuetest.Options{}, onSuccess, func(t *testing.T, w *world, die func()) {
		w.send("a")
		die()
		w.finish(true)
		w.qj.Spec.Suspend = true // no redelivery helps
		w.start()
		w.wantQueue(0, 0)
		w.wantStates("1 Succeeded")
	})
}

func TestRestartGivesBackTheMessageOfAJobThatFailedMeanwhile(t *testing.T) {
	inMortalWorld(t, queuetest.Options{}, onSuccess, func(t *testing.T, w *world, die func()) {
		w.send("a")
		die()
		w.finish(false)
		w.start()
		w.pass(15 * time.Second) // its backoff; the lease would have been two minutes
		w.wantStates("1 Running")
		w.wantCreated(2)
	})
}

func TestRestartRepeatsTheDeleteUnderOnCreate(t *testing.T) {
	inMortalWorld(t, queuetest.Options{}, nil, func(t *testing.T, w *world, die func()) {
		w.queue.Script(queuetest.OpDelete, queuetest.Fault{Err: queue.ErrUnreachable})
		w.send("a")
		w.pass(50 * time.Millisecond)
		die()
		w.wantQueue(0, 1)
		w.qj.Spec.Suspend = true
		w.start()
		w.wantQueue(0, 0)
		w.wantStates("1 Running")
	})
}

func TestRestartCreatesTheRecordsThatACrashLeftOut(t *testing.T) {
	for _, ack := range []v1alpha1.AckMode{v1alpha1.AckOnCreate, v1alpha1.AckOnSuccess} {
		inMortalWorld(t, queuetest.Options{}, func(s *v1alpha1.QueueJobSpec) {
			s.Ack = ack
			s.Message.Format = []v1alpha1.MessageFormat{v1alpha1.FormatS3Event}
		}, func(t *testing.T, w *world, die func()) {
			w.exec.BeforeCreate(func(job executor.Job) error {
				if len(w.exec.Names("")) > 0 {
					return executor.ErrUnavailable
				}
				return nil
			})
			w.send(s3Event("a", "b", "c"))
			die()
			w.exec.BeforeCreate(nil)
			w.qj.Spec.Suspend = true // no redelivery helps
			w.start()
			w.pass(time.Second)
			w.wantStates("3 Running")
			w.finish(true)
			w.pass(time.Second)
			w.wantStates("3 Succeeded")
			w.wantQueue(0, 0)
		})
	}
}

func TestStartWaitsForTheRecordsBeforeItReceives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, queuetest.Options{}, nil)
		w.exec.FailList(executor.ErrUnavailable)
		w.send("a")
		w.start()
		defer w.stop()
		w.pass(10 * time.Minute)
		w.wantQueue(1, 0)
		w.wantCondition(queuejob.ConditionReady, "False ExecutorUnavailable")
		w.exec.FailList(nil)
		w.pass(time.Minute)
		w.wantStates("1 Running")
	})
}

// breaking is an executor whose watch can be broken.
type breaking struct {
	queuejob.Executor
	broken chan struct{}
}

func (b *breaking) Watch(ctx context.Context, queueJob string, ready func(), handle func(executor.Event)) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	done := make(chan struct{})
	defer func() { <-done }()
	go func() {
		defer close(done)
		select {
		case <-b.broken:
			cancel(executor.ErrUnavailable)
		case <-ctx.Done():
		}
	}()
	if err := b.Executor.Watch(ctx, queueJob, ready, handle); err != nil {
		return context.Cause(ctx)
	}
	return nil
}

func TestBrokenWatchMissesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, queuetest.Options{}, func(s *v1alpha1.QueueJobSpec) { onSuccess(s); s.MaxActive = 3 })
		b := &breaking{Executor: w.exec, broken: make(chan struct{})}
		w.via.exec = b
		w.start()
		defer w.stop()
		w.send("a", "b", "c")
		w.send("d")
		w.exec.FailList(executor.ErrUnavailable)
		b.broken <- struct{}{}
		synctest.Wait()
		running := w.exec.Names(record.Running)
		w.exec.Finish(running[0], true)
		if err := w.exec.Delete(t.Context(), running[1], ""); err != nil {
			t.Fatal(err)
		}
		w.pass(time.Minute)
		w.wantQueue(1, 3) // not known yet
		w.exec.FailList(nil)
		w.pass(2 * time.Minute)
		w.wantStates("3 Running, 1 Succeeded") // b again from its message
		w.finish(true)
		w.pass(time.Second)
		w.wantQueue(0, 0)
		w.wantCreated(5)
	})
}

func TestWhatTheWatchNeverShowsGivesItsRoomBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, queuetest.Options{}, func(s *v1alpha1.QueueJobSpec) { s.MaxActive = 1 })
		w.via.exec = &blind{w.exec}
		w.start()
		defer w.stop()
		w.send("a", "b")
		w.pass(30 * time.Second)
		w.wantStates("1 Running")
		w.finish(true)
		w.pass(5 * time.Minute)
		w.wantStates("1 Running, 1 Succeeded")
	})
}

// blind is an executor whose watch shows nothing.
type blind struct{ queuejob.Executor }

func (b *blind) Watch(ctx context.Context, queueJob string, ready func(), _ func(executor.Event)) error {
	return b.Executor.Watch(ctx, queueJob, ready, func(executor.Event) {})
}

func TestIdleRunnerOnlyPolls(t *testing.T) {
	inWorld(t, nil, func(t *testing.T, w *world) {
		w.send("a")
		w.finish(true)
		w.pass(time.Minute)
		before := w.queue.Calls(queuetest.OpReceive)
		w.pass(time.Hour)
		if n := w.queue.Calls(queuetest.OpReceive) - before; n > 181 {
			t.Errorf("%d receives in an idle hour, want polls of 20 s", n)
		}
		if !w.runner.Idle() {
			t.Error("not idle")
		}
	})
}

func TestRestartAfterACleanStopIsNoLostLease(t *testing.T) {
	inWorld(t, onSuccess, func(t *testing.T, w *world) {
		w.send("a", "b")
		w.stop() // gives the messages back
		w.wantQueue(2, 0)
		w.start()
		w.pass(time.Minute)
		if lost := w.told(queuejob.EventLeaseLost); len(lost) != 0 {
			t.Errorf("warned of what was given back on purpose: %v", lost)
		}
		w.wantQueue(0, 2)
		w.wantCreated(2)
		w.finish(true)
		w.pass(time.Minute)
		w.wantQueue(0, 0)
	})
}
