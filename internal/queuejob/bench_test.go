package queuejob_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/queuemill/queuemill/api/v1alpha1"
	"github.com/queuemill/queuemill/internal/executor"
	"github.com/queuemill/queuemill/internal/queue"
	"github.com/queuemill/queuemill/internal/queuejob"
	"github.com/queuemill/queuemill/internal/record"
)

// BenchmarkMessage is what a Runner itself costs per message, from receive to the
// confirmed delete of a job that ends at once: queue and executor do nothing.
func BenchmarkMessage(b *testing.B) {
	for _, ack := range []v1alpha1.AckMode{v1alpha1.AckOnCreate, v1alpha1.AckOnSuccess} {
		for _, size := range []int{32, 1000} {
			b.Run(fmt.Sprintf("%s/maxActive=%d", ack, size), func(b *testing.B) {
				q := &endless{left: b.N, done: make(chan struct{})}
				q.owed.Store(int64(b.N))
				qj := manifest(func(s *v1alpha1.QueueJobSpec) {
					s.Ack = ack
					s.MaxActive = size
				})
				r, err := queuejob.New(qj, queuejob.Options{Queue: q, Executor: &instant{}})
				if err != nil {
					b.Fatal(err)
				}
				ctx, cancel := context.WithCancel(b.Context())
				ended := make(chan error, 1)
				b.ReportAllocs()
				b.ResetTimer()
				go func() { ended <- r.Run(ctx) }()
				<-q.done
				b.StopTimer()
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "messages/s")
				cancel()
				<-ended
			})
		}
	}
}

// endless is a queue with as many messages as are wanted, all different.
type endless struct {
	queue.Queue
	mu   sync.Mutex
	left int
	owed atomic.Int64 // deletes
	done chan struct{}
}

func (q *endless) Receive(ctx context.Context, o queue.ReceiveOptions) ([]queue.Message, error) {
	q.mu.Lock()
	n := min(o.Max, q.left)
	first := q.left
	q.left -= n
	q.mu.Unlock()
	if n == 0 {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	messages := make([]queue.Message, n)
	for i := range messages {
		id := fmt.Sprintf("%032d", first-i)
		messages[i] = queue.Message{ID: id, Body: `{"target":"x"}`, Receipt: queue.Receipt(id), ReceiveCount: 1, SentAt: time.Now()}
	}
	return messages, nil
}

func (q *endless) Delete(_ context.Context, receipts []queue.Receipt) []error {
	if q.owed.Add(-int64(len(receipts))) == 0 {
		close(q.done)
	}
	return make([]error, len(receipts))
}

func (q *endless) Extend(_ context.Context, extensions []queue.Extension) []error {
	return make([]error, len(extensions))
}

// instant is an executor whose jobs succeed at their create, and that forgets them.
type instant struct {
	queuejob.Executor
	feed executor.Feed
}

func (x *instant) Create(_ context.Context, job executor.Job) (record.Record, error) {
	now := time.Now()
	rec, err := executor.NextRecord(nil, job, job.Name, now)
	if err != nil {
		return rec, err
	}
	code := 0
	running := rec.StartAttempt(now)
	ended := running.EndAttempt(record.Outcome{FinishedAt: now, ExitCode: &code}, false)
	x.feed.Publish(executor.Event{Record: rec.Summary()}, executor.Event{Record: running.Summary()}, executor.Event{Record: ended.Summary()})
	return rec, nil
}

func (x *instant) List(context.Context, string) ([]record.Record, error) { return nil, nil }

func (x *instant) Watch(ctx context.Context, queueJob string, ready func(), handle func(executor.Event)) error {
	return x.feed.Watch(ctx, queueJob, ready, handle)
}

func (x *instant) Patch(_ context.Context, name, uid string, p executor.Patch) (record.Record, error) {
	return record.Record{}, nil
}

func (x *instant) Delete(context.Context, string, string) error { return nil }
