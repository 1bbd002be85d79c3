package queuetest

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/queuemill/queuemill/internal/queue"
)

// When messages are delivered, and to whom.
var deliveryCases = []conformanceCase{
	{name: "empty queue answers with nothing", run: func(c *conformance) {
		start := time.Now()
		c.none(0)
		if d := time.Since(start); d > prompt && c.exact {
			c.Errorf("short poll took %v", d)
		}
		start = time.Now()
		c.none(time.Second)
		if d := time.Since(start); d < 900*time.Millisecond || d > time.Second+prompt {
			c.Errorf("long poll of 1s took %v", d)
		}
	}},
	{name: "long poll is woken by a send", run: func(c *conformance) {
		for range 3 {
			got, after, err := c.while(c.Context(), func() { c.send(outgoing("wake up")...) })
			if err != nil || len(got) != 1 || after > prompt {
				c.Fatalf("long poll got %d messages and error %v, %v after the send", len(got), err, after)
			}
			c.delete(got[0].Receipt)
		}
	}},
	{name: "long poll is woken by a message given back", run: func(c *conformance) {
		c.send(outgoing("a")...)
		m := c.one(held)
		got, after, err := c.while(c.Context(), func() { c.giveBack(m.Receipt) })
		if err != nil || len(got) != 1 || got[0].ID != m.ID || after > prompt {
			c.Fatalf("long poll got %v and error %v, %v after the message was given back", got, err, after)
		}
		c.delete(got[0].Receipt)
	}},
	{name: "long poll is woken by a visibility timeout", run: func(c *conformance) {
		c.send(outgoing("a")...)
		first := c.one(brief)
		start := time.Now()
		again := c.one(held)
		if d := time.Since(start); d > brief+prompt && c.exact || d < brief/2 {
			c.Errorf("came back after %v, want its visibility timeout of %v", d, brief)
		}
		if again.ID != first.ID || again.Receipt == first.Receipt || again.ReceiveCount != first.ReceiveCount+1 {
			c.Errorf("received %+v after %+v, want the same message with a receipt and a count of its own", again, first)
		}
		if !again.FirstReceivedAt.Equal(first.FirstReceivedAt) {
			c.Errorf("first received at %v, then at %v", first.FirstReceivedAt, again.FirstReceivedAt)
		}
		c.delete(again.Receipt)
	}},
	{name: "long poll is woken by the end of a delay", run: func(c *conformance) {
		c.send(queue.Outgoing{Body: "late", Delay: time.Second})
		c.none(0)
		start := time.Now()
		m := c.one(held)
		if d := time.Since(start); d > time.Second+prompt {
			c.Errorf("a delay of 1s took %v", d)
		}
		c.delete(m.Receipt)
	}},
	{name: "cancelled receive swallows no message", run: func(c *conformance) {
		for range 10 {
			ctx, cancel := context.WithCancel(c.Context())
			got, after, err := c.while(ctx, cancel)
			if !errors.Is(err, context.Canceled) || len(got) != 0 || after > prompt {
				c.Fatalf("cancelled long poll got %d messages and error %v after %v", len(got), err, after)
			}
			c.send(outgoing("after the cancel")...)
			m := c.one(held)
			if m.ReceiveCount != 1 && c.exact {
				c.Errorf("received for the %d. time, want the first: the cancelled receive took it", m.ReceiveCount)
			}
			c.delete(m.Receipt)
		}
	}},
	{name: "ended context does nothing", run: func(c *conformance) {
		ctx, cancel := context.WithCancel(c.Context())
		cancel()
		c.send(outgoing("a")...)
		m := c.one(held)
		errs := c.q.Delete(ctx, []queue.Receipt{m.Receipt, m.Receipt})
		errs = append(errs, c.q.Extend(ctx, []queue.Extension{{Receipt: m.Receipt}})...)
		for _, r := range c.q.Send(ctx, outgoing("b", "c")) {
			errs = append(errs, r.Err)
		}
		_, err := c.q.Receive(ctx, queue.ReceiveOptions{Max: 1})
		if errs = append(errs, err); len(errs) != 6 {
			c.Fatalf("%d answers, want 6", len(errs))
		}
		for i, err := range errs {
			if !errors.Is(err, context.Canceled) {
				c.Errorf("call %d: %v, want the context's error", i, err)
			}
		}
		c.none(0)
		c.giveBack(m.Receipt)
		if again := c.one(held); again.ID != m.ID {
			c.Errorf("received %q", again.Body)
		}
	}},
	{name: "message in flight is invisible", run: func(c *conformance) {
		c.send(outgoing(numbered(3)...)...)
		c.collect(3, held)
		c.none(time.Second)
	}},
	{name: "queue's own visibility timeout", spec: Spec{Visibility: time.Second}, run: func(c *conformance) {
		c.send(outgoing("a")...)
		c.one(0)
		if again := c.one(held); again.ReceiveCount != 2 {
			c.Errorf("received for the %d. time, want the second", again.ReceiveCount)
		}
	}},
	{name: "one message goes to one receiver", own: true, run: func(c *conformance) {
		const messages, receivers = 200, 8
		c.send(outgoing(numbered(messages)...)...)
		var (
			mu   sync.Mutex
			seen = map[string]int{}
			wg   sync.WaitGroup
		)
		for range receivers {
			wg.Go(func() {
				for {
					got, err := c.q.Receive(c.Context(), queue.ReceiveOptions{Max: 7, Visibility: held})
					if err != nil || len(got) == 0 {
						if err != nil {
							c.Errorf("receive: %v", err)
						}
						return
					}
					for _, m := range got {
						mu.Lock()
						seen[m.ID]++
						mu.Unlock()
						if err := c.q.Delete(c.Context(), []queue.Receipt{m.Receipt})[0]; err != nil {
							c.Errorf("delete: %v", err)
						}
					}
				}
			})
		}
		wg.Wait()
		if len(seen) != messages {
			c.Errorf("%d messages received, want %d", len(seen), messages)
		}
		for id, n := range seen {
			if n != 1 {
				c.Errorf("message %s was received %d times", id, n)
			}
		}
	}},
	{name: "message groups keep their order", spec: Spec{FIFO: true}, run: func(c *conformance) {
		for _, body := range []string{"a1", "b1", "a2", "b2", "a3"} {
			c.send(queue.Outgoing{Body: body, GroupID: body[:1], DeduplicationID: body})
		}
		first := c.one(held)
		if first.Body != "a1" || first.GroupID != "a" || first.DeduplicationID != "a1" {
			c.Errorf("received %+v first, want a1", first)
		}
		if got := bodies(c.receive(10, 0, held)); !slices.Equal(got, []string{"b1", "b2"}) {
			c.Errorf("received %v while a1 is in flight, want b1 and b2", got)
		}
		c.none(0)
		c.giveBack(first.Receipt)
		if got := bodies(c.receive(2, 0, brief)); !slices.Equal(got, []string{"a1", "a2"}) {
			c.Errorf("received %v, want a1 again and a2", got)
		}
		again := c.receive(10, patient, held)
		if got := bodies(again); !slices.Equal(got, []string{"a1", "a2", "a3"}) {
			c.Fatalf("received %v after the timeout, want a1, a2, a3", got)
		}
		c.delete(again[0].Receipt, again[1].Receipt, again[2].Receipt)
		if err := c.q.Send(c.Context(), outgoing("no group"))[0].Err; !errors.Is(err, queue.ErrInvalid) {
			c.Errorf("send without a group: %v, want ErrInvalid", err)
		}
	}},
	{name: "long poll is woken by a freed message group", spec: Spec{FIFO: true}, run: func(c *conformance) {
		c.send(queue.Outgoing{Body: "1", GroupID: "g", DeduplicationID: "1"}, queue.Outgoing{Body: "2", GroupID: "g", DeduplicationID: "2"})
		m := c.one(held)
		got, after, err := c.while(c.Context(), func() { c.delete(m.Receipt) })
		if err != nil || len(got) != 1 || got[0].Body != "2" || after > prompt {
			c.Fatalf("long poll got %v and error %v, %v after the delete", bodies(got), err, after)
		}
	}},
	{name: "deduplication ID holds after the delete", spec: Spec{FIFO: true}, run: func(c *conformance) {
		m := queue.Outgoing{Body: "once", GroupID: "g", DeduplicationID: "d"}
		id := c.send(m)
		c.delete(c.one(held).Receipt)
		if again := c.send(m); again[0] != id[0] {
			c.Errorf("the duplicate's ID is %s, want the first one's, %s", again[0], id[0])
		}
		c.none(0)
	}},
}

func bodies(messages []queue.Message) (all []string) {
	for _, m := range messages {
		all = append(all, m.Body)
	}
	return all
}
