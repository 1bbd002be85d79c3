package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

const connections = 64

// payload is a body of 1 KiB.
var payload = strings.Repeat("queuemill ", 103)[:1024]

// client is a kind of client; open makes one connection's worth.
type client interface {
	name() string
	open(address, queueURL string) (conn, error)
}

// conn is one of the connections of a load.
type conn interface {
	send(n int) error                    // one message alone, or a batch of n
	receive(wait int) (n int, err error) // up to ten, waiting up to wait seconds
	delete() error                       // what was received last, in one batch
	close()
}

// sdk is aws-sdk-go-v2 as a program uses it: one client for all connections.
type sdk struct{}

func (sdk) name() string { return "aws-sdk-go-v2" }

var sdkTransport = &http.Transport{MaxIdleConnsPerHost: connections}

func (sdk) open(address, queueURL string) (conn, error) {
	c := &sdkConn{url: queueURL, client: sqs.New(sqs.Options{
		BaseEndpoint: aws.String("http://" + address), Region: "us-east-1", Retryer: aws.NopRetryer{},
		Credentials: credentials.NewStaticCredentialsProvider("AKID", "secret", ""),
		HTTPClient:  wholeAnswers{&http.Client{Transport: sdkTransport}},
	})}
	for i := range 10 {
		c.batch = append(c.batch, types.SendMessageBatchRequestEntry{Id: aws.String(strconv.Itoa(i)), MessageBody: &payload})
	}
	return c, nil
}

// wholeAnswers keeps a request's body from being an io.WriterTo, as queue/sqs does
// it: else smithy-go's early close of it cuts off an answer now and then.
type wholeAnswers struct{ *http.Client }

func (c wholeAnswers) Do(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		r.Body = struct{ io.ReadCloser }{r.Body}
	}
	return c.Client.Do(r) //nolint:gosec // to the server under test
}

type sdkConn struct {
	client   *sqs.Client
	url      string
	batch    []types.SendMessageBatchRequestEntry
	received []types.Message
}

func (c *sdkConn) send(n int) error {
	if n == 1 {
		_, err := c.client.SendMessage(context.Background(), &sqs.SendMessageInput{QueueUrl: &c.url, MessageBody: &payload})
		return err
	}
	out, err := c.client.SendMessageBatch(context.Background(), &sqs.SendMessageBatchInput{QueueUrl: &c.url, Entries: c.batch[:n]})
	if err == nil && len(out.Successful) != n {
		err = fmt.Errorf("%d of %d entries were taken", len(out.Successful), n)
	}
	return err
}

func (c *sdkConn) receive(wait int) (int, error) {
	out, err := c.client.ReceiveMessage(context.Background(), &sqs.ReceiveMessageInput{QueueUrl: &c.url, MaxNumberOfMessages: 10, WaitTimeSeconds: int32(wait)})
	if err != nil {
		return 0, err
	}
	c.received = out.Messages
	return len(c.received), nil
}

func (c *sdkConn) delete() error {
	in := &sqs.DeleteMessageBatchInput{QueueUrl: &c.url}
	for i, m := range c.received {
		in.Entries = append(in.Entries, types.DeleteMessageBatchRequestEntry{Id: aws.String(strconv.Itoa(i)), ReceiptHandle: m.ReceiptHandle})
	}
	out, err := c.client.DeleteMessageBatch(context.Background(), in)
	if err == nil && len(out.Successful) != len(in.Entries) {
		err = fmt.Errorf("%d of %d entries were deleted", len(out.Successful), len(in.Entries))
	}
	return err
}

func (c *sdkConn) close() {}

// lean writes prepared requests on a keep-alive connection and looks at no more
// of the answers than it must.
type lean struct{}

func (lean) name() string { return "lean client" }

