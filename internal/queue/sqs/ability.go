package sqs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/queuemill/queuemill/internal/queue"
)

const peekVisibility = 30 * time.Second // should giving back fail, they return after this

// attributes asks for some of the queue's attributes.
func (q *Queue) attributes(ctx context.Context, names ...types.QueueAttributeName) (map[string]string, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	out, err := q.client.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{QueueUrl: &q.url, AttributeNames: names})
	if err != nil {
		return nil, q.failure("read attributes of", err)
	}
	return out.Attributes, nil
}

// Depth is queue.DepthReporter's. SQS's counts are approximate, and it does not
// tell the oldest message's age here.
func (q *Queue) Depth(ctx context.Context) (queue.Depth, error) {
	a, err := q.attributes(ctx, types.QueueAttributeNameApproximateNumberOfMessages,
		types.QueueAttributeNameApproximateNumberOfMessagesNotVisible, types.QueueAttributeNameApproximateNumberOfMessagesDelayed)
	if err != nil {
		return queue.Depth{}, err
	}
	var d queue.Depth
	for name, n := range map[types.QueueAttributeName]*int{
		types.QueueAttributeNameApproximateNumberOfMessages:           &d.Visible,
		types.QueueAttributeNameApproximateNumberOfMessagesNotVisible: &d.InFlight,
		types.QueueAttributeNameApproximateNumberOfMessagesDelayed:    &d.Delayed,
	} {
		if *n, err = strconv.Atoi(a[string(name)]); err != nil {
			return queue.Depth{}, fmt.Errorf("read attributes of %s: %s is %q, not a number", q.name, name, a[string(name)])
		}
	}
	return d, nil
}

// Settings is queue.SettingsReporter's.
func (q *Queue) Settings(ctx context.Context) (queue.Settings, error) {
	names := []types.QueueAttributeName{
		types.QueueAttributeNameVisibilityTimeout, types.QueueAttributeNameMessageRetentionPeriod, types.QueueAttributeNameRedrivePolicy,
	}
	a, err := q.attributes(ctx, names...)
	if err != nil {
		return queue.Settings{}, err
	}
	s := queue.Settings{FIFO: q.fifo()}
	if n, err := strconv.Atoi(a["VisibilityTimeout"]); err == nil {
		s.Visibility = time.Duration(n) * time.Second
	}
	if n, err := strconv.Atoi(a["MessageRetentionPeriod"]); err == nil {
		s.Retention = time.Duration(n) * time.Second
	}
	if policy := a["RedrivePolicy"]; policy != "" {
		var p struct {
			Target string      `json:"deadLetterTargetArn"`
			Max    json.Number `json:"maxReceiveCount"` // SQS takes it quoted too, and gives it back so
		}
		if err := json.Unmarshal([]byte(policy), &p); err != nil {
			return queue.Settings{}, fmt.Errorf("read redrive policy of %s: %w", q.name, err)
		}
		if n, err := p.Max.Int64(); err == nil {
			s.MaxReceiveCount = int(n)
		}
		s.DeadLetterQueue = nameOf(p.Target)
	}
	return s, nil
}

// Purge is queue.Purger's. SQS takes up to a minute for it, and refuses another
// one in that time (queue.ErrThrottled).
func (q *Queue) Purge(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	if _, err := q.client.PurgeQueue(ctx, &sqs.PurgeQueueInput{QueueUrl: &q.url}); err != nil {
		return q.failure("purge", err)
	}
	return nil
}

// PeekCounts is queue.Peeker's: SQS shows a message only to who receives it.
func (q *Queue) PeekCounts() bool { return true }

// Peek is queue.Peeker's: it receives and gives back. On a FIFO queue it shows
// ten messages at most of one group.
func (q *Queue) Peek(ctx context.Context, limit int) (seen []queue.Message, err error) {
	defer func() {
		back := make([]queue.Extension, len(seen))
		for i := range seen {
			back[i].Receipt = seen[i].Receipt
			seen[i].Receipt = "" // not the viewer's to use
		}
		// What was taken is given back, whatever became of ctx.
		err = errors.Join(err, errors.Join(q.Extend(context.WithoutCancel(ctx), back)...))
	}()
	for len(seen) < limit {
		got, err := q.Receive(ctx, queue.ReceiveOptions{Max: min(limit-len(seen), maxBatch), Wait: time.Second, Visibility: peekVisibility})
		if err != nil {
			return seen, err
		}
		if len(got) == 0 {
			break
		}
		seen = append(seen, got...)
	}
	return seen, nil
}

// Redrive is queue.Redriver's: SQS moves on its own, all messages or none, so a
// limit is queue.ErrInvalid. The count is what was visible when it began.
func (q *Queue) Redrive(ctx context.Context, limit int) (int, error) {
	if limit > 0 {
		return 0, fmt.Errorf("redrive %s: %w: SQS moves all messages or none; leave the limit out", q.name, queue.ErrInvalid)
	}
	depth, err := q.Depth(ctx)
	if err != nil {
		return 0, err
	}
	a, err := q.attributes(ctx, types.QueueAttributeNameQueueArn)
	if err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	if _, err := q.client.StartMessageMoveTask(ctx, &sqs.StartMessageMoveTaskInput{SourceArn: aws.String(a["QueueArn"])}); err != nil {
		return 0, q.failure("redrive", err)
	}
	return depth.Visible, nil
}
