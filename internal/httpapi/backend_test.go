package httpapi_test

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/queuemill/queuemill/api/v1alpha1"
	"github.com/queuemill/queuemill/internal/executor"
	"github.com/queuemill/queuemill/internal/executor/executortest"
	"github.com/queuemill/queuemill/internal/httpapi"
	"github.com/queuemill/queuemill/internal/message"
	"github.com/queuemill/queuemill/internal/queue"
	"github.com/queuemill/queuemill/internal/queue/queuetest"
	"github.com/queuemill/queuemill/internal/reason"
	"github.com/queuemill/queuemill/internal/record"
)

// backend is a controller in memory.
type backend struct {
	*executortest.Fake
	queues map[string]*queuetest.Fake
	idle   chan struct{} // closed: idle

	mu        sync.Mutex
	suspended map[string]bool
	retried   []string
	refuse    map[string]error // retries, by job
}

func newBackend() *backend {
	dlq := queuetest.NewFake(queuetest.Options{Name: "ping-dlq"})
	return &backend{
		Fake: executortest.NewFake(),
		queues: map[string]*queuetest.Fake{
			"ping":     queuetest.NewFake(queuetest.Options{Name: "ping", DeadLetters: dlq, MaxReceiveCount: 3}),
			"ping-dlq": dlq,
		},
		idle: make(chan struct{}), suspended: map[string]bool{}, refuse: map[string]error{},
	}
}

func (b *backend) server() httpapi.Backend {
	return httpapi.Backend{Jobs: b, Controller: b, Queues: b, Pools: b}
}

// add puts a job into state s; its message has the body given.
func (b *backend) add(t *testing.T, name string, s record.State, body string, confidential bool) {
	t.Helper()
	job := executor.Job{
		Name: name, Attempt: 1, QueueJob: "ping", Identity: "id-" + name, IdempotencyKey: "key-" + name,
		Message: record.Message{
			ID: "message-" + name, Body: body, Size: len(body), SentAt: time.Now(),
			Attributes: map[string]message.Attribute{"tenant": {DataType: "String", StringValue: "acme"}},
		},
		Confidential: confidential, Spec: &v1alpha1.QueueJobSpec{},
	}
	if s == record.Invalid {
		job.Invalid = &reason.Cause{Reason: reason.SchemaMismatch, Detail: "card is 4111111111111111"}
	}
	if _, err := b.Create(t.Context(), job); err != nil {
		t.Fatal(err)
	}
	switch s {
	case record.Succeeded:
		b.Finish(name, true)
	case record.Failed:
		b.Finish(name, false)
	}
}

func (b *backend) Status(ctx context.Context) (httpapi.Status, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	qj := httpapi.QueueJob{
		Name: "ping", Queue: "ping", Executor: "process", Ack: "OnCreate", MaxActive: 10, Suspended: b.suspended["ping"],
		Conditions: []httpapi.Condition{{Type: "Ready", Status: true}},
	}
	other := qj
	other.Name, other.Queue = "rows", "csv-rows"
	queues, err := b.ListQueues(ctx)
	return httpapi.Status{Version: "test", StartedAt: time.Now(), QueueJobs: []httpapi.QueueJob{qj, other}, Queues: queues}, err
}

func (b *backend) Suspend(_ context.Context, queueJob string, suspend bool) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if queueJob != "ping" {
		return executor.ErrNotFound
	}
	b.suspended[queueJob] = suspend
	return nil
}

func (b *backend) Retry(ctx context.Context, job string) error {
	if _, err := b.Get(ctx, job); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.refuse[job]; err != nil {
		return err
	}
	b.retried = append(b.retried, job)
	return nil
}

func (b *backend) Prune(ctx context.Context, r httpapi.PruneRequest) (httpapi.PruneResult, error) {
	if r.QueueJob == "none" {
		return httpapi.PruneResult{}, executor.ErrNotFound
	}
	all, err := b.List(ctx, r.QueueJob)
	var names []string
	for _, j := range all {
		if slices.Contains(r.States, j.State) {
			names = append(names, j.Name)
			if !r.DryRun {
				err = cmp.Or(err, b.Delete(ctx, j.Name, j.UID))
			}
		}
	}
	return httpapi.PruneResult{Jobs: names, Kept: &httpapi.Kept{InWindow: 1, WindowEndsAt: time.Unix(1e9, 0)}}, err
}

func (b *backend) WaitIdle(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-b.idle:
		return nil
	}
}

func (b *backend) ListQueues(ctx context.Context) ([]httpapi.Queue, error) {
	var all []httpapi.Queue
	for name, q := range b.queues {
		d, err := q.Depth(ctx)
		if err != nil {
			return nil, err
		}
		all = append(all, httpapi.Queue{Name: name, Visible: d.Visible, InFlight: d.InFlight, Delayed: d.Delayed, QueueJobs: []string{}, WorkerPools: []string{}})
	}
	slices.SortFunc(all, func(a, b httpapi.Queue) int { return cmp.Compare(a.Name, b.Name) })
	return all, nil
}

func (b *backend) OpenQueue(_ context.Context, name string) (queue.Queue, error) {
	if q, ok := b.queues[name]; ok {
		return q, nil
	}
	return nil, queue.ErrNotFound
}

func (b *backend) CreateQueue(_ context.Context, name string) error {
	if name == "bad!" {
		return httpapi.NewProblem(http.StatusBadRequest, "a queue's name has letters, digits, - and _", "")
	}
	if b.queues[name] == nil {
		b.queues[name] = queuetest.NewFake(queuetest.Options{Name: name})
	}
	return nil
}

func (b *backend) ListPools(context.Context) ([]httpapi.WorkerPool, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	at := metav1.NewMicroTime(time.Unix(1e9, 0))
	return []httpapi.WorkerPool{{
		Name: "thumbs", Queue: "thumbs", RunsOn: "process", MaxWorkers: 10, Suspended: b.suspended["pool thumbs"],
		Desired: 6, Workers: v1alpha1.WorkerCounts{Starting: 1, Ready: 5, Busy: 4}, Messages: &v1alpha1.QueueCounts{Visible: 23, InFlight: 4},
		Decision: &v1alpha1.ScalingDecision{Desired: 6, Reason: "23 waiting + 4 running over 5 per worker wants 6", Time: at, NextChange: &at},
		Trouble:  "no such program", File: "queuemill.yaml",
	}}, nil
}

func (b *backend) SuspendPool(_ context.Context, pool string, suspend bool) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if pool != "thumbs" {
		return executor.ErrNotFound
	}
	b.suspended["pool "+pool] = suspend
	return nil
}
