package queuetest

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/queuemill/queuemill/internal/queue"
)

// What goes in comes out, and what SQS refuses is refused.
var contentCases = []conformanceCase{
	{name: "message round trip", run: func(c *conformance) {
		start := time.Now()
		id := c.send(queue.Outgoing{Body: "hello"})[0]
		m := c.one(held)
		if m.ID != id || m.Body != "hello" || m.Receipt == "" || m.ReceiveCount != 1 || len(m.Attributes) != 0 {
			c.Errorf("received %+v, want message %s with body hello for the first time", m, id)
		}
		const skew = 5 * time.Minute // between a real queue's clock and ours
		if d := m.SentAt.Sub(start); d < -skew || d > skew {
			c.Errorf("sent at %v, now is %v", m.SentAt, start)
		}
		if m.FirstReceivedAt.Before(m.SentAt) {
			c.Errorf("first received at %v, before it was sent at %v", m.FirstReceivedAt, m.SentAt)
		}
		c.delete(m.Receipt)
		c.none(0)
	}},
	{name: "bodies come out as they went in", run: func(c *conformance) {
		bodies := []string{
			"x", " leading and trailing ", "a\tb\nc\rd\r\ne", "\n",
			`{"a":"\u00e9 \"quoted\" \\"}`, "<a b='c'>&amp;&#65;]]></a>", "a=b&c=d%20+",
			"Grüße, 世界, עולם, e\u0301", "😀👩‍👩‍👧", "\ufffd\ufeff\ue000\ud7ff\U00010000\U0010ffff\u0085\u2028\u007f",
			"$(rm -rf) `x` --",
		}
		ids := c.send(outgoing(bodies...)...)
		for _, m := range c.collect(len(bodies), held) {
			i := slices.Index(ids, m.ID)
			if i < 0 || m.Body != bodies[i] {
				c.Errorf("message %d came out as %q", i, m.Body)
			}
			c.delete(m.Receipt)
		}
	}},
	{name: "largest message", run: func(c *conformance) {
		attributes := map[string]queue.Attribute{"name": {DataType: "String", StringValue: "value"}}
		room := maxMessage - len("name"+"String"+"value")
		for _, m := range []queue.Outgoing{
			{Body: strings.Repeat("x", maxMessage)},
			{Body: strings.Repeat("y", room), Attributes: attributes},
			{Body: strings.Repeat("ü", maxMessage/2)},
		} {
			c.send(m)
			got := c.one(held)
			if got.Body != m.Body {
				c.Errorf("%d bytes came out as %d", len(m.Body), len(got.Body))
			}
			c.delete(got.Receipt)
		}
		results := c.q.Send(c.Context(), []queue.Outgoing{
			{Body: strings.Repeat("x", maxMessage+1)},
			{Body: strings.Repeat("y", room+1), Attributes: attributes},
		})
		for i, r := range results {
			if !errors.Is(r.Err, queue.ErrInvalid) {
				c.Errorf("one byte too many, item %d: %v, want ErrInvalid", i, r.Err)
			}
		}
		c.none(0)
	}},
	{name: "unusable bodies are refused one by one", run: func(c *conformance) {
		bad := []string{"", "nul \x00", "bell \a", "escape \x1b", "\ufffe", "\uffff", "not UTF-8 \xff", "surrogate \xed\xa0\x80"}
		var all []queue.Outgoing
		for _, body := range bad {
			all = append(all, queue.Outgoing{Body: body}, queue.Outgoing{Body: "good"})
		}
		for i, r := range c.q.Send(c.Context(), all) {
			switch good := i%2 == 1; {
			case good && (r.Err != nil || r.ID == ""):
				c.Errorf("good item %d: %v", i, r.Err)
			case !good && !errors.Is(r.Err, queue.ErrInvalid):
				c.Errorf("body %q: %v, want ErrInvalid", all[i].Body, r.Err)
			}
		}
		for _, m := range c.collect(len(bad), held) {
			if m.Body != "good" {
				c.Errorf("received %q", m.Body)
			}
			c.delete(m.Receipt)
		}
		c.none(0)
	}},
	{name: "attributes round trip", run: func(c *conformance) {
		bytes := make([]byte, 256)
		for i := range bytes {
			bytes[i] = byte(i)
		}
		attributes := map[string]queue.Attribute{
			"string":   {DataType: "String", StringValue: "Grüße <&> \"x\"\n\t"},
			"number":   {DataType: "Number", StringValue: "-12.5e3"},
			"precise":  {DataType: "Number", StringValue: "12345678901234567890123456789012345678"},
			"binary":   {DataType: "Binary", BinaryValue: bytes},
			"labelled": {DataType: "String.json", StringValue: "{}"},
			"int":      {DataType: "Number.int", StringValue: "007"},
			"picture":  {DataType: "Binary.png", BinaryValue: []byte{0}},
			"a.b_c-D9": {DataType: "String", StringValue: "name"},
			"UPPER":    {DataType: "String", StringValue: "1"},
			"Upper":    {DataType: "String", StringValue: "2"},
		}
		c.send(queue.Outgoing{Body: "x", Attributes: attributes})
		m := c.one(held)
		if diff := cmp.Diff(attributes, m.Attributes); diff != "" {
			c.Errorf("attributes (-sent +received):\n%s", diff)
		}
		c.delete(m.Receipt)

		eleven := maps.Clone(attributes)
		eleven["eleventh"] = queue.Attribute{DataType: "String", StringValue: "x"}
		for what, bad := range map[string]map[string]queue.Attribute{
			"eleven":          eleven,
			"empty value":     {"a": {DataType: "String"}},
			"unknown type":    {"a": {DataType: "Text", StringValue: "x"}},
			"no type":         {"a": {StringValue: "x"}},
			"not a number":    {"a": {DataType: "Number", StringValue: "one"}},
			"reserved prefix": {"AWS.a": {DataType: "String", StringValue: "x"}},
			"bad name":        {"a b": {DataType: "String", StringValue: "x"}},
			"bad character":   {"a": {DataType: "String", StringValue: "\x00"}},
		} {
			r := c.q.Send(c.Context(), []queue.Outgoing{{Body: "x", Attributes: bad}})[0]
			if !errors.Is(r.Err, queue.ErrInvalid) {
				c.Errorf("%s: %v, want ErrInvalid", what, r.Err)
			}
		}
		c.none(0)
	}},
	{name: "many items are split", run: func(c *conformance) {
		bodies := numbered(25)
		bodies[12] = ""
		results := c.q.Send(c.Context(), outgoing(bodies...))
		if len(results) != len(bodies) {
			c.Fatalf("send answered %d of %d items", len(results), len(bodies))
		}
		byID := map[string]string{}
		for i, r := range results {
			if (r.Err != nil) != (i == 12) {
				c.Fatalf("item %d: %v", i, r.Err)
			}
			byID[r.ID] = bodies[i]
		}
		var receipts []queue.Receipt
		for _, m := range c.collect(24, held) {
			if byID[m.ID] != m.Body {
				c.Errorf("ID %s has body %q, was answered for %q", m.ID, m.Body, byID[m.ID])
			}
			receipts = append(receipts, m.Receipt)
		}
		receipts = slices.Insert(receipts, 12, "garbage")
		var extensions []queue.Extension
		for _, r := range receipts {
			extensions = append(extensions, queue.Extension{Receipt: r, Visibility: held})
		}
		for call, errs := range map[string][]error{
			"extend": c.q.Extend(c.Context(), extensions),
			"delete": c.q.Delete(c.Context(), receipts),
		} {
			if len(errs) != len(receipts) {
				c.Fatalf("%s answered %d of %d items", call, len(errs), len(receipts))
			}
			for i, err := range errs {
				if errors.Is(err, queue.ErrReceiptInvalid) != (i == 12) || i != 12 && err != nil && call == "delete" {
					c.Errorf("%s item %d: %v", call, i, err)
				}
			}
		}
		c.none(0)
	}},
	{name: "batch over the size of a request is split", run: func(c *conformance) {
		var bodies []string
		for i := range 12 {
			bodies = append(bodies, fmt.Sprintf("%d %s", i, strings.Repeat("z", 300<<10)))
		}
		ids := c.send(outgoing(bodies...)...)
		for _, m := range c.collect(len(bodies), held) {
			if i := slices.Index(ids, m.ID); i < 0 || m.Body != bodies[i] {
				c.Errorf("message %d has another body", i)
			}
			c.delete(m.Receipt)
		}
	}},
	{name: "nothing to do is no error", run: func(c *conformance) {
		if n := len(c.q.Send(c.Context(), nil)) + len(c.q.Delete(c.Context(), nil)) + len(c.q.Extend(c.Context(), nil)); n != 0 {
			c.Errorf("%d answers for no items", n)
		}
	}},
	{name: "impossible receives are refused", run: func(c *conformance) {
		for _, o := range []queue.ReceiveOptions{
			{Max: 0}, {Max: 11}, {Max: 1, Wait: 21 * time.Second}, {Max: 1, Visibility: 12*time.Hour + time.Second},
		} {
			if _, err := c.q.Receive(c.Context(), o); !errors.Is(err, queue.ErrInvalid) {
				c.Errorf("receive %+v: %v, want ErrInvalid", o, err)
			}
		}
	}},
	{name: "tenant round trip", run: func(c *conformance) {
		c.send(queue.Outgoing{Body: "x", GroupID: "tenant-1"})
		m := c.one(held)
		if m.GroupID != "tenant-1" {
			c.Errorf("group %q, want tenant-1", m.GroupID)
		}
		c.delete(m.Receipt)
	}},
}
