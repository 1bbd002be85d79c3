package queuetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/queuemill/queuemill/internal/queue"
)

// Spec is the queue that a case needs; zero fields are the provider's defaults.
type Spec struct {
	Visibility      time.Duration
	MaxReceiveCount int // 0: no dead-letter queue
	FIFO            bool
}

// Harness tells Run how to get queues of the provider under test, and what the
// provider can't do.
type Harness struct {
	// New returns an empty queue of its own for one case, and with
	// MaxReceiveCount its dead-letter queue. It cleans up by t.Cleanup.
	New func(t *testing.T, s Spec) (q, deadLetters queue.Queue)

	// Missing returns a queue that does not exist; nil leaves that case out.
	Missing func(t *testing.T) queue.Queue

	// Bubble runs each case in a synctest bubble; else cases run in parallel.
	Bubble bool

	// Borrowed is a queue that somebody else configured, one for all cases, as
	// with real SQS: cases run one by one, those that need a Spec are left out,
	// counts, being approximate there, are not checked, and what a case received
	// is deleted after it.
	Borrowed bool
}

// conformanceCase is one behaviour that every provider shows.
type conformanceCase struct {
	name string
	spec Spec
	run  func(*conformance)
	own  bool // not on a Borrowed queue, whatever the spec
}

// Run checks that a provider keeps queue.Queue's contract, and those of the
// optional interfaces that it implements.
func Run(t *testing.T, h Harness) {
	t.Helper()
	for _, c := range slices.Concat(contentCases, deliveryCases, receiptCases, abilityCases) {
		if h.Borrowed && (c.own || c.spec != Spec{}) {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			body := func(t *testing.T) {
				q, dead := h.New(t, c.spec)
				if h.Borrowed {
					b := &borrowed{Queue: q}
					defer b.clean(t)
					q = b
				}
				c.run(&conformance{T: t, q: q, dead: dead, spec: c.spec, exact: !h.Borrowed, bubble: h.Bubble})
			}
			switch {
			case h.Bubble:
				synctest.Test(t, body)
			case h.Borrowed:
				body(t)
			default:
				t.Parallel()
				body(t)
			}
		})
	}
	if h.Missing != nil {
		t.Run("missing queue is ErrNotFound", func(t *testing.T) { missing(t, h.Missing(t)) })
	}
}

func missing(t *testing.T, q queue.Queue) {
	errs := map[string]error{}
	_, errs["receive"] = q.Receive(t.Context(), queue.ReceiveOptions{Max: 1})
	errs["delete"] = q.Delete(t.Context(), []queue.Receipt{"r"})[0]
	errs["extend"] = q.Extend(t.Context(), []queue.Extension{{Receipt: "r", Visibility: time.Second}})[0]
	errs["send"] = q.Send(t.Context(), []queue.Outgoing{{Body: "b"}})[0].Err
	if q, ok := q.(queue.DepthReporter); ok {
		_, errs["depth"] = q.Depth(t.Context())
	}
	for call, err := range errs {
		if !errors.Is(err, queue.ErrNotFound) {
			t.Errorf("%s: %v, want ErrNotFound", call, err)
		}
	}
}

// conformance is one running case with the moves that cases are made of.
type conformance struct {
	*testing.T
	q, dead queue.Queue
	spec    Spec
	exact   bool
	bubble  bool
}

const (
	held    = time.Minute      // a visibility that no case outlives
	brief   = time.Second      // a visibility that cases wait for; SQS counts in seconds
	prompt  = 3 * time.Second  // "at once", on a machine that is busy
	patient = 15 * time.Second // a long poll that must not be waited out
)

func outgoing(bodies ...string) (out []queue.Outgoing) {
	for _, b := range bodies {
		out = append(out, queue.Outgoing{Body: b})
	}
	return out
}

func numbered(n int) (bodies []string) {
	for i := range n {
		bodies = append(bodies, fmt.Sprintf("message %d", i))
	}
	return bodies
}

// send puts messages into the queue under test and returns their IDs.
func (c *conformance) send(messages ...queue.Outgoing) (ids []string) {
	c.Helper()
	results := c.q.Send(c.Context(), messages)
	if len(results) != len(messages) {
		c.Fatalf("send answered %d of %d items", len(results), len(messages))
	}
	for i, r := range results {
		if r.Err != nil {
			c.Fatalf("send item %d: %v", i, r.Err)
		}
		if r.ID == "" || slices.Contains(ids, r.ID) {
			c.Fatalf("send item %d: ID %q is empty or taken", i, r.ID)
		}
		ids = append(ids, r.ID)
	}
	return ids
}

