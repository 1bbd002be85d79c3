//go:build smoke

package sqs_test

import (
	"os"
	"testing"
	"time"

	"github.com/queuemill/queuemill/api/v1alpha1"
	"github.com/queuemill/queuemill/internal/queue"
	"github.com/queuemill/queuemill/internal/queue/queuetest"
	"github.com/queuemill/queuemill/internal/queue/sqs"
)

// TestSmokeAWS runs the conformance suite against a real queue: `make smoke-aws
// QUEUE_URL=…`. Everything in that queue is received and deleted. It needs the
// rights SendMessage, ReceiveMessage, DeleteMessage, ChangeMessageVisibility and
// GetQueueAttributes, costs some thousand requests and takes some minutes.
func TestSmokeAWS(t *testing.T) {
	url := os.Getenv("QUEUEMILL_SMOKE_QUEUE_URL")
	if url == "" {
		t.Fatal("QUEUEMILL_SMOKE_QUEUE_URL names no queue; run: make smoke-aws QUEUE_URL=https://sqs.REGION.amazonaws.com/ACCOUNT/NAME")
	}
	q, err := sqs.Open(t.Context(), v1alpha1.SQSSource{URL: url}, sqs.Options{})
	if err != nil {
		t.Fatal(err)
	}
	queuetest.Run(t, queuetest.Harness{
		Borrowed: true,
		New: func(t *testing.T, _ queuetest.Spec) (queue.Queue, queue.Queue) {
			empty(t, q)
			return q, nil
		},
	})
}

// empty deletes what is visible, until a long poll finds nothing.
func empty(t *testing.T, q *sqs.Queue) {
	t.Helper()
	for {
		got, err := q.Receive(t.Context(), queue.ReceiveOptions{Max: 10, Wait: 2 * time.Second})
		if err != nil {
			t.Fatal(err)
		}
		if len(got) == 0 {
			return
		}
		for _, m := range got {
			for _, err := range q.Delete(t.Context(), []queue.Receipt{m.Receipt}) {
				if err != nil {
					t.Fatal(err)
				}
			}
		}
	}
}
