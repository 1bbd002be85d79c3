package crash

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strconv"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"golang.org/x/sync/errgroup"
)

// task is one message and what its job does.
type task struct {
	Number int    `json:"number"`
	Kind   string `json:"kind"`
	Millis int    `json:"ms"`

	queue     string
	messageID string
}

// wantFailed tells whether the task's record ends as Failed.
func (k task) wantFailed() bool { return k.Kind == "fail" }

// makeTasks makes n tasks, every other one for each queue. The seed settles all.
func makeTasks(n int, random *rand.Rand, queues ...string) []*task {
	tasks := make([]*task, n)
	for i := range tasks {
		k := &task{Number: i, Kind: "ok", queue: queues[i%len(queues)]}
		switch p := random.IntN(100); {
		case p < 5 && i < n/2: // the last of many attempts has to come in time
			k.Kind = "fail"
			if k.queue == onSuccessQueue {
				k.queue = failingQueue
			}
		case p < 8 && k.queue == onSuccessQueue:
			k.Kind = "flaky"
		case p < 30:
			k.Kind, k.Millis = "slow", 50+random.IntN(350)
		case p < 33:
			k.Kind, k.Millis = "orphan", 50+random.IntN(350)
		}
		tasks[i] = k
	}
	return tasks
}

// newClient speaks SQS to the endpoint and does not repeat a call by itself.
func newClient(endpoint string) *sqs.Client {
	return sqs.New(sqs.Options{
		Region:           "us-east-1",
		BaseEndpoint:     aws.String(endpoint),
		Credentials:      credentials.NewStaticCredentialsProvider("test", "test", ""),
		RetryMaxAttempts: 1,
	})
}

// createQueue returns the queue's URL.
func createQueue(t *testing.T, client *sqs.Client, name string, attributes map[string]string) string {
	t.Helper()
	out, err := client.CreateQueue(t.Context(), &sqs.CreateQueueInput{QueueName: &name, Attributes: attributes})
	if err != nil {
		t.Fatal(err)
	}
	return *out.QueueUrl
}

// sendAll sends the tasks in batches of ten and notes their message IDs.
func sendAll(ctx context.Context, client *sqs.Client, urls map[string]string, tasks []*task) error {
	batches := map[string][]*task{}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(16)
	flush := func(queue string) {
		batch := batches[queue]
		delete(batches, queue)
		g.Go(func() error { return sendBatch(ctx, client, urls[queue], batch) })
	}
	for _, k := range tasks {
		if batches[k.queue] = append(batches[k.queue], k); len(batches[k.queue]) == 10 {
			flush(k.queue)
		}
	}
	for queue := range batches {
		flush(queue)
	}
	return g.Wait()
}

func sendBatch(ctx context.Context, client *sqs.Client, url string, batch []*task) error {
	in := &sqs.SendMessageBatchInput{QueueUrl: &url}
	for i, k := range batch {
		body, err := json.Marshal(k)
		if err != nil {
			return err
		}
		in.Entries = append(in.Entries, types.SendMessageBatchRequestEntry{
			Id: aws.String(strconv.Itoa(i)), MessageBody: aws.String(string(body)),
		})
	}
	out, err := client.SendMessageBatch(ctx, in)
	if err != nil {
		return err
	}
	if len(out.Failed) > 0 {
		return fmt.Errorf("send to %s: %s", url, aws.ToString(out.Failed[0].Message))
	}
	for _, sent := range out.Successful {
		i, err := strconv.Atoi(*sent.Id)
		if err != nil {
			return err
		}
		batch[i].messageID = *sent.MessageId
	}
	return nil
}
