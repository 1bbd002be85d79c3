package sqsserver

import (
	"bufio"
	"context"
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/queuemill/queuemill/internal/queue/embedded"
)

// The client is the larger part of these figures, so each is to be read beside
// the one of "nothing", a server that reads the request and answers the same
// bytes each time:
//
//	go test ./internal/sqsserver -run - -bench . -benchtime 20000x -count 5
//
// Conditions: 64 connections, bodies of 1 KiB, fsync on, client and server in
// one process.
const benchConnections = 64

var benchBody = strings.Repeat("queuemill ", 103)[:1024]

// doNothing answers sends, alone and in batches of ten, as a queue would.
func doNothing(b *testing.B) string {
	sum := md5.Sum([]byte(benchBody))
	one := `"MessageId":"b0e9a1c2-0000-4000-8000-000000000000","MD5OfMessageBody":"` + hex.EncodeToString(sum[:]) + `"`
	batch := make([]string, 10)
	for i := range batch {
		batch[i] = `{"Id":"` + strconv.Itoa(i) + `",` + one + `}`
	}
	answers := map[string][]byte{
		"AmazonSQS.SendMessage":      []byte("{" + one + "}"),
		"AmazonSQS.SendMessageBatch": []byte(`{"Successful":[` + strings.Join(batch, ",") + `]}`),
	}
	hs := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			b.Error(err)
		}
		w.Header()["Content-Type"] = typeJSON
		if _, err := w.Write(answers[r.Header["X-Amz-Target"][0]]); err != nil {
			b.Error(err)
		}
	}))
	b.Cleanup(hs.Close)
	return strings.TrimPrefix(hs.URL, "http://")
}

// benchServer is the real one, with an empty queue "bench".
func benchServer(b *testing.B) (addr string, q *embedded.Queue) {
	broker := newBroker(b, embedded.Options{})
	q, err := broker.CreateQueue("us-east-1", "bench", nil, nil)
	if err != nil {
		b.Fatal(err)
	}
	addr, _ = startServer(b, New(broker, Options{}))
	return addr, q
}

