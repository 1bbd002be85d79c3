package queuejob_test

import (
	"context"
	"fmt"
	"net/http/httptest"
	"sync/atomic"
	"testing"

	"github.com/queuemill/queuemill/api/v1alpha1"
	"github.com/queuemill/queuemill/internal/executor"
	"github.com/queuemill/queuemill/internal/queue"
	"github.com/queuemill/queuemill/internal/queue/embedded"
	"github.com/queuemill/queuemill/internal/queue/sqs"
	"github.com/queuemill/queuemill/internal/queuejob"
	"github.com/queuemill/queuemill/internal/record"
	"github.com/queuemill/queuemill/internal/sqsserver"
	"github.com/queuemill/queuemill/internal/store"
)

// BenchmarkBurst is how fast a Runner drains a backlog over the wire: the SQS
// provider and the embedded server, fsync on, in this process, and an executor
// that does nothing. It has to be well above what an API server creates, some
// 560 Jobs a second.
func BenchmarkBurst(b *testing.B) {
	db, err := store.Open(b.TempDir(), store.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	broker, err := embedded.Open(db, embedded.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer broker.Close()
	server := httptest.NewServer(sqsserver.New(broker, sqsserver.Options{}))
	defer server.Close()
	if _, err := broker.CreateQueue(broker.DefaultRegion(), "burst", nil, nil); err != nil {
		b.Fatal(err)
	}
	q, err := sqs.Open(b.Context(), v1alpha1.SQSSource{URL: server.URL + "/000000000000/burst"}, sqs.Options{})
	if err != nil {
		b.Fatal(err)
	}
	out := make([]queue.Outgoing, b.N)
	for i := range out {
		out[i].Body = fmt.Sprintf(`{"target":"host-%d"}`, i)
	}
	for _, res := range q.Send(b.Context(), out) {
		if res.Err != nil {
			b.Fatal(res.Err)
		}
	}

	x := &counted{instant: &instant{}, created: make(chan struct{})}
	x.owed.Store(int64(b.N))
	r, err := queuejob.New(manifest(func(s *v1alpha1.QueueJobSpec) { s.MaxActive = 100_000 }), queuejob.Options{Queue: q, Executor: x})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.Context())
	ended := make(chan error, 1)
	b.ResetTimer()
	go func() { ended <- r.Run(ctx) }()
	<-x.created
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "creates/s")
	cancel()
	<-ended
}

// counted says when all creates were made.
type counted struct {
	*instant
	owed    atomic.Int64
	created chan struct{}
}

func (x *counted) Create(ctx context.Context, job executor.Job) (record.Record, error) {
	if x.owed.Add(-1) == 0 {
		close(x.created)
	}
	return x.instant.Create(ctx, job)
}
