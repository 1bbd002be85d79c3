package queuetest

import (
	"errors"
	"slices"
	"time"

	"github.com/queuemill/queuemill/internal/queue"
)

// What receipts are good for, and for how long.
var receiptCases = []conformanceCase{
	{name: "extension prolongs the flight", run: func(c *conformance) {
		c.send(outgoing("a")...)
		m := c.one(2 * brief)
		if err := c.extend(m.Receipt, held); err != nil {
			c.Fatalf("extend: %v", err)
		}
		c.none(3 * brief)
		c.delete(m.Receipt)
	}},
	{name: "extension shortens the flight", run: func(c *conformance) {
		c.send(outgoing("a")...)
		m := c.one(held)
		if err := c.extend(m.Receipt, brief); err != nil {
			c.Fatalf("extend: %v", err)
		}
		if again := c.one(held); again.ID != m.ID || again.ReceiveCount != 2 {
			c.Errorf("received %+v, want the message for the second time", again)
		}
	}},
	{name: "extension to zero gives back at once", run: func(c *conformance) {
		c.send(outgoing("a")...)
		m := c.one(held)
		c.giveBack(m.Receipt)
		start := time.Now()
		again := c.one(held)
		if d := time.Since(start); again.ID != m.ID || again.Receipt == m.Receipt || again.ReceiveCount != 2 || d > prompt {
			c.Errorf("received %+v after %v, want the message at once and for the second time", again, d)
		}
		c.delete(again.Receipt)
	}},
	{name: "delete is for good and may be repeated", run: func(c *conformance) {
		c.send(outgoing("a")...)
		m := c.one(brief)
		c.delete(m.Receipt)
		c.delete(m.Receipt)
		c.none(2 * brief)
	}},
	{name: "invalid receipts", run: func(c *conformance) {
		c.send(outgoing("deleted", "kept", "kept")...)
		got := c.collect(3, held)
		gone, kept := got[0], got[1:]
		c.delete(gone.Receipt)
		if err := c.extend(gone.Receipt, held); !errors.Is(err, queue.ErrReceiptInvalid) {
			c.Errorf("extend of a deleted message: %v, want ErrReceiptInvalid", err)
		}
		errs := c.q.Extend(c.Context(), []queue.Extension{
			{Receipt: kept[0].Receipt, Visibility: held}, {Receipt: "garbage", Visibility: held}, {Receipt: kept[1].Receipt, Visibility: 12*time.Hour + time.Second},
		})
		if errs[0] != nil || !errors.Is(errs[1], queue.ErrReceiptInvalid) || !errors.Is(errs[2], queue.ErrInvalid) {
			c.Errorf("extend: %v, want nil, ErrReceiptInvalid and ErrInvalid", errs)
		}
		errs = c.q.Delete(c.Context(), []queue.Receipt{kept[0].Receipt, "garbage", "", kept[1].Receipt})
		if errs[0] != nil || !errors.Is(errs[1], queue.ErrReceiptInvalid) || !errors.Is(errs[2], queue.ErrReceiptInvalid) || errs[3] != nil {
			c.Errorf("delete: %v, want ErrReceiptInvalid for the second and third alone", errs)
		}
		c.none(0)
	}},
	{name: "receipt ends with its flight", own: true, run: func(c *conformance) {
		c.send(outgoing("a")...)
		old := c.one(held)
		c.giveBack(old.Receipt)
		if err := c.extend(old.Receipt, held); !errors.Is(err, queue.ErrReceiptInvalid) {
			c.Errorf("extend of a message that was given back: %v, want ErrReceiptInvalid", err)
		}
		now := c.one(held)
		if err := c.extend(old.Receipt, 0); !errors.Is(err, queue.ErrReceiptInvalid) {
			c.Errorf("extend with the receipt of an earlier receive: %v, want ErrReceiptInvalid", err)
		}
		c.none(0)
		c.delete(now.Receipt)
	}},
}

