package worker

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/queuemill/queuemill/internal/message"
	"github.com/queuemill/queuemill/internal/worker/flags"
)

const (
	// idleLimit is below what servers keep an idle connection for (gunicorn 2 s,
	// Node.js 5 s): no message goes into one that is just being closed.
	idleLimit = time.Second

	maxHeader = 8 << 10 // bytes of an attribute as a header: what servers take as a rule
	maxAnswer = 1 << 10 // bytes of an answer that are its reason
	maxDrain  = 1 << 20 // bytes of an answer that are read so that its connection is kept
)

// HTTP posts each message to a server, with the headers of AWS Elastic Beanstalk's
// worker daemon (developer guide, "Worker environments": X-Aws-Sqsd-*) and
// Queuemill's own.
type HTTP struct {
	transport
	url    string
	queue  string
	server *server // the COMMAND; nil: somebody else's
	gate   *gate
	log    *slog.Logger
}

var _ Handler = (*HTTP)(nil)

// NewHTTP posts to f.HTTP the messages of the queue of that name. A command of f
// is the server: it is started by Run, which is to be called then.
func NewHTTP(f *flags.Flags, queueName string, log *slog.Logger) (*HTTP, error) {
	u, err := url.Parse(f.HTTP)
	if err != nil {
		return nil, fmt.Errorf("--http: %w", err)
	}
	h := &HTTP{url: f.HTTP, queue: queueName, log: log, gate: newGate(addressOf(u))}
	if h.transport, err = newTransport(u, f.Concurrency); err != nil {
		return nil, err
	}
	if len(f.Command) > 0 {
		if h.server, err = newServer(f, h.gate, log); err != nil {
			return nil, err
		}
	}
	return h, nil
}

// transport is an http.RoundTripper with connections that end with it.
type transport interface {
	http.RoundTripper
	CloseIdleConnections()
}

func newTransport(u *url.URL, connections int) (transport, error) {
	proxy, err := http.ProxyFromEnvironment(&http.Request{URL: u})
	if err != nil {
		return nil, fmt.Errorf("--http: %w", err)
	}
	if u.Scheme == "http" && proxy == nil {
		return newWire(addressOf(u)), nil
	}
	return &http.Transport{
		Proxy:               http.ProxyURL(proxy),
		DialContext:         (&net.Dialer{Timeout: 10 * time.Second}).DialContext,
		TLSHandshakeTimeout: 10 * time.Second,
		MaxIdleConnsPerHost: connections,
		IdleConnTimeout:     idleLimit,
		DisableCompression:  true,
	}, nil
}

// addressOf is HOST:PORT of a URL.
func addressOf(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return net.JoinHostPort(u.Hostname(), port)
}

// Run is Handler's: it keeps the server, and waits for it when it does not
// accept.
func (h *HTTP) Run(ctx context.Context, changed func()) error {
	defer h.CloseIdleConnections()
	watching, stop := context.WithCancel(ctx)
	defer stop()
	watched := make(chan struct{})
	go func() { defer close(watched); h.gate.watch(watching, changed) }()
	defer func() { stop(); <-watched }()
	if h.server != nil {
		return h.server.run(ctx, changed)
	}
	<-ctx.Done()
	return nil
}

// Ready is Handler's.
func (h *HTTP) Ready() error {
	if h.server != nil {
		if err := h.server.ready(); err != nil {
			return err
		}
	}
	return h.gate.ready()
}

// Handle is Handler's.
func (h *HTTP) Handle(ctx context.Context, t *Task) Result {
	start := time.Now()
	for {
		if err := h.gate.wait(ctx); err != nil {
			return h.cut(ctx, start)
		}
		if t.Over != nil && t.Over() { // while it waited for the server
			return Result{Kind: NotNow, Reason: "its visibility timeout was over before the server was there"}
		}
		resp, err := h.post(ctx, t)
		switch {
		case err == nil:
			return answered(resp)
		case ctx.Err() != nil:
			return h.cut(ctx, start)
		case notSent(err): // nobody has seen it: it waits for the server
			h.gate.close(err)
		default:
			return Result{Kind: Failed, Reason: err.Error()}
		}
	}
}

