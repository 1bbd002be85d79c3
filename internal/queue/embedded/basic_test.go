package embedded

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/queuemill/queuemill/internal/store"
)

// openBroker opens a broker on dir and closes it with the test.
func openBroker(t testing.TB, dir string, o Options) *Broker {
	t.Helper()
	b, _ := openBrokerClose(t, dir, o)
	return b
}

func openBrokerClose(t testing.TB, dir string, o Options) (*Broker, func()) {
	t.Helper()
	db, err := store.Open(dir, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	b, err := Open(db, o)
	if err != nil {
		t.Fatal(err)
	}
	closed := false
	closeAll := func() {
		if closed {
			return
		}
		closed = true
		if err := b.Close(); err != nil {
			t.Error(err)
		}
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(closeAll)
	return b, closeAll
}

func createQueue(t testing.TB, b *Broker, name string, attributes map[string]string) *Queue {
	t.Helper()
	if isFIFOName(name) {
		m := map[string]string{"FifoQueue": "true"}
		for k, v := range attributes {
			m[k] = v
		}
		attributes = m
	}
	q, err := b.CreateQueue("", name, attributes, nil)
	if err != nil {
		t.Fatal(err)
	}
	return q
}

func send(t testing.TB, q *Queue, entries ...SendEntry) []SendResult {
	t.Helper()
	results := q.Send(context.Background(), entries)
	for _, r := range results {
		if r.Err != nil {
			t.Fatal(r.Err)
		}
	}
	return results
}

func sendBodies(t testing.TB, q *Queue, bodies ...string) []SendResult {
	t.Helper()
	entries := make([]SendEntry, len(bodies))
	for i, b := range bodies {
		entries[i].Body = b
	}
	return send(t, q, entries...)
}

func receive(t testing.TB, q *Queue, max int) []*Message {
	t.Helper()
	m, err := q.Receive(context.Background(), ReceiveOptions{Max: max})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func bodies(messages []*Message) string {
	var s []string
	for _, m := range messages {
		s = append(s, m.Body)
	}
	return fmt.Sprint(s)
}

func deleteAll(t testing.TB, q *Queue, messages []*Message) {
	t.Helper()
	var handles []string
	for _, m := range messages {
		handles = append(handles, m.Handle)
	}
	for _, err := range q.Delete(context.Background(), handles) {
		if err != nil {
			t.Fatal(err)
		}
	}
}

func dur(d time.Duration) *time.Duration { return &d }

func TestMessageIsReceivedInvisibleAndDeleted(t *testing.T) {
	b := openBroker(t, t.TempDir(), Options{})
	q := createQueue(t, b, "q", nil)
	sendBodies(t, q, "one", "two")
	got := receive(t, q, 10)
	if bodies(got) != "[one two]" {
		t.Fatalf("received %v", bodies(got))
	}
	if again := receive(t, q, 10); len(again) != 0 {
		t.Fatalf("received %v while in flight", bodies(again))
	}
	if d := q.Depth(); d.InFlight != 2 || d.Visible != 0 {
		t.Fatalf("depth %+v", d)
	}
	deleteAll(t, q, got[:1])
	if errs := q.ChangeVisibility(t.Context(), []VisibilityChange{{got[1].Handle, 0}}); errs[0] != nil {
		t.Fatal(errs[0])
	}
	got = receive(t, q, 10)
	if bodies(got) != "[two]" || got[0].ReceiveCount != 2 {
		t.Fatalf("received %v", bodies(got))
	}
}

func TestRestartKeepsMessagesCountsAndHandles(t *testing.T) {
	dir := t.TempDir()
	b, closeAll := openBrokerClose(t, dir, Options{})
	q := createQueue(t, b, "q", map[string]string{"VisibilityTimeout": "600"})
	sent := sendBodies(t, q, "one", "two", "three")
	first := receive(t, q, 1)
	second := receive(t, q, 1)
	deleteAll(t, q, second)
	closeAll()

	b, _ = openBrokerClose(t, dir, Options{})
	q, err := b.Queue("", "q")
	if err != nil {
		t.Fatal(err)
	}
	got := receive(t, q, 10)
	if bodies(got) != "[three]" || got[0].ID != sent[2].ID {
		t.Fatalf("received %v after the restart", bodies(got))
	}
	if d := q.Depth(); d.InFlight != 2 {
		t.Fatalf("depth %+v", d)
	}
	deleteAll(t, q, first)
	if d := q.Depth(); d.InFlight != 1 {
		t.Fatalf("depth %+v after a delete with the old run's handle", d)
	}
}

func TestLongPollIsWokenBySend(t *testing.T) {
	b := openBroker(t, t.TempDir(), Options{})
	q := createQueue(t, b, "q", nil)
	got := make(chan []*Message)
	go func() {
		m, _ := q.Receive(context.Background(), ReceiveOptions{Max: 1, Wait: dur(20 * time.Second)})
		got <- m
	}()
	sendBodies(t, q, "hello")
	if m := <-got; bodies(m) != "[hello]" {
		t.Fatalf("received %v", bodies(m))
	}
}

func TestFIFOGroupIsBlockedWhileInFlight(t *testing.T) {
	b := openBroker(t, t.TempDir(), Options{})
	q := createQueue(t, b, "q.fifo", nil)
	send(t, q, SendEntry{Body: "a1", GroupID: "a", DeduplicationID: "1"}, SendEntry{Body: "a2", GroupID: "a", DeduplicationID: "2"},
		SendEntry{Body: "b1", GroupID: "b", DeduplicationID: "3"})
	one := receive(t, q, 1)
	if bodies(one) != "[a1]" {
		t.Fatal(bodies(one))
	}
	if rest := receive(t, q, 10); bodies(rest) != "[b1]" {
		t.Fatal(bodies(rest))
	}
	deleteAll(t, q, one)
	if rest := receive(t, q, 10); bodies(rest) != "[a2]" {
		t.Fatal(bodies(rest))
	}
}

func TestDeadLetterMovesAtTheReceiveThatWouldExceed(t *testing.T) {
	b := openBroker(t, t.TempDir(), Options{})
	dead := createQueue(t, b, "dead", nil)
	q := createQueue(t, b, "q", map[string]string{
		"VisibilityTimeout": "0",
		"RedrivePolicy":     `{"deadLetterTargetArn":"` + dead.ARN() + `","maxReceiveCount":"2"}`,
	})
	id := sendBodies(t, q, "poison")[0].ID
	for range 2 {
		if got := receive(t, q, 1); len(got) != 1 {
			t.Fatal("not received")
		}
	}
	if got := receive(t, q, 1); len(got) != 0 || q.Depth().Total() != 0 {
		t.Fatalf("received a third time: %v", bodies(got))
	}
	got := receive(t, dead, 1)
	if len(got) != 1 || got[0].ID != id || got[0].DeadLetterSourceARN != q.ARN() {
		t.Fatalf("dead letter %+v", got)
	}
}
