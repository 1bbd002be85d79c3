package pools

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"syscall"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

// newClient speaks SQS to the endpoint and does not repeat a call by itself.
func newClient(endpoint string) *sqs.Client {
	return sqs.New(sqs.Options{
		Region:           "us-east-1",
		BaseEndpoint:     aws.String(endpoint),
		Credentials:      credentials.NewStaticCredentialsProvider("test", "test", ""),
		RetryMaxAttempts: 1,
	})
}

// queueURL is the pool's queue, which the pool has made.
func queueURL(t *testing.T, client *sqs.Client) string {
	t.Helper()
	out, err := client.GetQueueUrl(t.Context(), &sqs.GetQueueUrlInput{QueueName: aws.String("work")})
	if err != nil {
		t.Fatal(err)
	}
	return *out.QueueUrl
}

func sendAll(ctx context.Context, client *sqs.Client, url string, bodies []string) error {
	for len(bodies) > 0 {
		n := min(10, len(bodies))
		in := &sqs.SendMessageBatchInput{QueueUrl: &url}
		for i, body := range bodies[:n] {
			in.Entries = append(in.Entries, types.SendMessageBatchRequestEntry{Id: aws.String(strconv.Itoa(i)), MessageBody: aws.String(body)})
		}
		out, err := client.SendMessageBatch(ctx, in)
		if err != nil {
			return err
		}
		if len(out.Failed) > 0 {
			return fmt.Errorf("send to %s: %s", url, aws.ToString(out.Failed[0].Message))
		}
		bodies = bodies[n:]
	}
	return nil
}

// pool is what GET /v1/status says of the pool.
type pool struct {
	Name      string
	Desired   int
	Suspended bool
	Workers   struct{ Starting, Ready, Busy, Retiring, Unknown, Outdated int }
}

// pool is the zero value while nobody answers.
func (s *shockTest) pool() pool {
	var status struct{ WorkerPools []pool }
	if err := s.up.Get("/v1/status", &status); err != nil || len(status.WorkerPools) != 1 {
		return pool{}
	}
	return status.WorkerPools[0]
}

// killWorkers ends what a failed test leaves behind.
func (s *shockTest) killWorkers() {
	for _, file := range s.records() {
		var worker struct{ Pid int }
		if text, err := os.ReadFile(file); err == nil && json.Unmarshal(text, &worker) == nil && worker.Pid > 1 {
			_ = syscall.Kill(worker.Pid, syscall.SIGKILL)
		}
	}
}
