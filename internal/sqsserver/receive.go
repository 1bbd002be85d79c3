package sqsserver

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/queuemill/queuemill/internal/message"
	"github.com/queuemill/queuemill/internal/queue/embedded"
)

// receiving are the parameters of a ReceiveMessage.
type receiving struct {
	system, attributes    []string // names asked for
	max, visibility, wait *int
	attempt               string
}

func (r *receiving) read(member string, v value) error {
	switch member {
	case "AttributeNames", "MessageSystemAttributeNames": // the first is the old name of the second
		return stringsInto(&r.system, v)
	case "MessageAttributeNames":
		return stringsInto(&r.attributes, v)
	case "MaxNumberOfMessages":
		return intInto(&r.max, v)
	case "VisibilityTimeout":
		return intInto(&r.visibility, v)
	case "WaitTimeSeconds":
		return intInto(&r.wait, v)
	case "ReceiveRequestAttemptId":
		return stringInto(&r.attempt, v)
	}
	return nil
}

// options are what the queue is asked for; it refuses what is out of range.
func (r *receiving) options() embedded.ReceiveOptions {
	o := embedded.ReceiveOptions{Max: 1, Visibility: seconds(r.visibility), Wait: seconds(r.wait), AttemptID: r.attempt}
	if r.max != nil {
		o.Max = *r.max
	}
	return o
}

// seconds is a duration on the wire, nil where none was given.
func seconds(n *int) *time.Duration {
	if n == nil {
		return nil
	}
	d := time.Duration(*n) * time.Second
	return &d
}

func receiveMessage(c *call) error {
	var r receiving
	if err := c.read(r.read); err != nil {
		return err
	}
	q, err := c.queue()
	if err != nil {
		return err
	}
	for _, name := range r.system {
		if !systemNames[name] && !attributeNames[name] {
			return failf(codeInvalidAttribute, "Unknown Attribute %.100s.", name)
		}
	}
	ctx := c.r.Context()
	ms, err := q.Receive(ctx, r.options())
	if ctx.Err() != nil {
		// The client left, or the server stops: nobody reads the answer, or an
		// empty one is the way to end the poll. What was received all the same
		// goes back at once.
		giveBack(c, q, ms)
		ms, err = nil, nil
	}
	if err != nil {
		return err
	}
	c.out.list("Messages", "Message", len(ms), func(i int) { r.write(&c.out, ms[i]) })
	return nil
}

func giveBack(c *call, q *embedded.Queue, ms []*embedded.Message) {
	if len(ms) == 0 {
		return
	}
	back := make([]embedded.VisibilityChange, len(ms))
	for i, m := range ms {
		back[i].Handle = m.Handle
	}
	for _, err := range q.ChangeVisibility(c.lasting(), back) {
		if err != nil {
			c.srv.log.Debug("message of a client that left not given back", "queue", q.Name(), "error", err)
		}
	}
}

// systemNames are the message system attributes (API reference, ReceiveMessage).
var systemNames = map[string]bool{
	"All": true, "SenderId": true, "SentTimestamp": true, "ApproximateReceiveCount": true,
	"ApproximateFirstReceiveTimestamp": true, "SequenceNumber": true, "MessageDeduplicationId": true,
	"MessageGroupId": true, "AWSTraceHeader": true, "DeadLetterQueueSourceArn": true,
}

// write is one message of the answer.
func (r *receiving) write(a *answer, m *embedded.Message) {
	a.text("MessageId", m.ID)
	a.text("ReceiptHandle", m.Handle)
	a.digest("MD5OfBody", m.Body)
	a.text("Body", m.Body)
	if len(r.system) > 0 {
		r.writeSystem(a, m)
	}
	if len(r.attributes) > 0 && len(m.Attributes) > 0 {
		r.writeAttributes(a, m.Attributes)
	}
}

func (r *receiving) writeSystem(a *answer, m *embedded.Message) {
	all := slices.Contains(r.system, "All")
	began := false
	put := func(name, val string) {
		if val == "" || !all && !slices.Contains(r.system, name) {
			return
		}
		if !began {
			a.beginMap("Attributes")
			began = true
		}
		a.entry("Attribute", "Name", name, func() { a.mapValue(val) })
	}
	put("SenderId", m.SenderID)
	put("SentTimestamp", millis(m.SentAt))
	put("ApproximateReceiveCount", strconv.Itoa(m.ReceiveCount))
	put("ApproximateFirstReceiveTimestamp", millis(m.FirstReceivedAt))
	put("SequenceNumber", m.SequenceNumber)
	put("MessageDeduplicationId", m.DeduplicationID)
	put("MessageGroupId", m.GroupID)
	put("AWSTraceHeader", m.SystemAttributes["AWSTraceHeader"].StringValue)
	put("DeadLetterQueueSourceArn", m.DeadLetterSourceARN)
	if began {
		a.endMap()
	}
}

// millis is t as SQS writes times: milliseconds since 1970; "" for none.
func millis(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return strconv.FormatInt(t.UnixMilli(), 10)
}

// writeAttributes is those of a message's attributes that were asked for, and
// their digest, which covers just these.
func (r *receiving) writeAttributes(a *answer, all map[string]message.Attribute) {
	some := make(map[string]message.Attribute, len(all))
	for name, at := range all {
		if r.wants(name) {
			some[name] = at
		}
	}
	if len(some) == 0 {
		return
	}
	a.text("MD5OfMessageAttributes", md5OfAttributes(some))
	a.beginMap("MessageAttributes")
	for _, name := range sortedNames(some) {
		at := some[name]
		a.entry("MessageAttribute", "Name", name, func() {
			if a.xml {
				a.open("Value")
			}
			a.body(func() {
				if isBinary(at) {
					a.blob("BinaryValue", at.BinaryValue)
				} else {
					a.text("StringValue", at.StringValue)
				}
				a.text("DataType", at.DataType)
			})
			a.close("Value")
		})
	}
	a.endMap()
}

// wants: asked for by name, by All or .*, or by a prefix as in bar.*
func (r *receiving) wants(name string) bool {
	return slices.ContainsFunc(r.attributes, func(want string) bool {
		prefix, wild := strings.CutSuffix(want, ".*")
		return want == "All" || want == name || wild && strings.HasPrefix(name, prefix)
	})
}
