package queuejob

import (
	"context"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/queuemill/queuemill/api/v1alpha1"
	"github.com/queuemill/queuemill/internal/executor"
	"github.com/queuemill/queuemill/internal/executor/executortest"
	"github.com/queuemill/queuemill/internal/queue"
	"github.com/queuemill/queuemill/internal/queue/queuetest"
)

// A time without a monotonic reading follows the steps of the wall clock: then
// one step would end every lease and every pause, or none for hours.
// (In a bubble of synctest there is no monotonic reading.)
func TestLeasesAndPausesAreMeasuredByTheMonotonicClock(t *testing.T) {
	qj := &v1alpha1.QueueJob{ObjectMeta: metav1.ObjectMeta{Name: "ping"}}
	qj.Spec.Queue.SQS = &v1alpha1.SQSSource{Name: "ping"}
	qj.Spec.Process = &v1alpha1.ProcessTemplate{Command: []string{"true"}}
	qj.Spec.Ack = onSuccess
	qj.Spec.Breaker = &v1alpha1.Breaker{
		Failures: 1, Within: metav1.Duration{Duration: time.Minute}, Pause: metav1.Duration{Duration: time.Hour},
	}
	q, exec := queuetest.NewFake(queuetest.Options{}), executortest.NewFake()
	created, told := make(chan string, 10), make(chan EventReason, 100)
	exec.AfterCreate(func(job executor.Job) error {
		created <- job.Name
		return nil
	})
	r, err := New(qj, Options{Queue: q, Executor: exec, OnEvent: func(e Event) { told <- e.Reason }})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	for _, answer := range q.Send(t.Context(), []queue.Outgoing{{Body: "a"}, {Body: "b"}}) {
		if answer.Err != nil {
			t.Fatal(answer.Err)
		}
	}
	job := <-created
	<-created

	times := map[string]time.Time{}
	r.mu.Lock()
	for _, l := range r.leases {
		times["lease.received"], times["lease.until"] = l.received, l.until
	}
	r.mu.Unlock()
	q.SetHostility(queuetest.Hostility{Unreachable: true})
	exec.Finish(job, false) // opens the breaker; the message can't be given back
	for seen := map[EventReason]bool{}; !seen[EventBreakerOpen] || !seen[EventUnhealthy]; {
		seen[<-told] = true
	}
	r.mu.Lock()
	times["breaker.until"] = r.breaker.Until
	for _, all := range r.troubles {
		for t := range all {
			times["trouble.next"] = t.next
		}
	}
	r.mu.Unlock()
	if len(times) != 4 {
		t.Errorf("only %v were there to look at", times)
	}
	for name, at := range times {
		if !strings.Contains(at.String(), " m=") {
			t.Errorf("%s is %s, without a monotonic reading", name, at)
		}
	}
	q.SetHostility(queuetest.Hostility{})
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
