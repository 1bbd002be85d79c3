// Package sqs is the queue provider for Amazon SQS, and for every server that
// speaks its protocol.
//
// Nothing of the AWS SDK is loaded or read before Open: a laptop that uses the
// embedded queue alone pays nothing for it.
package sqs

import (
	"context"
	"fmt"
	"path"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/ratelimit"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/queuemill/queuemill/api/v1alpha1"
	"github.com/queuemill/queuemill/internal/queue"
)

const (
	// callTimeout bounds one call with its repeats; of a receive it is longer
	// than SQS's longest poll, 20 s, since a queue may poll by its own setting.
	callTimeout = 30 * time.Second

	maxBatch      = 10      // entries of a batch (SQS quotas)
	maxBatchBytes = 1 << 20 // bytes of all its bodies and attributes
	maxWait       = 20 * time.Second
	maxVisibility = 12 * time.Hour
	maxDelay      = 15 * time.Minute
)

// Options are what a manifest does not say; the zero value is AWS.
type Options struct {
	// Endpoint is where queues are looked up by name, for servers that are not
	// AWS's; empty is the region's own. A queue's URL knows its endpoint itself.
	Endpoint string

	// Namespace and Name are the QueueJob's that the queue is opened for. A role
	// that is assumed carries them as session tags and in its session's name.
	Namespace, Name string
}

// Queue is one queue. Safe for concurrent use.
type Queue struct {
	url    string
	name   string
	client *sqs.Client
	send   func(*sqs.Options) // repeats only what was surely not done
	once   func(*sqs.Options) // repeats nothing
}

var (
	_ queue.Queue            = (*Queue)(nil)
	_ queue.DepthReporter    = (*Queue)(nil)
	_ queue.Purger           = (*Queue)(nil)
	_ queue.Peeker           = (*Queue)(nil)
	_ queue.Redriver         = (*Queue)(nil)
	_ queue.Rejecter         = (*Queue)(nil)
	_ queue.SettingsReporter = (*Queue)(nil)

	_ queue.DeadLetterReporter = (*Queue)(nil)
)

// Open returns the queue that source names. A name is looked up, which is a
// call (queue.ErrNotFound when there is none); a URL is taken as it is, and
// what is wrong with it shows at the first use.
//
// Credentials and region come from the AWS SDK's default chain: environment,
// shared configuration, web identity, container and instance metadata.
func Open(ctx context.Context, source v1alpha1.SQSSource, o Options) (*Queue, error) {
	place, err := locate(source, o)
	if err != nil {
		return nil, err
	}
	cfg, err := configure(ctx, place, source.RoleARN, o)
	if err != nil {
		return nil, fmt.Errorf("open queue %s: %w", place.label(), err)
	}
	repeats := retryer(retry.DefaultRetryables...)
	client := sqs.NewFromConfig(cfg, func(co *sqs.Options) {
		if place.endpoint != "" {
			co.BaseEndpoint = aws.String(place.endpoint)
		}
		co.Retryer = repeats
		co.HTTPClient = wholeAnswers{co.HTTPClient}
	})
	sending := retryer(retry.RetryableErrorCode{Codes: retry.DefaultThrottleErrorCodes})
	q := &Queue{
		url:    source.URL,
		name:   place.name,
		client: client,
		send:   func(co *sqs.Options) { co.Retryer = sending },
		once:   func(co *sqs.Options) { co.Retryer = aws.NopRetryer{} },
	}
	if q.url == "" {
		if err := q.lookUp(ctx); err != nil {
			return nil, err
		}
	}
	return q, nil
}

// retryer makes two repeats at most, soon: longer trouble is the caller's, who
// knows what else to stop. Without the SDK's token bucket, which would make one
// queue's trouble that of the others.
func retryer(retryables ...retry.IsErrorRetryable) aws.Retryer {
	return retry.NewStandard(func(o *retry.StandardOptions) {
		o.MaxAttempts = 3
		o.MaxBackoff = time.Second / 2
		o.Retryables = retryables
		o.RateLimiter = ratelimit.None
	})
}

func (q *Queue) lookUp(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	out, err := q.client.GetQueueUrl(ctx, &sqs.GetQueueUrlInput{QueueName: aws.String(q.name)})
	if err != nil {
		return q.failure("look up queue", err)
	}
	q.url = aws.ToString(out.QueueUrl)
	return nil
}

// Name is the queue's name, the last part of its URL.
func (q *Queue) Name() string { return q.name }

// URL is the queue's URL.
func (q *Queue) URL() string { return q.url }

func (q *Queue) fifo() bool { return strings.HasSuffix(q.name, ".fifo") }

// nameOf is the last part of a queue URL or ARN.
func nameOf(s string) string {
	if i := strings.LastIndexByte(s, ':'); strings.HasPrefix(s, "arn:") && i >= 0 {
		return s[i+1:]
	}
	return path.Base(s)
}

// seconds rounds up: a queue that counts in seconds must not make a short wait
// none at all.
func seconds(d time.Duration) int32 { return int32((d + time.Second - 1) / time.Second) }
