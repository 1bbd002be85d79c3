package sqsclients

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"reflect"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/queuemill/queuemill/internal/queue/embedded"
	"github.com/queuemill/queuemill/internal/sqsserver"
	"github.com/queuemill/queuemill/internal/store"
)

const (
	access, secret = "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
	account        = "000000000000"
	maxInFlight    = 20 // of a queue; SQS's 120,000 would make one cell a minute long
)

// servers are what the cells talk to: the same broker behind a server that
// takes anybody and one that verifies signatures.
type servers struct {
	broker       *embedded.Broker
	open, signed string // endpoints
}

func startServers(t *testing.T) *servers {
	t.Helper()
	db, err := store.Open(t.TempDir(), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	broker, err := embedded.Open(db, embedded.Options{MaxInFlight: maxInFlight})
	if err != nil {
		t.Fatal(err)
	}
	s := &servers{broker: broker}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 2)
	serve := func(o sqsserver.Options) string {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		go func() { ended <- sqsserver.New(broker, o).Serve(ctx, ln) }()
		return "http://" + ln.Addr().String()
	}
	s.open = serve(sqsserver.Options{})
	s.signed = serve(sqsserver.Options{Credentials: []sqsserver.Credential{{AccessKeyID: access, SecretAccessKey: secret}}})
	t.Cleanup(func() {
		stop()
		for range 2 {
			if err := <-ended; err != nil {
				t.Errorf("serve: %v", err)
			}
		}
		if err := broker.Close(); err != nil {
			t.Errorf("close the broker: %v", err)
		}
		if err := db.Close(); err != nil {
			t.Errorf("close the store: %v", err)
		}
	})
	return s
}

// fixture is what one cell prepares and looks at: by another client than the
// one under test, aws-sdk-go-v2 bare.
type fixture struct {
	*testing.T
	*servers
	id  string // unique, in the names of its queues
	sdk *sqs.Client
}

var fixtures atomic.Int64

func newFixture(t *testing.T, s *servers) *fixture {
	return &fixture{
		T: t, servers: s, id: fmt.Sprint("cell-", fixtures.Add(1)),
		sdk: sdkClient(request{Endpoint: s.open, Access: "any", Secret: "any"}),
	}
}

// queue makes a queue of the cell's own and returns its URL; attributes are
// pairs of name and value.
func (f *fixture) queue(name string, attributes ...string) (url string) {
	f.Helper()
	all := map[string]string{}
	for i := 0; i < len(attributes); i += 2 {
		all[attributes[i]] = attributes[i+1]
	}
	out, err := f.sdk.CreateQueue(f.Context(), &sqs.CreateQueueInput{QueueName: ptr(f.id + name), Attributes: all})
	if err != nil {
		f.Fatal(err)
	}
	return *out.QueueUrl
}

// missing is the URL of a queue that does not exist.
func (f *fixture) missing() string { return f.open + "/" + account + "/" + f.id + "-missing" }

func (f *fixture) arn(name string) string {
	return "arn:aws:sqs:us-east-1:" + account + ":" + f.id + name
}

// deadLetters makes a queue and its dead-letter queue with n messages, and
// returns both URLs.
func (f *fixture) deadLetters(n int) (url, dead string) {
	f.Helper()
	dead = f.queue("-dead")
	url = f.queue("", "RedrivePolicy", fmt.Sprintf(`{"deadLetterTargetArn":%q,"maxReceiveCount":"1"}`, f.arn("-dead")))
	f.send(url, n)
	for range n {
		f.giveBack(url, f.receive(url))
	}
	if out, err := f.sdk.ReceiveMessage(f.Context(), &sqs.ReceiveMessageInput{QueueUrl: &url}); err != nil || len(out.Messages) != 0 {
		f.Fatalf("receive what should be dead letters: %v", err)
	}
	return url, dead
}

func (f *fixture) send(url string, n int) {
	f.Helper()
	for i := range n {
		if _, err := f.sdk.SendMessage(f.Context(), &sqs.SendMessageInput{QueueUrl: &url, MessageBody: ptr(fmt.Sprint("body ", i))}); err != nil {
			f.Fatal(err)
		}
	}
}

// receive returns the receipt handle of one message, in flight for a minute.
func (f *fixture) receive(url string) (receipt string) {
	f.Helper()
	out, err := f.sdk.ReceiveMessage(f.Context(), &sqs.ReceiveMessageInput{QueueUrl: &url, VisibilityTimeout: 60, WaitTimeSeconds: 5})
	if err != nil || len(out.Messages) != 1 {
		f.Fatalf("receive: %v", err)
	}
	return *out.Messages[0].ReceiptHandle
}

func (f *fixture) giveBack(url, receipt string) {
	f.Helper()
	if _, err := f.sdk.ChangeMessageVisibility(f.Context(), &sqs.ChangeMessageVisibilityInput{QueueUrl: &url, ReceiptHandle: &receipt}); err != nil {
		f.Fatal(err)
	}
}

func (f *fixture) delete(url, receipt string) {
	f.Helper()
	if _, err := f.sdk.DeleteMessage(f.Context(), &sqs.DeleteMessageInput{QueueUrl: &url, ReceiptHandle: &receipt}); err != nil {
		f.Fatal(err)
	}
}

// attribute is one attribute of a queue, "" when it has none.
func (f *fixture) attribute(url, name string) string {
	f.Helper()
	out, err := f.sdk.GetQueueAttributes(f.Context(), &sqs.GetQueueAttributesInput{QueueUrl: &url, AttributeNames: names(name)})
	if err != nil {
		f.Fatal(err)
	}
	return out.Attributes[name]
}

// counts checks what is visible and what is in flight.
func (f *fixture) counts(url, visible, inFlight string) {
	f.Helper()
	v, i := f.attribute(url, "ApproximateNumberOfMessages"), f.attribute(url, "ApproximateNumberOfMessagesNotVisible")
	if v != visible || i != inFlight {
		f.Errorf("%s messages are visible and %s in flight, want %s and %s", v, i, visible, inFlight)
	}
}

// equal compares what a client returned with what JSON would make of want.
func (f *fixture) equal(what string, got, want any) {
	f.Helper()
	if got, want := f.plain(got), f.plain(want); !reflect.DeepEqual(got, want) {
		f.Errorf("%s is %v, want %v", what, got, want)
	}
}

// plain is v as JSON has it.
func (f *fixture) plain(v any) (out any) {
	f.Helper()
	data, err := json.Marshal(v)
	if err == nil {
		err = json.Unmarshal(data, &out)
	}
	if err != nil {
		f.Fatal(err)
	}
	return out
}

func ptr[T any](v T) *T { return &v }

// at follows keys and indices into a result; nil when there is no such thing.
func at(v any, path ...any) any {
	for _, p := range path {
		switch key := p.(type) {
		case string:
			m, _ := v.(map[string]any)
			v = m[key]
		case int:
			l, _ := v.([]any)
			if key >= len(l) {
				return nil
			}
			v = l[key]
		}
	}
	return v
}

func text(v any, path ...any) string {
	s, _ := at(v, path...).(string)
	return s
}

func length(v any, path ...any) int {
	l, _ := at(v, path...).([]any)
	return len(l)
}
