package sqs

import (
	"context"
	"fmt"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/queuemill/queuemill/internal/queue"
)

var systemAttributes = []types.MessageSystemAttributeName{
	types.MessageSystemAttributeNameSentTimestamp,
	types.MessageSystemAttributeNameApproximateReceiveCount,
	types.MessageSystemAttributeNameApproximateFirstReceiveTimestamp,
	types.MessageSystemAttributeNameMessageGroupId,
	types.MessageSystemAttributeNameMessageDeduplicationId,
}

// Receive is queue.Queue's. It is not repeated here: the caller's loop is the
// repeat. Times are rounded up to seconds; a Wait of zero is the queue's own
// ReceiveMessageWaitTimeSeconds, by default none.
//
// Messages that are here when ctx ends are returned all the same. One that the
// service sends just then comes back after its visibility timeout; nobody can
// tell the service that it was not read.
func (q *Queue) Receive(ctx context.Context, o queue.ReceiveOptions) ([]queue.Message, error) {
	if o.Max < 1 || o.Max > maxBatch || o.Wait < 0 || o.Wait > maxWait || o.Visibility < 0 || o.Visibility > maxVisibility {
		return nil, fmt.Errorf("receive from %s: %w: %+v is out of SQS's range", q.name, queue.ErrInvalid, o)
	}
	call, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	out, err := q.client.ReceiveMessage(call, &sqs.ReceiveMessageInput{
		QueueUrl:                    &q.url,
		MaxNumberOfMessages:         int32(o.Max),
		WaitTimeSeconds:             seconds(o.Wait),
		VisibilityTimeout:           seconds(o.Visibility),
		MessageAttributeNames:       []string{"All"},
		MessageSystemAttributeNames: systemAttributes,
	}, q.once)
	if ctx.Err() != nil && (err != nil || len(out.Messages) == 0) {
		return nil, fmt.Errorf("receive from %s: %w", q.name, ctx.Err())
	}
	if err != nil {
		return nil, q.failure("receive from", err)
	}
	messages := make([]queue.Message, len(out.Messages))
	for i, m := range out.Messages {
		messages[i] = message(m)
	}
	return messages, nil
}

func message(m types.Message) queue.Message {
	count, _ := strconv.Atoi(m.Attributes["ApproximateReceiveCount"])
	out := queue.Message{
		ID:              aws.ToString(m.MessageId),
		Body:            aws.ToString(m.Body),
		Receipt:         queue.Receipt(aws.ToString(m.ReceiptHandle)),
		ReceiveCount:    max(count, 1),
		SentAt:          milliseconds(m.Attributes["SentTimestamp"]),
		FirstReceivedAt: milliseconds(m.Attributes["ApproximateFirstReceiveTimestamp"]),
		GroupID:         m.Attributes["MessageGroupId"],
		DeduplicationID: m.Attributes["MessageDeduplicationId"],
	}
	for name, a := range m.MessageAttributes {
		if out.Attributes == nil {
			out.Attributes = make(map[string]queue.Attribute, len(m.MessageAttributes))
		}
		out.Attributes[name] = queue.Attribute{
			DataType: aws.ToString(a.DataType), StringValue: aws.ToString(a.StringValue), BinaryValue: a.BinaryValue,
		}
	}
	return out
}

// milliseconds reads SQS's timestamps; the zero time where there is none.
func milliseconds(s string) time.Time {
	ms, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return time.Time{}
	}
	return time.UnixMilli(ms)
}

// Delete is queue.Queue's.
func (q *Queue) Delete(ctx context.Context, receipts []queue.Receipt) []error {
	return q.batches(ctx, batchCall{
		verb: "delete from", n: len(receipts),
		refuse: func(i int) error { return missing(receipts[i]) },
		do: func(ctx context.Context, from, to int) (answer, error) {
			entries := make([]types.DeleteMessageBatchRequestEntry, 0, to-from)
			for i := from; i < to; i++ {
				entries = append(entries, types.DeleteMessageBatchRequestEntry{Id: entryID(i), ReceiptHandle: aws.String(string(receipts[i]))})
			}
			out, err := q.client.DeleteMessageBatch(ctx, &sqs.DeleteMessageBatchInput{QueueUrl: &q.url, Entries: entries})
			if err != nil {
				return answer{}, err
			}
			a := answer{failed: out.Failed}
			for _, e := range out.Successful {
				a.done = append(a.done, e.Id)
			}
			return a, nil
		},
	})
}

