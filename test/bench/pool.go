package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
)

const poolMessages = 30_000

// poolWorker compares a worker that posts each message to a server that does
// nothing with the SQS client library receiving and deleting alone: by the plain
// calls, and by the cheapest there are.
func (b *bench) poolWorker(ctx context.Context) error {
	if err := b.servers(ctx); err != nil {
		return err
	}
	h, err := serveNoop()
	if err != nil {
		return err
	}
	defer h.close()
	rates, err := b.takeTurns(
		b.cycling(ctx, single{}, b.empty, "", poolMessages),
		func() (float64, error) { return b.work(ctx, h) },
		b.cycling(ctx, sdk{}, b.empty, "", poolMessages))
	if err != nil {
		return err
	}
	conditions := fmt.Sprintf("worker --http, no-op server, concurrency %d, %s messages of 1 KiB", connections, thousands(poolMessages))
	b.table.share("pool-worker", conditions, "worker", rates[1], single{}.name(), rates[0], 60)
	b.table.share("pool-worker-batch", conditions, "worker", rates[1], sdk{}.name()+" receive ten, delete ten", rates[2], 0)
	return nil
}

// single is sdk with a delete for each message.
type single struct{ sdk }

func (single) name() string { return "aws-sdk-go-v2 ReceiveMessage of ten, DeleteMessage of each" }

func (s single) open(address, queueURL string) (conn, error) {
	c, err := s.sdk.open(address, queueURL)
	if err != nil {
		return nil, err
	}
	return singleConn{c.(*sdkConn)}, nil
}

type singleConn struct{ *sdkConn }

func (c singleConn) delete() error {
	for _, m := range c.received {
		if _, err := c.client.DeleteMessage(context.Background(), &sqs.DeleteMessageInput{QueueUrl: &c.url, ReceiptHandle: m.ReceiptHandle}); err != nil {
			return err
		}
	}
	return nil
}

// work is the rate of one worker from its first message to its end, when the
// last delete is answered.
func (b *bench) work(ctx context.Context, h *noop) (float64, error) {
	name, done, err := b.fresh(ctx, b.empty)
	if err != nil {
		return 0, err
	}
	defer done()
	if err := prefill(b.empty, name, poolMessages); err != nil {
		return 0, err
	}
	h.begin()
	cmd := exec.CommandContext(ctx, b.binary, "worker", "-q", b.empty.queueURL(name), "-c", fmt.Sprint(connections),
		"--max-messages", fmt.Sprint(poolMessages), "--visibility", "5m", "--http", h.url, "--log-level", "warn")
	cmd.Env = append(os.Environ(), "AWS_ACCESS_KEY_ID=AKID", "AWS_SECRET_ACCESS_KEY=secret")
	cmd.Stderr = os.Stderr
	var ended time.Time
	rate, err := b.watched(b.empty, name, func() (float64, error) {
		if err := cmd.Run(); err != nil {
			return 0, fmt.Errorf("worker: %w", err)
		}
		ended = time.Now()
		return poolMessages / ended.Sub(h.first()).Seconds(), nil
	})
	if err != nil {
		return 0, err
	}
	if n := h.count.Load(); n != poolMessages {
		return 0, fmt.Errorf("the server got %d messages, %d were sent", n, poolMessages)
	}
	left, err := b.visible(ctx, b.empty, name)
	if err == nil && left != 0 {
		err = fmt.Errorf("%d messages are left", left)
	}
	if b.verbose {
		fmt.Fprintf(os.Stderr, "  worker: %.1f µs of CPU per message\n", micro(cmd.ProcessState.UserTime()+cmd.ProcessState.SystemTime())/poolMessages)
	}
	return rate, err
}

// noop is an HTTP server that answers 204.
type noop struct {
	url    string
	server *http.Server
	count  atomic.Int64
	at     atomic.Int64 // of the first message, nanoseconds since 1970
}

func serveNoop() (*noop, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	h := &noop{url: "http://" + l.Addr().String() + "/"}
	h.server = &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			return
		}
		if h.count.Add(1) == 1 {
			h.at.Store(time.Now().UnixNano())
		}
		w.WriteHeader(http.StatusNoContent)
	})}
	go h.server.Serve(l) //nolint:errcheck // it ends with close
	return h, nil
}

func (h *noop) begin()           { h.count.Store(0) }
func (h *noop) first() time.Time { return time.Unix(0, h.at.Load()) }
func (h *noop) close()           { h.server.Close() } //nolint:errcheck // its connections go with it
