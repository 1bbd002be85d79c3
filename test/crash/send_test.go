package crash

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/queuemill/queuemill/internal/httpapi"
	"github.com/queuemill/queuemill/test/mill"
)

// sendKills is how often the server is killed under the senders.
const sendKills = 25

// sent keeps what was answered: message IDs by the body's first word.
type sent struct {
	mu  sync.Mutex
	ids map[string]string
}

func (s *sent) answered(body, id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ids[firstWord(body)] = id
}

// firstWord tells bodies apart; the rest of a body is there for its size.
func firstWord(body string) string {
	word, _, _ := strings.Cut(body, " ")
	return strings.Clone(word)
}

// sender sends one body, or several derived from it, and notes what was answered.
type sender func(ctx context.Context, body string, answered func(body, id string)) error

// TestKillDuringSendsKeepsWhatWasAnswered kills the server while clients send
// over SQS and HTTP. What was answered is there exactly once; what was not is
// there at most once. On the FIFO queue a client repeats what was not answered
// with the same deduplication ID: that is there exactly once.
func TestKillDuringSendsKeepsWhatWasAnswered(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	o := mill.Options{
		Binary: binary, Data: filepath.Join(folder, "data"),
		Listen: mill.FreeAddress(t), SQSListen: mill.FreeAddress(t),
	}
	up := mill.Start(t, o)
	up.WaitReady(t)
	client := newClient(up.SQSURL)
	standard := createQueue(t, client, "sends", nil)
	fifo := createQueue(t, client, "sends.fifo", map[string]string{"FifoQueue": "true"})

	var senders sync.WaitGroup
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	once, repeated := &sent{ids: map[string]string{}}, &sent{ids: map[string]string{}}
	start := func(name string, n int, s sender) {
		for i := range n {
			senders.Go(func() {
				for seq := 0; ctx.Err() == nil; seq++ {
					if s(ctx, fmt.Sprintf("%s-%d-%d", name, i, seq), once.answered) != nil {
						pause(ctx)
					}
				}
			})
		}
	}
	start("single", 6, sendSingle(client, standard))
	start("batch", 4, sendTen(client, standard))
	start("http", 4, sendHTTP(up.URL+"/v1/queues/sends/messages"))
	senders.Go(func() {
		for seq := 0; ctx.Err() == nil; seq++ {
			body := "fifo-" + strconv.Itoa(seq)
			for sendFIFO(client, fifo)(ctx, body, repeated.answered) != nil && ctx.Err() == nil {
				pause(ctx)
			}
		}
	})

	random := rand.New(rand.NewPCG(*seed, 2))
	for range sendKills {
		select {
		case <-time.After(50*time.Millisecond + time.Duration(random.Int64N(int64(700*time.Millisecond)))):
		case <-up.Exited():
			t.Fatalf("queuemill up ended by itself:\n%s", up.Log())
		}
		up.Kill()
		up = mill.Start(t, o)
		if random.IntN(4) != 0 {
			up.WaitReady(t)
		}
	}
	stop()
	senders.Wait()

	up.WaitReady(t)
	checkDelivered(t, once, drain(t, client, standard))
	checkDelivered(t, repeated, drain(t, client, fifo))
}

func pause(ctx context.Context) {
	select {
	case <-time.After(10 * time.Millisecond):
	case <-ctx.Done():
	}
}

func sendSingle(client *sqs.Client, url string) sender {
	return func(_ context.Context, body string, answered func(body, id string)) error {
		// Not ctx: an answer on its way at the end is still to be counted.
		out, err := client.SendMessage(context.Background(), &sqs.SendMessageInput{QueueUrl: &url, MessageBody: &body})
		if err == nil {
			answered(body, *out.MessageId)
		}
		return err
	}
}

func sendTen(client *sqs.Client, url string) sender {
	return func(_ context.Context, body string, answered func(body, id string)) error {
		in := &sqs.SendMessageBatchInput{QueueUrl: &url}
		for i := range 10 {
			in.Entries = append(in.Entries, types.SendMessageBatchRequestEntry{
				Id: aws.String(strconv.Itoa(i)), MessageBody: aws.String(body + "-" + strconv.Itoa(i)),
			})
		}
		out, err := client.SendMessageBatch(context.Background(), in)
		if err != nil {
			return err
		}
		for _, one := range out.Successful {
			answered(body+"-"+*one.Id, *one.MessageId)
		}
		return nil
	}
}

func sendFIFO(client *sqs.Client, url string) sender {
	return func(_ context.Context, body string, answered func(body, id string)) error {
		out, err := client.SendMessage(context.Background(), &sqs.SendMessageInput{
			QueueUrl: &url, MessageBody: &body, MessageGroupId: aws.String("g"), MessageDeduplicationId: &body,
		})
		if err == nil {
			answered(body, *out.MessageId)
		}
		return err
	}
}

func sendHTTP(url string) sender {
	return func(_ context.Context, body string, answered func(body, id string)) error {
		request, err := json.Marshal(map[string]string{"body": body})
		if err != nil {
			return err
		}
		resp, err := http.Post(url, "application/json", bytes.NewReader(request))
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		var result httpapi.SendResult
		if resp.StatusCode != http.StatusAccepted {
			return fmt.Errorf("POST %s: %s", url, resp.Status)
		}
		if err := json.NewDecoder(resp.Body).Decode(&result); err != nil {
			return err
		}
		answered(body, result.ID)
		return nil
	}
}

// drain receives and deletes until the queue is empty; message IDs by first word.
func drain(t *testing.T, client *sqs.Client, url string) map[string][]string {
	t.Helper()
	found := map[string][]string{}
	for {
		out, err := client.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: &url, MaxNumberOfMessages: 10, VisibilityTimeout: 600})
		if err != nil {
			t.Fatal(err)
		}
		if len(out.Messages) == 0 {
			return found
		}
		in := &sqs.DeleteMessageBatchInput{QueueUrl: &url}
		for i, m := range out.Messages {
			word := firstWord(*m.Body)
			found[word] = append(found[word], *m.MessageId)
			in.Entries = append(in.Entries, types.DeleteMessageBatchRequestEntry{Id: aws.String(strconv.Itoa(i)), ReceiptHandle: m.ReceiptHandle})
		}
		if _, err := client.DeleteMessageBatch(t.Context(), in); err != nil {
			t.Fatal(err)
		}
	}
}

func checkDelivered(t *testing.T, want *sent, found map[string][]string) {
	t.Helper()
	if len(want.ids) == 0 {
		t.Error("nothing was answered: this run shows nothing")
	}
	t.Logf("%d sends answered, %d messages found", len(want.ids), len(found))
	for body, id := range want.ids {
		if ids := found[body]; len(ids) != 1 || ids[0] != id {
			t.Errorf("%s was answered as %s and is there as %v", body, id, ids)
		}
	}
	for body, ids := range found {
		if len(ids) != 1 {
			t.Errorf("%s is there %d times: %v", body, len(ids), ids)
		}
	}
}
