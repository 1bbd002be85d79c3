package chaos

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/queuemill/queuemill/internal/queue"
	"github.com/queuemill/queuemill/internal/queue/embedded"
	"github.com/queuemill/queuemill/internal/sqsserver"
	"github.com/queuemill/queuemill/internal/store"
)

// endpoint is the embedded queue behind its SQS endpoint, in the process of the
// test, with a hand of the test between: it makes calls fail, and remembers
// what became of every message.
type endpoint struct {
	url    string // of the endpoint
	broker *embedded.Broker
	server http.Handler

	mu         sync.Mutex
	random     *rand.Rand
	failing    float64          // how many of the deletes fail
	duplicates int              // percent of the messages that come again after a confirmed delete
	holding    bool             // … when expire says so, and not within three seconds
	dying      map[string]int   // by queue: the receives that make a dead letter
	away       bool             // every call is answered 503
	calls      map[string]int   // by action
	polls      int              // receives that wait for messages
	messages   map[string]*fate // by message ID
	byHandle   map[string]*fate
}

// fate is what the endpoint did with one message.
type fate struct {
	id        string
	queue     string
	handle    string // the latest
	receives  int
	decided   bool // whether its first delete is forgotten
	forgotten int  // deletes that were confirmed and not done
	history   []string
}

func (f *fate) note(format string, args ...any) {
	f.history = append(f.history, time.Now().Format("15:04:05.000 ")+fmt.Sprintf(format, args...))
}

func startSQS(t testing.TB, seed uint64) *endpoint {
	t.Helper()
	db, err := store.Open(t.TempDir(), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	broker, err := embedded.Open(db, embedded.Options{})
	if err != nil {
		t.Fatal(err)
	}
	s := &endpoint{
		broker:   broker,
		server:   sqsserver.New(broker, sqsserver.Options{}),
		random:   rand.New(rand.NewPCG(seed, 2)),
		dying:    map[string]int{},
		calls:    map[string]int{},
		messages: map[string]*fate{},
		byHandle: map[string]*fate{},
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.url = "http://" + ln.Addr().String()
	polls, endPolls := context.WithCancel(context.Background())
	hs := &http.Server{Handler: s, ReadHeaderTimeout: time.Minute, BaseContext: func(net.Listener) context.Context { return polls }}
	ended := make(chan error, 1)
	go func() { ended <- hs.Serve(ln) }()
	t.Cleanup(func() {
		endPolls()
		hs.Close()
		<-ended
		if err := broker.Close(); err != nil {
			t.Errorf("close the broker: %v", err)
		}
		if err := db.Close(); err != nil {
			t.Errorf("close the store: %v", err)
		}
	})
	return s
}

// queue makes a queue and returns its URL. With maxReceives it has a
// dead-letter queue named NAME-dead.
func (s *endpoint) queue(t testing.TB, name string, maxReceives int) string {
	t.Helper()
	attributes := map[string]string{}
	s.set(func(s *endpoint) { s.dying[name] = maxReceives })
	if maxReceives > 0 {
		dead, err := s.broker.CreateQueue("us-east-1", name+"-dead", nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		attributes["RedrivePolicy"] = fmt.Sprintf(`{"deadLetterTargetArn":%q,"maxReceiveCount":%d}`, dead.ARN(), maxReceives)
	}
	if _, err := s.broker.CreateQueue("us-east-1", name, attributes, nil); err != nil {
		t.Fatal(err)
	}
	return s.url + "/000000000000/" + name
}

func (s *endpoint) get(t testing.TB, name string) *embedded.Queue {
	t.Helper()
	q, err := s.broker.Queue("us-east-1", name)
	if err != nil {
		t.Fatal(err)
	}
	return q
}

// send puts messages into a queue and returns their IDs.
func (s *endpoint) send(t testing.TB, name string, messages ...queue.Outgoing) []string {
	t.Helper()
	ids := make([]string, len(messages))
	for i, r := range s.get(t, name).AsQueue().Send(t.Context(), messages) {
		if r.Err != nil {
			t.Fatalf("send message %d to %s: %v", i, name, r.Err)
		}
		ids[i] = r.ID
	}
	return ids
}

// body is a message of that body.
func body(text string) queue.Outgoing { return queue.Outgoing{Body: text} }

// set changes how the endpoint behaves.
func (s *endpoint) set(change func(*endpoint)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(s)
}

// of is what became of a message; the zero fate when it was never received.
func (s *endpoint) of(id string) fate {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f := s.messages[id]; f != nil {
		return *f
	}
	return fate{id: id}
}

// called is how often an action ("ReceiveMessage") was called.
func (s *endpoint) called(action string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls[action]
}

// expire makes received messages of a queue visible again at once, as if their
// visibility timeouts had passed, those that which names.
func (s *endpoint) expire(t testing.TB, name string, which func(fate) bool) (n int) {
	t.Helper()
	q := s.get(t, name)
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range s.messages {
		if f.queue != name || !which(*f) {
			continue
		}
		if err := q.ChangeVisibility(t.Context(), []embedded.VisibilityChange{{Handle: f.handle}})[0]; err == nil {
			f.note("its visibility timeout is over")
			n++
		}
	}
	return n
}

// depth is how much a queue holds, for messages.
func (s *endpoint) depth(t testing.TB, name string) string {
	d := s.get(t, name).Depth()
	return strconv.Itoa(d.Visible) + " visible, " + strconv.Itoa(d.InFlight) + " in flight, " + strconv.Itoa(d.Delayed) + " delayed"
}

// takeAndReturn receives one message, as somebody else, and gives it back.
func (s *endpoint) takeAndReturn(t testing.TB, name string) {
	t.Helper()
	q := s.get(t, name).AsQueue()
	got, err := q.Receive(t.Context(), queue.ReceiveOptions{Max: 1, Wait: 10 * time.Second})
	if err != nil || len(got) != 1 {
		t.Fatalf("receive from %s: %d messages, %v; it holds %s", name, len(got), err, s.depth(t, name))
	}
	if err := q.Extend(t.Context(), []queue.Extension{{Receipt: got[0].Receipt}})[0]; err != nil {
		t.Fatal(err)
	}
}

// drain receives and deletes all that is visible in a queue and returns the IDs.
func (s *endpoint) drain(t testing.TB, name string) (ids []string) {
	t.Helper()
	q := s.get(t, name).AsQueue()
	for {
		got, err := q.Receive(t.Context(), queue.ReceiveOptions{Max: 10, Visibility: time.Minute})
		if err != nil {
			t.Fatal(err)
		}
		if len(got) == 0 {
			return ids
		}
		receipts := make([]queue.Receipt, len(got))
		for i, m := range got {
			ids, receipts[i] = append(ids, m.ID), m.Receipt
		}
		for _, err := range q.Delete(t.Context(), receipts) {
			if err != nil {
				t.Fatal(err)
			}
		}
	}
}