func (lean) open(address, queueURL string) (conn, error) {
	tcp, err := net.Dial("tcp", address)
	if err != nil {
		return nil, err
	}
	c := &leanConn{tcp: tcp, in: bufio.NewReaderSize(tcp, 64<<10), address: address, url: queueURL}
	entries := make([]string, 10)
	for i := range entries {
		entries[i] = fmt.Sprintf(`{"Id":"%d","MessageBody":"%s"}`, i, payload)
	}
	c.one = c.prepare("SendMessage", fmt.Sprintf(`{"QueueUrl":"%s","MessageBody":"%s"}`, queueURL, payload))
	c.ten = c.prepare("SendMessageBatch", fmt.Sprintf(`{"QueueUrl":"%s","Entries":[%s]}`, queueURL, strings.Join(entries, ",")))
	return c, nil
}

type leanConn struct {
	tcp          net.Conn
	in           *bufio.Reader
	address, url string
	one, ten     []byte
	body         []byte   // of the last answer
	receipts     []string // of the last receive
}

func (c *leanConn) prepare(action, body string) []byte {
	return fmt.Appendf(nil, "POST / HTTP/1.1\r\nHost: %s\r\nX-Amz-Target: AmazonSQS.%s\r\nContent-Type: application/x-amz-json-1.0\r\nContent-Length: %d\r\n\r\n%s",
		c.address, action, len(body), body)
}

var errNotAll = errors.New("not every entry was taken")

func (c *leanConn) send(n int) error {
	switch n {
	case 1:
		return c.call(c.one)
	case 10:
		if err := c.call(c.ten); err != nil {
			return err
		}
		if bytes.Count(c.body, []byte(`"MessageId"`)) != 10 {
			return errNotAll
		}
		return nil
	}
	return fmt.Errorf("no request of %d messages is prepared", n)
}

func (c *leanConn) receive(wait int) (int, error) {
	body := fmt.Sprintf(`{"QueueUrl":"%s","MaxNumberOfMessages":10,"WaitTimeSeconds":%d}`, c.url, wait)
	if err := c.call(c.prepare("ReceiveMessage", body)); err != nil {
		return 0, err
	}
	c.receipts = c.receipts[:0]
	const mark = `"ReceiptHandle":"`
	for rest := c.body; ; {
		i := bytes.Index(rest, []byte(mark))
		if i < 0 {
			return len(c.receipts), nil
		}
		rest = rest[i+len(mark):]
		c.receipts = append(c.receipts, string(rest[:bytes.IndexByte(rest, '"')]))
	}
}

func (c *leanConn) delete() error {
	var b strings.Builder
	for i, r := range c.receipts {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"Id":"%d","ReceiptHandle":"%s"}`, i, r)
	}
	if err := c.call(c.prepare("DeleteMessageBatch", fmt.Sprintf(`{"QueueUrl":"%s","Entries":[%s]}`, c.url, b.String()))); err != nil {
		return err
	}
	if bytes.Contains(c.body, []byte(`"Failed"`)) {
		return errNotAll
	}
	return nil
}

// call does one request and reads its answer, whose length must be told.
func (c *leanConn) call(request []byte) error {
	if _, err := c.tcp.Write(request); err != nil {
		return err
	}
	status, length := "", -1
	for {
		line, err := c.in.ReadSlice('\n')
		if err != nil {
			return err
		}
		switch {
		case status == "":
			status = string(line[9:12])
		case len(line) == 2:
			if length < 0 {
				return errors.New("an answer without a Content-Length")
			}
			if cap(c.body) < length {
				c.body = make([]byte, length)
			}
			c.body = c.body[:length]
			if _, err := io.ReadFull(c.in, c.body); err != nil {
				return err
			}
			if status != "200" {
				return fmt.Errorf("status %s: %s", status, c.body)
			}
			return nil
		case len(line) > 16 && string(line[:16]) == "Content-Length: ":
			if length, err = strconv.Atoi(string(line[16 : len(line)-2])); err != nil {
				return err
			}
		}
	}
}

func (c *leanConn) close() { c.tcp.Close() }