// Extend is queue.Queue's. Times are rounded up to seconds.
func (q *Queue) Extend(ctx context.Context, extensions []queue.Extension) []error {
	return q.batches(ctx, batchCall{
		verb: "extend in", n: len(extensions),
		refuse: func(i int) error {
			if v := extensions[i].Visibility; v < 0 || v > maxVisibility {
				return fmt.Errorf("%w: visibility timeout %v is not between 0 and 12h", queue.ErrInvalid, v)
			}
			return missing(extensions[i].Receipt)
		},
		do: func(ctx context.Context, from, to int) (answer, error) {
			entries := make([]types.ChangeMessageVisibilityBatchRequestEntry, 0, to-from)
			for i := from; i < to; i++ {
				entries = append(entries, types.ChangeMessageVisibilityBatchRequestEntry{
					Id: entryID(i), ReceiptHandle: aws.String(string(extensions[i].Receipt)), VisibilityTimeout: seconds(extensions[i].Visibility),
				})
			}
			out, err := q.client.ChangeMessageVisibilityBatch(ctx, &sqs.ChangeMessageVisibilityBatchInput{QueueUrl: &q.url, Entries: entries})
			if err != nil {
				return answer{}, err
			}
			a := answer{failed: out.Failed}
			for _, e := range out.Successful {
				a.done = append(a.done, e.Id)
			}
			return a, nil
		},
	})
}

// Send is queue.Queue's. Only what was throttled, and so surely not taken, is
// repeated here; a caller that repeats ErrUnreachable may send twice.
func (q *Queue) Send(ctx context.Context, messages []queue.Outgoing) []queue.SendResult {
	results := make([]queue.SendResult, len(messages))
	errs := q.batches(ctx, batchCall{
		verb: "send to", n: len(messages), ordered: q.fifo(),
		size:   func(i int) int { return size(messages[i]) },
		refuse: func(i int) error { return unusable(messages[i]) },
		do: func(ctx context.Context, from, to int) (answer, error) {
			entries := make([]types.SendMessageBatchRequestEntry, 0, to-from)
			for i := from; i < to; i++ {
				entries = append(entries, entry(i, messages[i]))
			}
			out, err := q.client.SendMessageBatch(ctx, &sqs.SendMessageBatchInput{QueueUrl: &q.url, Entries: entries}, q.send)
			if err != nil {
				return answer{}, err
			}
			a := answer{failed: out.Failed}
			for _, e := range out.Successful {
				if i, ok := index(e.Id, from, to); ok {
					results[i].ID = aws.ToString(e.MessageId)
				}
				a.done = append(a.done, e.Id)
			}
			return a, nil
		},
	})
	for i, err := range errs {
		if err != nil {
			results[i] = queue.SendResult{Err: err}
		}
	}
	return results
}

func entry(i int, m queue.Outgoing) types.SendMessageBatchRequestEntry {
	e := types.SendMessageBatchRequestEntry{
		Id: entryID(i), MessageBody: aws.String(m.Body), DelaySeconds: seconds(m.Delay),
	}
	if m.GroupID != "" {
		e.MessageGroupId = aws.String(m.GroupID)
	}
	if m.DeduplicationID != "" {
		e.MessageDeduplicationId = aws.String(m.DeduplicationID)
	}
	for name, a := range m.Attributes {
		if e.MessageAttributes == nil {
			e.MessageAttributes = make(map[string]types.MessageAttributeValue, len(m.Attributes))
		}
		value := types.MessageAttributeValue{DataType: aws.String(a.DataType), BinaryValue: a.BinaryValue}
		if a.BinaryValue == nil {
			value.StringValue = aws.String(a.StringValue)
		}
		e.MessageAttributes[name] = value
	}
	return e
}

// size is what counts against the limits of a message and of a batch.
func size(m queue.Outgoing) int {
	n := len(m.Body)
	for name, a := range m.Attributes {
		n += len(name) + len(a.DataType) + len(a.StringValue) + len(a.BinaryValue)
	}
	return n
}

// unusable is what only this side can tell: the rest is the service's to
// refuse. JSON would turn broken UTF-8 into other text silently.
func unusable(m queue.Outgoing) error {
	if !utf8.ValidString(m.Body) {
		return fmt.Errorf("%w: body is not UTF-8", queue.ErrInvalid)
	}
	for name, a := range m.Attributes {
		if !utf8.ValidString(a.StringValue) || !utf8.ValidString(name) {
			return fmt.Errorf("%w: attribute %q is not UTF-8", queue.ErrInvalid, name)
		}
	}
	if m.Delay < 0 || m.Delay > maxDelay {
		return fmt.Errorf("%w: delay %v is not between 0 and 15m", queue.ErrInvalid, m.Delay)
	}
	return nil
}

// missing refuses the receipt that SQS would call a missing parameter.
func missing(r queue.Receipt) error {
	if r == "" {
		return fmt.Errorf("%w: it is empty", queue.ErrReceiptInvalid)
	}
	return nil
}