// What a provider can do besides.
var abilityCases = []conformanceCase{
	{name: "depth", own: true, run: func(c *conformance) {
		q, ok := c.q.(queue.DepthReporter)
		if !ok {
			return
		}
		want := func(want queue.Depth) {
			c.Helper()
			got, err := q.Depth(c.Context())
			if got.OldestAge < 0 || got.OldestAge > time.Minute {
				c.Errorf("oldest message is %v old", got.OldestAge)
			}
			got.OldestAge = 0
			if err != nil || got != want {
				c.Errorf("depth %+v and error %v, want %+v", got, err, want)
			}
		}
		want(queue.Depth{})
		c.send(outgoing(numbered(4)...)...)
		c.send(queue.Outgoing{Body: "later", Delay: time.Minute})
		want(queue.Depth{Visible: 4, Delayed: 1})
		m := c.one(held)
		c.one(held)
		want(queue.Depth{Visible: 2, InFlight: 2, Delayed: 1})
		c.delete(m.Receipt)
		want(queue.Depth{Visible: 2, InFlight: 1, Delayed: 1})
	}},
	{name: "dead letters", own: true, run: func(c *conformance) {
		q, ok := c.q.(queue.DeadLetterReporter)
		if !ok {
			return
		}
		if _, err := q.DeadLetters(c.Context()); !errors.Is(err, queue.ErrNotFound) {
			c.Errorf("dead letters without a redrive policy: %v, want ErrNotFound", err)
		}
	}},
	{name: "purge", own: true, run: func(c *conformance) {
		q, ok := c.q.(queue.Purger)
		if !ok {
			return
		}
		c.send(outgoing(numbered(12)...)...)
		c.send(queue.Outgoing{Body: "later", Delay: time.Second})
		c.one(brief)
		if err := q.Purge(c.Context()); err != nil {
			c.Fatalf("purge: %v", err)
		}
		c.none(2 * brief)
		c.send(outgoing("after")...)
		if m := c.one(held); m.Body != "after" {
			c.Errorf("received %q", m.Body)
		}
	}},
	{name: "peek", own: true, run: func(c *conformance) {
		q, ok := c.q.(queue.Peeker)
		if !ok {
			return
		}
		ids := c.send(outgoing(numbered(15)...)...)
		for _, limit := range []int{12, 100} {
			got, err := q.Peek(c.Context(), limit)
			if err != nil || len(got) != min(limit, len(ids)) {
				c.Fatalf("peek of %d: %d messages and error %v", limit, len(got), err)
			}
			var seen []string
			for _, m := range got {
				if !slices.Contains(ids, m.ID) || slices.Contains(seen, m.ID) {
					c.Errorf("peek shows %s, which was not sent, or twice", m.ID)
				}
				seen = append(seen, m.ID)
			}
		}
		m := c.collect(len(ids), held)[0]
		if want := 1; !q.PeekCounts() && m.ReceiveCount != want {
			c.Errorf("received for the %d. time after peeks that don't count", m.ReceiveCount)
		}
	}},
	{name: "reject without a dead-letter queue", own: true, run: func(c *conformance) {
		q, ok := c.q.(queue.Rejecter)
		if !ok {
			return
		}
		c.send(outgoing("a")...)
		m := c.one(held)
		if err := q.Reject(c.Context(), m, "why"); !errors.Is(err, queue.ErrNotFound) {
			c.Errorf("reject: %v, want ErrNotFound", err)
		}
		c.giveBack(m.Receipt)
		c.one(held)
	}},
	{name: "reject", spec: Spec{MaxReceiveCount: 5}, run: func(c *conformance) {
		q, ok := c.q.(queue.Rejecter)
		if !ok {
			return
		}
		c.send(queue.Outgoing{Body: "poison", Attributes: map[string]queue.Attribute{"a": {DataType: "Binary", BinaryValue: []byte{0, 1}}}})
		m := c.one(held)
		if err := q.Reject(c.Context(), m, "no such customer: \x00é"); err != nil {
			c.Fatalf("reject: %v", err)
		}
		dead := c.oneFrom(c.dead, held)
		if dead.Body != "poison" || !slices.Equal(dead.Attributes["a"].BinaryValue, []byte{0, 1}) ||
			dead.Attributes[queue.AttributeReason].StringValue != "no such customer: ?é" || len(dead.Attributes) != 2 {
			c.Errorf("the dead letter is %+v", dead)
		}
		c.giveBack(m.Receipt) // still in hand: deleting it is the caller's
		c.delete(c.one(held).Receipt)
		c.none(0)
		for _, err := range c.dead.Extend(c.Context(), []queue.Extension{{Receipt: dead.Receipt}}) {
			if err != nil {
				c.Fatalf("give the dead letter back: %v", err)
			}
		}
		if q, ok := c.dead.(queue.Redriver); ok {
			if moved, err := q.Redrive(c.Context(), 0); err != nil || moved != 1 {
				c.Fatalf("redrive of a rejected message: %d messages and error %v, want 1", moved, err)
			}
			if back := c.one(held); back.Body != "poison" {
				c.Errorf("received %+v after the redrive", back)
			}
		}
	}},
	{name: "dead letters and redrive", spec: Spec{MaxReceiveCount: 2}, run: func(c *conformance) {
		id := c.send(queue.Outgoing{Body: "poison", Attributes: map[string]queue.Attribute{"a": {DataType: "String", StringValue: "v"}}})[0]
		for range c.spec.MaxReceiveCount {
			c.giveBack(c.one(held).Receipt)
		}
		c.none(0)
		dead := c.oneFrom(c.dead, held)
		if dead.ID != id || dead.Body != "poison" || dead.Attributes["a"].StringValue != "v" {
			c.Errorf("the dead letter is %+v, want message %s", dead, id)
		}
		if q, ok := c.q.(queue.DeadLetterReporter); ok {
			if d, err := q.DeadLetters(c.Context()); err != nil || d.Total() != 1 {
				c.Errorf("dead letters %+v and error %v, want 1", d, err)
			}
		}
		for _, err := range c.dead.Extend(c.Context(), []queue.Extension{{Receipt: dead.Receipt}}) {
			if err != nil {
				c.Fatalf("give the dead letter back: %v", err)
			}
		}
		q, ok := c.dead.(queue.Redriver)
		if !ok {
			return
		}
		if moved, err := q.Redrive(c.Context(), 0); err != nil || moved != 1 {
			c.Fatalf("redrive: %d messages and error %v, want 1", moved, err)
		}
		if back := c.one(held); back.Body != "poison" || back.ReceiveCount != 1 {
			c.Errorf("received %+v after the redrive, want it for the first time", back)
		}
	}},
	{name: "redrive keeps to its limit or refuses it", spec: Spec{MaxReceiveCount: 1}, run: func(c *conformance) {
		q, ok := c.dead.(queue.Redriver)
		if !ok {
			return
		}
		c.send(outgoing(numbered(3)...)...)
		for _, m := range c.collect(3, held) {
			c.giveBack(m.Receipt)
		}
		c.none(0)
		moved, err := q.Redrive(c.Context(), 2)
		want := 2
		if errors.Is(err, queue.ErrInvalid) {
			want, err = 0, nil
		}
		if err != nil || moved != want {
			c.Fatalf("redrive of 2: %d messages and error %v", moved, err)
		}
		c.collect(want, held)
		c.none(time.Second)
	}},
	{name: "settings", spec: Spec{Visibility: 7 * time.Second, MaxReceiveCount: 3}, run: func(c *conformance) {
		q, ok := c.q.(queue.SettingsReporter)
		if !ok {
			return
		}
		s, err := q.Settings(c.Context())
		if err != nil || s.Visibility != c.spec.Visibility || s.MaxReceiveCount != c.spec.MaxReceiveCount || s.DeadLetterQueue == "" || s.FIFO {
			c.Errorf("settings %+v and error %v, want those of %+v", s, err, c.spec)
		}
	}},
}
