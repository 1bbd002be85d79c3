package sqsserver

import (
	"fmt"

	"github.com/queuemill/queuemill/internal/queue/embedded"
)

// receipt is one entry of a delete or of a visibility change.
type receipt struct {
	id, handle string
	visibility *int // seconds
}

func (r *receipt) read(member string, v value) error {
	switch member {
	case "Id":
		return stringInto(&r.id, v)
	case "ReceiptHandle":
		return stringInto(&r.handle, v)
	case "VisibilityTimeout":
		return intInto(&r.visibility, v)
	}
	return nil
}

// change is what the queue is asked for; visibility is set.
func (r *receipt) change() embedded.VisibilityChange {
	return embedded.VisibilityChange{Handle: r.handle, Timeout: *seconds(r.visibility)}
}

func deleteMessage(c *call) error {
	var r receipt
	if err := c.read(r.read); err != nil {
		return err
	}
	q, err := c.queue()
	if err != nil {
		return err
	}
	if r.handle == "" {
		return missing("ReceiptHandle")
	}
	return q.Delete(c.lasting(), []string{r.handle})[0]
}

func changeMessageVisibility(c *call) error {
	var r receipt
	if err := c.read(r.read); err != nil {
		return err
	}
	q, err := c.queue()
	if err != nil {
		return err
	}
	switch {
	case r.handle == "":
		return missing("ReceiptHandle")
	case r.visibility == nil:
		return missing("VisibilityTimeout")
	}
	return q.ChangeVisibility(c.lasting(), []embedded.VisibilityChange{r.change()})[0]
}

// receipts reads a batch of them and finds its queue.
func (c *call) receipts(entry string) ([]receipt, *embedded.Queue, error) {
	in, n, err := readEntries(c, (*receipt).read)
	if err != nil {
		return nil, nil, err
	}
	q, err := c.queue()
	if err != nil {
		return nil, nil, err
	}
	if err := checkBatch(entry, n, func(i int) string { return in[i].id }); err != nil {
		return nil, nil, err
	}
	for i := range in {
		if in[i].handle == "" {
			return nil, nil, missing(fmt.Sprintf("%s.%d.ReceiptHandle", entry, i+1))
		}
	}
	return in, q, nil
}

func deleteMessageBatch(c *call) error {
	in, q, err := c.receipts("DeleteMessageBatchRequestEntry")
	if err != nil {
		return err
	}
	handles := make([]string, len(in))
	for i := range in {
		handles[i] = in[i].handle
	}
	b := &batch{errs: q.Delete(c.lasting(), handles)}
	b.answer(&c.out, "DeleteMessageBatchResultEntry", func(i int) string { return in[i].id }, nil)
	return nil
}

func changeMessageVisibilityBatch(c *call) error {
	const entry = "ChangeMessageVisibilityBatchRequestEntry"
	in, q, err := c.receipts(entry)
	if err != nil {
		return err
	}
	changes := make([]embedded.VisibilityChange, len(in))
	for i := range in {
		if in[i].visibility == nil {
			return missing(fmt.Sprintf("%s.%d.VisibilityTimeout", entry, i+1))
		}
		changes[i] = in[i].change()
	}
	b := &batch{errs: q.ChangeVisibility(c.lasting(), changes)}
	b.answer(&c.out, "ChangeMessageVisibilityBatchResultEntry", func(i int) string { return in[i].id }, nil)
	return nil
}