// share runs f b.N times on 64 goroutines; each makes its own client with open.
func share[C any](b *testing.B, open func() C, f func(C) error) {
	b.Helper()
	clients := make([]C, benchConnections)
	for i := range clients {
		clients[i] = open()
	}
	var left atomic.Int64
	left.Store(int64(b.N))
	var wg sync.WaitGroup
	b.ReportAllocs()
	b.ResetTimer()
	before := cpuTime(b)
	for _, c := range clients {
		wg.Go(func() {
			for left.Add(-1) >= 0 {
				if err := f(c); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "calls/s")
	b.ReportMetric(float64((cpuTime(b)-before).Microseconds())/float64(b.N), "cpu-us/op")
}

// cpuTime is what the process has used. On a machine that does other things too
// it says more than the wall clock.
func cpuTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func sdkClient(addr string) *sqs.Client {
	transport := &http.Transport{MaxIdleConnsPerHost: benchConnections}
	return sqs.New(sqs.Options{
		BaseEndpoint: aws.String("http://" + addr),
		Region:       "us-east-1",
		Credentials:  credentials.NewStaticCredentialsProvider("AKID", "secret", ""),
		HTTPClient:   &http.Client{Transport: transport},
	})
}

func benchQueueURL(addr string) *string {
	return aws.String("http://" + addr + "/000000000000/bench")
}

// eachServer runs f against the server that does nothing and the real one.
func eachServer(b *testing.B, f func(b *testing.B, addr string)) {
	b.Run("server=nothing", func(b *testing.B) { f(b, doNothing(b)) })
	b.Run("server=queue", func(b *testing.B) {
		addr, _ := benchServer(b)
		f(b, addr)
	})
}

func BenchmarkSDKSend(b *testing.B) {
	eachServer(b, func(b *testing.B, addr string) {
		c := sdkClient(addr)
		in := &sqs.SendMessageInput{QueueUrl: benchQueueURL(addr), MessageBody: &benchBody}
		share(b, func() *sqs.Client { return c }, func(c *sqs.Client) error {
			_, err := c.SendMessage(context.Background(), in)
			return err
		})
	})
}

func BenchmarkSDKSendBatch(b *testing.B) {
	eachServer(b, func(b *testing.B, addr string) {
		c := sdkClient(addr)
		in := &sqs.SendMessageBatchInput{QueueUrl: benchQueueURL(addr)}
		for i := range 10 {
			in.Entries = append(in.Entries, types.SendMessageBatchRequestEntry{Id: aws.String(strconv.Itoa(i)), MessageBody: &benchBody})
		}
		share(b, func() *sqs.Client { return c }, func(c *sqs.Client) error {
			_, err := c.SendMessageBatch(context.Background(), in)
			return err
		})
	})
}

// BenchmarkSDKReceiveDelete is cycles of ten: receive and delete a batch.
func BenchmarkSDKReceiveDelete(b *testing.B) {
	addr, q := benchServer(b)
	c := sdkClient(addr)
	var wg sync.WaitGroup
	for w := range 16 {
		wg.Go(func() {
			entries := make([]embedded.SendEntry, 10)
			for i := range entries {
				entries[i].Body = benchBody
			}
			for i := w; i < b.N+benchConnections; i += 16 {
				for _, r := range q.Send(context.Background(), entries) {
					if r.Err != nil {
						b.Error(r.Err)
					}
				}
			}
		})
	}
	wg.Wait()
	share(b, func() *sqs.Client { return c }, func(c *sqs.Client) error {
		out, err := c.ReceiveMessage(context.Background(), &sqs.ReceiveMessageInput{QueueUrl: benchQueueURL(addr), MaxNumberOfMessages: 10})
		if err != nil || len(out.Messages) == 0 {
			return fmt.Errorf("received %v, %w", out, err)
		}
		in := &sqs.DeleteMessageBatchInput{QueueUrl: benchQueueURL(addr)}
		for i, m := range out.Messages {
			in.Entries = append(in.Entries, types.DeleteMessageBatchRequestEntry{Id: aws.String(strconv.Itoa(i)), ReceiptHandle: m.ReceiptHandle})
		}
		_, err = c.DeleteMessageBatch(context.Background(), in)
		return err
	})
}

// rawClient writes the same prepared request again and again on one connection.
type rawClient struct {
	conn    net.Conn
	in      *bufio.Reader
	request []byte
}

func openRaw(b *testing.B, addr, action, body string) *rawClient {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := conn.Close(); err != nil {
			b.Error(err)
		}
	})
	return &rawClient{conn: conn, in: bufio.NewReader(conn), request: fmt.Appendf(nil,
		"POST / HTTP/1.1\r\nHost: %s\r\nX-Amz-Target: AmazonSQS.%s\r\nContent-Type: application/x-amz-json-1.0\r\nContent-Length: %d\r\n\r\n%s",
		addr, action, len(body), body)}
}

// call does one request and reads its answer, which has a Content-Length.
func (c *rawClient) call() error {
	if _, err := c.conn.Write(c.request); err != nil {
		return err
	}
	length := -1
	for first := true; ; first = false {
		line, err := c.in.ReadSlice('\n')
		if err != nil {
			return err
		}
		switch {
		case first && string(line[9:12]) != "200":
			return fmt.Errorf("answer %q", line)
		case len(line) == 2:
			_, err := c.in.Discard(length)
			return err
		case len(line) > 16 && string(line[:16]) == "Content-Length: ":
			if length, err = strconv.Atoi(string(line[16 : len(line)-2])); err != nil {
				return err
			}
		}
	}
}

func BenchmarkRawSend(b *testing.B) {
	eachServer(b, func(b *testing.B, addr string) {
		body := `{"QueueUrl":"` + *benchQueueURL(addr) + `","MessageBody":"` + benchBody + `"}`
		share(b, func() *rawClient { return openRaw(b, addr, "SendMessage", body) }, (*rawClient).call)
	})
}

func BenchmarkRawSendBatch(b *testing.B) {
	eachServer(b, func(b *testing.B, addr string) {
		entries := make([]string, 10)
		for i := range entries {
			entries[i] = fmt.Sprintf(`{"Id":"%d","MessageBody":"%s"}`, i, benchBody)
		}
		body := `{"QueueUrl":"` + *benchQueueURL(addr) + `","Entries":[` + strings.Join(entries, ",") + `]}`
		share(b, func() *rawClient { return openRaw(b, addr, "SendMessageBatch", body) }, (*rawClient).call)
	})
}
