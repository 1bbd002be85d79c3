package sqsserver

import (
	"context"
	"net/http"
	"strings"
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

// A send is done or not done, whoever still listens: a client that left may
// send again, but what it sent is not dropped half way.
func TestSendOfAClientThatLeftIsDone(t *testing.T) {
	broker := newBroker(t, embedded.Options{})
	q, err := broker.CreateQueue("us-east-1", "q", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	s := New(broker, Options{})
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	for _, r := range []*http.Request{
		jsonCall("SendMessage", `{"QueueUrl":"http://h/000000000000/q","MessageBody":"a"}`),
		jsonCall("SendMessageBatch", `{"QueueUrl":"http://h/000000000000/q","Entries":[{"Id":"b","MessageBody":"b"}]}`),
	} {
		if w := do(s, r.WithContext(gone)); w.Code != http.StatusOK || strings.Contains(w.Body.String(), "Failed") {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	}
	if d := q.Depth(); d.Visible != 2 {
		t.Errorf("depth %+v", d)
	}
}

// Lists and maps are bounded before a queue's own, smaller limits are asked.
func TestTooManyItemsAreRefused(t *testing.T) {
	s := New(newBroker(t, embedded.Options{}), Options{})
	if w := do(s, jsonCall("CreateQueue", `{"QueueName":"q"}`)); w.Code != http.StatusOK {
		t.Fatal(w.Body)
	}
	names := strings.Repeat(`"All",`, maxItems)
	for member, items := range map[string]string{
		"AttributeNames":    `[` + names + `"All"]`,
		"TagKeys":           `[` + names + `"All"]`,
		"Tags":              `{` + strings.ReplaceAll(manyMembers(maxItems+1), "0,", `"",`) + `}`,
		"MessageAttributes": `{` + strings.ReplaceAll(manyMembers(maxItems+1), ":0", `:{"DataType":"String","StringValue":"x"}`) + `}`,
	} {
		action := map[string]string{"AttributeNames": "GetQueueAttributes", "TagKeys": "UntagQueue", "Tags": "TagQueue", "MessageAttributes": "SendMessage"}[member]
		w := do(s, jsonCall(action, `{"QueueUrl":"http://h/000000000000/q","MessageBody":"x","`+member+`":`+items+`}`))
		if w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), "1000") {
			t.Errorf("%s: %d %.300s", member, w.Code, w.Body)
		}
	}
}
