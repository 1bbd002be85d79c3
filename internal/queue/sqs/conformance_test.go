package sqs_test

import (
	"fmt"
	"net/http/httptest"
	"strconv"
	"sync/atomic"
	"testing"

	"github.com/queuemill/queuemill/api/v1alpha1"
	"github.com/queuemill/queuemill/internal/queue"
	"github.com/queuemill/queuemill/internal/queue/embedded"
	"github.com/queuemill/queuemill/internal/queue/queuetest"
	"github.com/queuemill/queuemill/internal/queue/sqs"
	"github.com/queuemill/queuemill/internal/sqsserver"
	"github.com/queuemill/queuemill/internal/store"
)

// The real SQS can't be reached by a test; the embedded server, over HTTP, is
// the next best. `make smoke-aws` asks the real one.
func TestQueueConforms(t *testing.T) {
	broker, endpoint := serve(t)
	var queues atomic.Int64
	create := func(t *testing.T, suffix string, attributes map[string]string) (*embedded.Queue, queue.Queue) {
		t.Helper()
		name := fmt.Sprint("work-", queues.Add(1), suffix)
		e, err := broker.CreateQueue(broker.DefaultRegion(), name, attributes, nil)
		if err != nil {
			t.Fatal(err)
		}
		return e, open(t, endpoint, name)
	}
	queuetest.Run(t, queuetest.Harness{
		New: func(t *testing.T, s queuetest.Spec) (q, deadLetters queue.Queue) {
			suffix, attributes := "", map[string]string{}
			if s.FIFO {
				suffix, attributes["FifoQueue"] = ".fifo", "true"
			}
			if s.Visibility > 0 {
				attributes["VisibilityTimeout"] = strconv.Itoa(int(s.Visibility.Seconds()))
			}
			if s.MaxReceiveCount > 0 {
				var dead *embedded.Queue
				dead, deadLetters = create(t, "", nil)
				attributes["RedrivePolicy"] = fmt.Sprintf(`{"deadLetterTargetArn":%q,"maxReceiveCount":%d}`, dead.ARN(), s.MaxReceiveCount)
			}
			_, q = create(t, suffix, attributes)
			return q, deadLetters
		},
		Missing: func(t *testing.T) queue.Queue { return open(t, endpoint, "missing") },
	})
}

// serve runs the embedded server until the test ends.
func serve(t *testing.T) (b *embedded.Broker, endpoint string) {
	t.Helper()
	db, err := store.Open(t.TempDir(), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	b, err = embedded.Open(db, embedded.Options{NoCooldowns: true})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(sqsserver.New(b, sqsserver.Options{}))
	t.Cleanup(func() {
		server.Close()
		if err := b.Close(); err != nil {
			t.Errorf("close the broker: %v", err)
		}
		if err := db.Close(); err != nil {
			t.Errorf("close the store: %v", err)
		}
	})
	return b, server.URL
}

func open(t *testing.T, endpoint, name string) *sqs.Queue {
	t.Helper()
	q, err := sqs.Open(t.Context(), v1alpha1.SQSSource{URL: endpoint + "/000000000000/" + name}, sqs.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return q
}
