package sqsserver

import (
	"context"
	"net/http"
	"testing"

	"github.com/queuemill/queuemill/internal/queue/embedded"
)

// lateContext ends between the queue's last look at it and the server's.
type lateContext struct {
	context.Context
	looks int
}

func (c *lateContext) Err() error {
	if c.looks--; c.looks < 0 {
		return context.Canceled
	}
	return nil
}

// A client may leave after the queue has handed the messages out. Whenever it
// does, the next receive gets them.
func TestMessagesOfAClientThatLeftAtTheLastMomentGoBack(t *testing.T) {
	broker := newBroker(t, embedded.Options{})
	q, err := broker.CreateQueue("us-east-1", "q", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	s := New(broker, Options{})
	if r := q.Send(t.Context(), []embedded.SendEntry{{Body: "here"}})[0]; r.Err != nil {
		t.Fatal(r.Err)
	}
	for looks := 0; ; looks++ {
		r := jsonCall("ReceiveMessage", `{"QueueUrl":"http://h/000000000000/q"}`)
		w := do(s, r.WithContext(&lateContext{t.Context(), looks}))
		if w.Code != http.StatusOK {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
		if w.Body.String() != "{}" {
			return // it stayed to the end
		}
		if d := q.Depth(); d.Visible != 1 {
			t.Fatalf("left at look %d: %+v, want the message visible", looks, d)
		}
	}
}
