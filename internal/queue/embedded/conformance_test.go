package embedded_test

import (
	"strconv"
	"testing"

	"github.com/queuemill/queuemill/internal/queue"
	"github.com/queuemill/queuemill/internal/queue/embedded"
	"github.com/queuemill/queuemill/internal/queue/queuetest"
	"github.com/queuemill/queuemill/internal/store"
)

func TestQueueConforms(t *testing.T) {
	queuetest.Run(t, queuetest.Harness{
		New: func(t *testing.T, s queuetest.Spec) (q, deadLetters queue.Queue) {
			b := openBroker(t)
			name, attributes := "work", map[string]string{}
			if s.FIFO {
				name, attributes["FifoQueue"] = "work.fifo", "true"
			}
			if s.Visibility > 0 {
				attributes["VisibilityTimeout"] = strconv.Itoa(int(s.Visibility.Seconds()))
			}
			if s.MaxReceiveCount > 0 {
				dead := create(t, b, "dead", nil)
				deadLetters = dead.AsQueue()
				attributes["RedrivePolicy"] = `{"deadLetterTargetArn":"` + dead.ARN() + `","maxReceiveCount":` + strconv.Itoa(s.MaxReceiveCount) + `}`
			}
			return create(t, b, name, attributes).AsQueue(), deadLetters
		},
		Missing: func(t *testing.T) queue.Queue {
			b := openBroker(t)
			q := create(t, b, "gone", nil)
			if err := b.DeleteQueue(b.DefaultRegion(), "gone"); err != nil {
				t.Fatal(err)
			}
			return q.AsQueue()
		},
	})
}

func openBroker(t *testing.T) *embedded.Broker {
	t.Helper()
	db, err := store.Open(t.TempDir(), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	b, err := embedded.Open(db, embedded.Options{NoCooldowns: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Errorf("close the broker: %v", err)
		}
		if err := db.Close(); err != nil {
			t.Errorf("close the store: %v", err)
		}
	})
	return b
}

func create(t *testing.T, b *embedded.Broker, name string, attributes map[string]string) *embedded.Queue {
	t.Helper()
	q, err := b.CreateQueue(b.DefaultRegion(), name, attributes, nil)
	if err != nil {
		t.Fatal(err)
	}
	return q
}
