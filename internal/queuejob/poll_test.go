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
	"github.com/queuemill/queuemill/internal/record"
)

// slow is a queue whose answers take a while, and that counts what it is asked
// for at once.
type slow struct {
	*queuetest.Fake
	takes time.Duration
	check func(asked int) // messages that the receives under way may bring

	mu          sync.Mutex
	polls, most int
	asked       int
}

func (q *slow) Receive(ctx context.Context, o queue.ReceiveOptions) ([]queue.Message, error) {
	q.mu.Lock()
	q.polls++
	q.most = max(q.most, q.polls)
	q.asked += o.Max
	asked := q.asked
	q.mu.Unlock()
	defer func() {
		q.mu.Lock()
		defer q.mu.Unlock()
		q.polls--
		q.asked -= o.Max
	}()
	if q.check != nil {
		q.check(asked)
	}
	select {
	case <-time.After(q.takes):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	return q.Fake.Receive(ctx, o)
}

// most is the largest number of receives at once since the last call.
func (q *slow) mostPolls() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	n := q.most
	q.most = q.polls
	return n
}

func TestBacklogIsReceivedBySeveralReceivesAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, queuetest.Options{}, func(s *v1alpha1.QueueJobSpec) { s.MaxActive = 5000 })
		q := &slow{Fake: w.queue, takes: 20 * time.Millisecond}
		w.via.queue = q
		w.send(bodies(2000)...)
		w.start()
		defer w.stop()
		w.pass(time.Second) // one after the other they would take four
		if n := len(w.exec.Created()); n != 2000 {
			t.Errorf("%d jobs after a second, want all 2000", n)
		}
		w.pass(time.Minute)
		q.mostPolls()
		w.pass(time.Minute)
		if n := q.mostPolls(); n != 1 {
			t.Errorf("%d receives at once on an empty queue, want 1", n)
		}
		w.wantQueue(0, 0)
	})
}

func TestReceivesAtOnceNeverBringMoreThanThereIsRoomFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const room = 43
		w := newWorld(t, queuetest.Options{}, func(s *v1alpha1.QueueJobSpec) { s.MaxActive = room })
		unfinished := func() int { return len(w.exec.Names(record.Running)) + len(w.exec.Names(record.Queued)) }
		q := &slow{Fake: w.queue, takes: 7 * time.Millisecond}
		q.check = func(asked int) {
			if n := unfinished(); n+asked > room {
				t.Errorf("%d jobs are unfinished and %d messages are asked for, with room for %d", n, asked, room)
			}
		}
		w.via.queue = q
		w.send(bodies(500)...)
		w.start()
		defer w.stop()
		most := 0
		for range 200 {
			w.pass(50 * time.Millisecond)
			most = max(most, unfinished())
			for i, name := range w.exec.Names(record.Running) {
				if i%3 == 0 {
					w.exec.Finish(name, i%2 == 0)
				}
			}
			for i, name := range w.exec.Names(record.Failed) {
				if i == 0 && len(w.exec.Created()) < 300 {
					w.patch(name, wantRetry)
				}
			}
		}
		if most != room {
			t.Errorf("at most %d jobs at once, want %d", most, room)
		}
		if n := q.mostPolls(); n < 2 {
			t.Errorf("%d receives at once: the test shows nothing", n)
		}
	})
}

func TestMessagesInHandWaitInTheQueueWhileCreatesAreSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, queuetest.Options{}, func(s *v1alpha1.QueueJobSpec) { s.MaxActive = 5000 })
		release := make(chan struct{})
		w.exec.BeforeCreate(func(executor.Job) error { <-release; return nil })
		w.send(bodies(2000)...)
		w.start()
		w.pass(time.Minute)
		if n := w.queue.Count().InFlight; n < 240 || n > 256 {
			t.Errorf("%d messages in hand that have no job, want about 256", n)
		}
		close(release)
		w.pass(time.Second)
		w.wantCreated(2000)
		w.stop()
	})
}
