package sqsserver

import (
	"fmt"

	"github.com/queuemill/queuemill/internal/message"
	"github.com/queuemill/queuemill/internal/queue/embedded"
)

// sending is one message of a request.
type sending struct {
	id string // in a batch
	embedded.SendEntry
	listValues bool // an attribute has values of a kind that SQS does not take yet
}

// read takes one member of a message, in a batch or alone.
func (s *sending) read(member string, v value) error {
	switch member {
	case "Id":
		return stringInto(&s.id, v)
	case "MessageBody":
		return stringInto(&s.Body, v)
	case "DelaySeconds":
		return intInto(&s.DelaySeconds, v)
	case "MessageAttributes":
		return s.attributesInto(&s.Attributes, v)
	case "MessageSystemAttributes":
		return s.attributesInto(&s.SystemAttributes, v)
	case "MessageDeduplicationId":
		return stringInto(&s.DeduplicationID, v)
	case "MessageGroupId":
		return stringInto(&s.GroupID, v)
	}
	return nil
}

func (s *sending) attributesInto(p *map[string]message.Attribute, v value) error {
	m := map[string]message.Attribute{}
	*p = m
	return v.dictionary(func(name string, v value) error {
		var at message.Attribute
		err := v.object(func(member string, v value) error {
			switch member {
			case "DataType":
				return stringInto(&at.DataType, v)
			case "StringValue":
				return stringInto(&at.StringValue, v)
			case "BinaryValue":
				return blobInto(&at.BinaryValue, v)
			case "StringListValues", "BinaryListValues":
				return v.list(func(v value) error {
					s.listValues = true
					_, err := v.text()
					return err
				})
			}
			return nil
		})
		if _, dup := m[name]; dup && err == nil {
			err = failf(codeInvalidParameter, "Message (user) attribute name '%.256s' already exists.", name)
		}
		m[name] = at
		return err
	})
}

// check refuses what only the wire can carry.
func (s *sending) check() error {
	if s.listValues {
		return failf(codeInvalidParameter, "Message attribute list values in SendMessage operation are not supported.")
	}
	return nil
}

// size counts what the limit on messages counts: body, and the attributes'
// names, types and values; system attributes are free.
func (s *sending) size() int {
	n := len(s.Body)
	for name, at := range s.Attributes {
		n += len(name) + len(at.DataType) + len(at.StringValue) + len(at.BinaryValue)
	}
	return n
}

// result answers one message that was sent.
func (s *sending) result(a *answer, r embedded.SendResult) {
	a.text("MessageId", r.ID)
	a.digest("MD5OfMessageBody", s.Body)
	a.some("MD5OfMessageAttributes", md5OfAttributes(s.Attributes))
	a.some("MD5OfMessageSystemAttributes", md5OfAttributes(s.SystemAttributes))
	a.some("SequenceNumber", r.SequenceNumber)
}

func sendMessage(c *call) error {
	var s sending
	if err := c.read(s.read); err != nil {
		return err
	}
	q, err := c.queue()
	if err != nil {
		return err
	}
	if s.Body == "" {
		return missing("MessageBody")
	}
	if err := s.check(); err != nil {
		return err
	}
	r := q.Send(c.lasting(), []embedded.SendEntry{s.SendEntry})[0]
	if r.Err != nil {
		return r.Err
	}
	s.result(&c.out, r)
	return nil
}

// maxBatchBytes is the limit on the sum of a batch, in bytes.
const maxBatchBytes = 1 << 20

func sendMessageBatch(c *call) error {
	const entry = "SendMessageBatchRequestEntry"
	in, n, err := readEntries(c, (*sending).read)
	if err != nil {
		return err
	}
	q, err := c.queue()
	if err != nil {
		return err
	}
	if err := checkBatch(entry, n, func(i int) string { return in[i].id }); err != nil {
		return err
	}
	if err := checkBatchMessages(entry, q, in); err != nil {
		return err
	}
	b := newBatch(len(in))
	entries := make([]embedded.SendEntry, 0, len(in))
	for i := range in {
		if err := in[i].check(); err != nil {
			b.errs[i] = err
			continue
		}
		entries = append(entries, in[i].SendEntry)
	}
	results := make([]embedded.SendResult, len(in))
	var sent []embedded.SendResult
	if len(entries) > 0 {
		sent = q.Send(c.lasting(), entries)
	}
	for i := range in {
		if b.errs[i] == nil {
			results[i], sent = sent[0], sent[1:]
			b.errs[i] = results[i].Err
		}
	}
	b.answer(&c.out, "SendMessageBatchResultEntry", func(i int) string { return in[i].id },
		func(i int) { in[i].result(&c.out, results[i]) })
	return nil
}

// checkBatchMessages refuses a whole batch: what SQS does not answer entry by entry.
func checkBatchMessages(entry string, q *embedded.Queue, in []sending) error {
	total := 0
	for i := range in {
		total += in[i].size()
	}
	if total > maxBatchBytes {
		return failf(codeBatchTooLong, "Batch requests cannot be longer than %d bytes. You have sent %d bytes.", maxBatchBytes, total)
	}
	for i := range in {
		if in[i].Body == "" {
			return missing(fmt.Sprintf("%s.%d.MessageBody", entry, i+1))
		}
		if q.FIFO() && in[i].GroupID == "" {
			return failf(codeInvalidParameter, "The request must contain the parameter MessageGroupId.")
		}
		if q.FIFO() && in[i].DeduplicationID == "" && q.Attributes()["ContentBasedDeduplication"] != "true" {
			return failf(codeInvalidParameter, "The queue should either have ContentBasedDeduplication enabled or MessageDeduplicationId provided explicitly")
		}
	}
	return nil
}
