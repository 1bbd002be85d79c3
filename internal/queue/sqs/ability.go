package sqs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/queuemill/queuemill/internal/queue"
)

const peekVisibility = 30 * time.Second // should giving back fail, they return after this

// attributes asks for some of a queue's attributes.
func (q *Queue) attributes(ctx context.Context, queueURL string, names ...types.QueueAttributeName) (map[string]string, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	out, err := q.client.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{QueueUrl: &queueURL, AttributeNames: names})
	if err != nil {
		return nil, q.failure("read attributes of", err)
	}
	return out.Attributes, nil
}

// Depth is queue.DepthReporter's. SQS's counts are approximate, and it does not
// tell the oldest message's age here: CloudWatch alone has that.
func (q *Queue) Depth(ctx context.Context) (queue.Depth, error) { return q.depthOf(ctx, q.url) }

// DeadLetters is queue.DeadLetterReporter's.
func (q *Queue) DeadLetters(ctx context.Context) (queue.Depth, error) {
	dead, err := q.deadLetterURL(ctx)
	if err != nil {
		return queue.Depth{}, err
	}
	return q.depthOf(ctx, dead)
}

// deadLetterURL is the URL of the dead-letter queue, which is in the same region
// (SQS demands it), so behind the same endpoint. queue.ErrNotFound: there is none.
func (q *Queue) deadLetterURL(ctx context.Context) (string, error) {
	a, err := q.attributes(ctx, q.url, types.QueueAttributeNameRedrivePolicy)
	if err != nil {
		return "", err
	}
	p, err := q.redrivePolicy(a)
	if err != nil {
		return "", err
	}
	account, name, ok := accountAndName(p.Target)
	if !ok {
		return "", fmt.Errorf("%s has no dead-letter queue: %w", q.name, queue.ErrNotFound)
	}
	u, err := url.Parse(q.url)
	if err != nil {
		return "", fmt.Errorf("dead-letter queue of %s: %w", q.name, err)
	}
	u.Path = path.Join(path.Dir(path.Dir(u.Path)), account, name)
	return u.String(), nil
}

// Reject is queue.Rejecter's. It asks for the redrive policy each time, so an
// edit of it counts at once; it needs sqs:SendMessage on the dead-letter queue.
func (q *Queue) Reject(ctx context.Context, m queue.Message, reason string) error {
	dead, err := q.deadLetterURL(ctx)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	e := entry(0, queue.Rejected(&m, reason, q.fifo()))
	in := &sqs.SendMessageInput{QueueUrl: &dead, MessageBody: e.MessageBody, MessageAttributes: e.MessageAttributes, MessageGroupId: e.MessageGroupId, MessageDeduplicationId: e.MessageDeduplicationId}
	if _, err := q.client.SendMessage(ctx, in, q.send); err != nil {
		return q.failure("reject to the dead-letter queue of", err)
	}
	return nil
}

// accountAndName reads arn:aws:sqs:REGION:ACCOUNT:NAME.
func accountAndName(arn string) (account, name string, ok bool) {
	parts := strings.Split(arn, ":")
	if len(parts) != 6 || parts[4] == "" || parts[5] == "" {
		return "", "", false
	}
	return parts[4], parts[5], true
}

func (q *Queue) depthOf(ctx context.Context, queueURL string) (queue.Depth, error) {
	a, err := q.attributes(ctx, queueURL, types.QueueAttributeNameApproximateNumberOfMessages,
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
	a, err := q.attributes(ctx, q.url, names...)
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
	p, err := q.redrivePolicy(a)
	if err != nil {
		return queue.Settings{}, err
	}
	if p.Target != "" {
		if n, err := p.Max.Int64(); err == nil {
			s.MaxReceiveCount = int(n)
		}
		s.DeadLetterQueue = nameOf(p.Target)
	}
	return s, nil
}

type redrivePolicy struct {
	Target string      `json:"deadLetterTargetArn"`
	Max    json.Number `json:"maxReceiveCount"` // SQS takes it quoted too, and gives it back so
}

// redrivePolicy reads the policy among attributes, the zero value without one.
func (q *Queue) redrivePolicy(attributes map[string]string) (p redrivePolicy, err error) {
	policy := attributes["RedrivePolicy"]
	if policy == "" {
		return p, nil
	}
	if err := json.Unmarshal([]byte(policy), &p); err != nil {
		return p, fmt.Errorf("read redrive policy of %s: %w", q.name, err)
	}
	return p, nil
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
//
// SQS knows the way back of what it moved itself, not of what was sent, as by
// Reject. Where one queue alone has this as its dead-letter queue all goes there;
// telling that needs sqs:ListDeadLetterSourceQueues.
func (q *Queue) Redrive(ctx context.Context, limit int) (int, error) {
	if limit > 0 {
		return 0, fmt.Errorf("redrive %s: %w: SQS moves all messages or none; leave the limit out", q.name, queue.ErrInvalid)
	}
	depth, err := q.Depth(ctx)
	if err != nil {
		return 0, err
	}
	a, err := q.attributes(ctx, q.url, types.QueueAttributeNameQueueArn)
	if err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	task := &sqs.StartMessageMoveTaskInput{SourceArn: aws.String(a["QueueArn"]), DestinationArn: q.onlySource(ctx, a["QueueArn"])}
	if _, err := q.client.StartMessageMoveTask(ctx, task); err != nil {
		return 0, q.failure("redrive", err)
	}
	return depth.Visible, nil
}

// onlySource is the ARN of the one queue whose dead letters come here; nil where
// there are several, or nobody may tell.
func (q *Queue) onlySource(ctx context.Context, ownARN string) *string {
	out, err := q.client.ListDeadLetterSourceQueues(ctx, &sqs.ListDeadLetterSourceQueuesInput{QueueUrl: &q.url})
	if err != nil || len(out.QueueUrls) != 1 || out.NextToken != nil {
		return nil
	}
	// In the same region and account (SQS demands it), so the ARNs differ in the name.
	return aws.String(strings.TrimSuffix(ownARN, q.name) + nameOf(out.QueueUrls[0]))
}