// receive is one receive that must not fail.
func (c *conformance) receive(limit int, wait, visibility time.Duration) []queue.Message {
	c.Helper()
	return c.receiveFrom(c.q, limit, wait, visibility)
}

func (c *conformance) receiveFrom(q queue.Queue, limit int, wait, visibility time.Duration) []queue.Message {
	c.Helper()
	got, err := q.Receive(c.Context(), queue.ReceiveOptions{Max: limit, Wait: wait, Visibility: visibility})
	if err != nil {
		c.Fatalf("receive: %v", err)
	}
	if len(got) > limit {
		c.Fatalf("receive of at most %d returned %d", limit, len(got))
	}
	return got
}

// one receives exactly one message.
func (c *conformance) one(visibility time.Duration) queue.Message {
	c.Helper()
	return c.oneFrom(c.q, visibility)
}

func (c *conformance) oneFrom(q queue.Queue, visibility time.Duration) queue.Message {
	c.Helper()
	got := c.receiveFrom(q, 1, patient, visibility)
	if len(got) != 1 {
		c.Fatalf("no message within %v", patient)
	}
	return got[0]
}

// collect receives until it has n messages, or none came within a long poll.
func (c *conformance) collect(n int, visibility time.Duration) (all []queue.Message) {
	c.Helper()
	for len(all) < n {
		got := c.receive(10, patient, visibility)
		if len(got) == 0 {
			c.Fatalf("%d of %d messages received", len(all), n)
		}
		all = append(all, got...)
	}
	return all
}

// none checks that nothing is received for the time wait.
func (c *conformance) none(wait time.Duration) {
	c.Helper()
	if got := c.receive(10, wait, held); len(got) != 0 {
		c.Errorf("received %q, want nothing", got[0].Body)
	}
}

func (c *conformance) delete(receipts ...queue.Receipt) {
	c.Helper()
	for i, err := range c.q.Delete(c.Context(), receipts) {
		if err != nil {
			c.Fatalf("delete item %d: %v", i, err)
		}
	}
}

func (c *conformance) extend(r queue.Receipt, visibility time.Duration) error {
	c.Helper()
	errs := c.q.Extend(c.Context(), []queue.Extension{{Receipt: r, Visibility: visibility}})
	if len(errs) != 1 {
		c.Fatalf("extend answered %d of 1 items", len(errs))
	}
	return errs[0]
}

func (c *conformance) giveBack(r queue.Receipt) {
	c.Helper()
	if err := c.extend(r, 0); err != nil {
		c.Fatalf("give back: %v", err)
	}
}

// while runs do once a long poll is waiting, and returns what the poll got and
// how long after do it returned.
func (c *conformance) while(ctx context.Context, do func()) (got []queue.Message, after time.Duration, err error) {
	c.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		got, err = c.q.Receive(ctx, queue.ReceiveOptions{Max: 10, Wait: patient, Visibility: brief})
	}()
	if c.bubble {
		synctest.Wait()
	} else {
		select { // the poll is on its way to a server, which tells nobody that it waits
		case <-time.After(200 * time.Millisecond):
		case <-done:
			c.Fatalf("long poll on an empty queue returned at once: %v, %v", got, err)
		}
	}
	do()
	start := time.Now()
	<-done
	return got, time.Since(start), err
}

// borrowed remembers what was received, so that no case leaves messages in
// flight to the next.
type borrowed struct {
	queue.Queue

	mu       sync.Mutex
	receipts []queue.Receipt
}

func (b *borrowed) Receive(ctx context.Context, o queue.ReceiveOptions) ([]queue.Message, error) {
	got, err := b.Queue.Receive(ctx, o)
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, m := range got {
		b.receipts = append(b.receipts, m.Receipt)
	}
	return got, err
}

// clean deletes; a receipt that was used up is no error here.
func (b *borrowed) clean(t *testing.T) {
	for _, err := range b.Delete(t.Context(), b.receipts) {
		if err != nil && !errors.Is(err, queue.ErrReceiptInvalid) {
			t.Errorf("clean the queue after the case: %v", err)
		}
	}
}