// cut ends work that ctx ended. Where the server is ours, it has ended before an
// interrupted message is given back: nobody works on it then.
func (h *HTTP) cut(ctx context.Context, start time.Time) Result {
	r := cut(ctx, time.Since(start))
	if r.Kind == Interrupted && h.server != nil {
		h.server.end(hardGrace)
	}
	return r
}

// notSent tells whether an error is from before the connection was there.
func notSent(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial"
}

func (h *HTTP) post(ctx context.Context, t *Task) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, h.url, strings.NewReader(t.Item.Payload))
	if err != nil {
		return nil, err
	}
	h.headers(req.Header, t)
	return h.RoundTrip(req)
}

// headers are the message's. The daemon's names are in its own spelling.
func (h *HTTP) headers(to http.Header, t *Task) {
	m := t.Message
	attempt := strconv.Itoa(m.ReceiveCount)
	to["User-Agent"] = []string{"queuemill"}
	to["Content-Type"] = []string{contentType(t.Item.Payload)}
	to["X-Aws-Sqsd-Msgid"] = []string{m.ID}
	to["X-Aws-Sqsd-Queue"] = []string{h.queue}
	to["X-Aws-Sqsd-Receive-Count"] = []string{attempt}
	if !m.FirstReceivedAt.IsZero() {
		to["X-Aws-Sqsd-First-Received-At"] = []string{m.FirstReceivedAt.UTC().Format("2006-01-02T15:04:05Z")}
	}
	to["Queuemill-Message-Id"] = []string{m.ID}
	to["Queuemill-Queue"] = []string{h.queue}
	to["Queuemill-Attempt"] = []string{attempt}
	to["Queuemill-Idempotency-Key"] = []string{t.Item.IdempotencyKey}
	if len(t.Item.Attributes) > 0 {
		attributeHeaders(to, t.Item.Attributes)
	}
}

// attributeHeaders adds each attribute that a header can hold under both names;
// binary and very long ones are left out, and those whose names are the same as
// headers.
func attributeHeaders(to http.Header, attributes map[string]message.Attribute) {
	same := make(map[string]int, len(attributes))
	for name := range attributes {
		same[http.CanonicalHeaderKey(name)]++
	}
	for name, a := range attributes {
		usable := same[http.CanonicalHeaderKey(name)] == 1 && !strings.HasPrefix(a.DataType, "Binary") &&
			len(a.StringValue) <= maxHeader && !strings.ContainsFunc(a.StringValue, unfit)
		if usable {
			to.Set("X-Aws-Sqsd-Attr-"+name, a.StringValue)
			to.Set("Queuemill-Attr-"+name, a.StringValue)
		}
	}
}

// unfit are the characters that no header can hold (RFC 9110, 5.5). The names
// that a queue allows are all names of headers.
func unfit(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }

// contentType is the daemon's default for what is JSON.
func contentType(body string) string {
	if len(body) > 0 && strings.IndexByte(`{["tfn-0123456789 `+"\t\r\n", body[0]) >= 0 && json.Valid([]byte(body)) {
		return "application/json"
	}
	return "text/plain; charset=utf-8"
}

// answered is what the server's answer says.
func answered(resp *http.Response) Result {
	text, _ := io.ReadAll(io.LimitReader(resp.Body, maxAnswer)) // what came says enough
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, maxDrain))
	_ = resp.Body.Close()
	if resp.StatusCode >= 200 && resp.StatusCode <= 299 {
		return Result{Kind: Done}
	}
	said := "HTTP " + strconv.Itoa(resp.StatusCode)
	if line := string(bytes.TrimSpace(text)); line != "" {
		said += ": " + strings.ToValidUTF8(line, "?")
	}
	switch resp.StatusCode {
	case http.StatusBadRequest, http.StatusConflict, http.StatusUnprocessableEntity:
		return Result{Kind: Rejected, Reason: said}
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		delay := retryAfter(resp.Header.Get("Retry-After"), time.Now())
		return Result{Kind: NotNow, Reason: said, Delay: delay}
	}
	return Result{Kind: Failed, Reason: said}
}

// retryAfter reads a Retry-After: seconds, or a date; 0 when it is neither.
func retryAfter(s string, now time.Time) time.Duration {
	if at, err := http.ParseTime(s); err == nil {
		return max(min(at.Sub(now), maxNotNow), time.Second)
	}
	delay, _ := parseDelay(s)
	return delay
}
