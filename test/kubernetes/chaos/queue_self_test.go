package chaos

import (
	"strconv"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/queuemill/queuemill/internal/queue"
)

// TestTheQueueFailsAsTold: the endpoint of these tests does to a plain SQS
// client what they rely on.
func TestTheQueueFailsAsTold(t *testing.T) {
	s := startSQS(t, 7)
	url := s.queue(t, "q", 0)
	const n = 200
	out := make([]queue.Outgoing, n)
	for i := range out {
		out[i].Body = strconv.Itoa(i)
	}
	ids := s.send(t, "q", out...)
	s.set(func(s *endpoint) { s.failing, s.duplicates = 0.1, 5 })
	client := sqs.New(sqs.Options{
		Region: "us-east-1", BaseEndpoint: aws.String(s.url), RetryMaxAttempts: 1,
		Credentials: credentials.NewStaticCredentialsProvider("test", "test", ""),
	})
	confirmed, failures := map[string]int{}, 0
	deadline := time.Now().Add(time.Minute)
	for s.get(t, "q").Depth().Total() > 0 {
		if time.Now().After(deadline) {
			t.Fatalf("the queue still holds %s", s.depth(t, "q"))
		}
		got, err := client.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{
			QueueUrl: &url, MaxNumberOfMessages: 10, WaitTimeSeconds: 1, VisibilityTimeout: 1,
		})
		if err != nil {
			t.Fatal(err)
		}
		if len(got.Messages) == 0 {
			continue
		}
		in := &sqs.DeleteMessageBatchInput{QueueUrl: &url}
		for _, m := range got.Messages {
			in.Entries = append(in.Entries, types.DeleteMessageBatchRequestEntry{Id: m.MessageId, ReceiptHandle: m.ReceiptHandle})
		}
		deleted, err := client.DeleteMessageBatch(t.Context(), in)
		if err != nil {
			t.Fatal(err)
		}
		failures += len(deleted.Failed)
		for _, d := range deleted.Successful {
			confirmed[*d.Id]++
		}
	}
	again := 0
	for _, id := range ids {
		f := s.of(id)
		again += f.forgotten
		if f.forgotten > 0 && f.receives < 2 {
			t.Errorf("the delete of %s was forgotten and it was received %d times, want 2 at least: %q", id, f.receives, f.history)
		}
	}
	if again < 2 || again > n/5 {
		t.Errorf("%d of %d deletes were forgotten, want about 5 %%", again, n)
	}
	if failures < n/20 || failures > n/5 {
		t.Errorf("%d of about %d deletes failed, want about 10 %%", failures, n+again)
	}
	if len(confirmed) < n*8/10 {
		t.Errorf("%d of %d messages were confirmed as deleted", len(confirmed), n)
	}
}
