package worker

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/queuemill/queuemill/internal/message"
	"github.com/queuemill/queuemill/internal/queue"
	"github.com/queuemill/queuemill/internal/worker/flags"
)

var silent = slog.New(slog.DiscardHandler)

// task is a message as the worker hands it over.
func task(t *testing.T, m queue.Message) *Task {
	t.Helper()
	f := flags.Defaults()
	r, err := message.NewWorkerReader("orders", "", &f.Message)
	if err != nil {
		t.Fatal(err)
	}
	return &Task{Message: &m, Item: &r.Read(message.Input{ID: m.ID, Body: m.Body, Attributes: m.Attributes})[0]}
}

// running runs a handler until the test ends and returns when it is ready.
func running(t *testing.T, h Handler) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	changed := newSignal()
	ended := make(chan error, 1)
	go func() { ended <- h.Run(ctx, changed.poke) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the handler's run: %v", err)
		}
	})
	late := time.After(10 * time.Second)
	for h.Ready() != nil {
		select {
		case <-changed:
		case <-late:
			t.Fatalf("not ready: %v", h.Ready())
		}
	}
}

func newTestHTTP(t *testing.T, url string, change func(*flags.Flags)) *HTTP {
	t.Helper()
	f := flags.Defaults()
	f.HTTP, f.TempDir = url, t.TempDir()
	if change != nil {
		change(&f)
	}
	h, err := NewHTTP(&f, "orders", silent)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

var queueMessage = queue.Message{ID: "m", Body: "b"}

func TestWhatAnAnswerSays(t *testing.T) {
	var status int
	var header http.Header
	var body string
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for k, v := range header {
			w.Header()[k] = v
		}
		w.WriteHeader(status)
		io.WriteString(w, body)
	}))
	defer s.Close()
	h := newTestHTTP(t, s.URL, nil)
	running(t, h)
	after := func(s string) http.Header { return http.Header{"Retry-After": {s}} }
	for _, tc := range []struct {
		status int
		header http.Header
		body   string
		want   Result
	}{
		{200, nil, "anything", Result{Kind: Done}},
		{204, nil, "", Result{Kind: Done}},
		{299, nil, "", Result{Kind: Done}},
		{400, nil, " no such customer\n", Result{Kind: Rejected, Reason: "HTTP 400: no such customer"}},
		{409, nil, "", Result{Kind: Rejected, Reason: "HTTP 409"}},
		{422, nil, strings.Repeat("x", 5000), Result{Kind: Rejected, Reason: "HTTP 422: " + strings.Repeat("x", maxAnswer)}},
		{429, after("120"), "", Result{Kind: NotNow, Reason: "HTTP 429", Delay: 2 * time.Minute}},
		{503, after("0"), "", Result{Kind: NotNow, Reason: "HTTP 503", Delay: time.Second}},
		{503, after("999999999"), "", Result{Kind: NotNow, Reason: "HTTP 503", Delay: 12 * time.Hour}},
		{503, after("soon"), "", Result{Kind: NotNow, Reason: "HTTP 503"}},
		{503, nil, "busy", Result{Kind: NotNow, Reason: "HTTP 503: busy"}},
		{301, http.Header{"Location": {"/elsewhere"}}, "", Result{Kind: Failed, Reason: "HTTP 301"}},
		{404, nil, "", Result{Kind: Failed, Reason: "HTTP 404"}},
		{413, nil, "", Result{Kind: Failed, Reason: "HTTP 413"}},
		{500, nil, "\xff", Result{Kind: Failed, Reason: "HTTP 500: ?"}},
	} {
		status, header, body = tc.status, tc.header, tc.body
		if diff := cmp.Diff(tc.want, h.Handle(t.Context(), task(t, queue.Message{ID: "m", Body: "b"}))); diff != "" {
			t.Errorf("%d %v: -want +got\n%s", tc.status, tc.header, diff)
		}
	}
	status, header = 503, after(time.Now().Add(time.Hour).UTC().Format(http.TimeFormat))
	if r := h.Handle(t.Context(), task(t, queue.Message{Body: "b"})); r.Delay < 59*time.Minute || r.Delay > time.Hour {
		t.Errorf("a date in an hour is a delay of %v", r.Delay)
	}
}

func TestWhatAServerIsTold(t *testing.T) {
	var got http.Header
	var body string
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		got = r.Header.Clone()
		data, _ := io.ReadAll(r.Body)
		body = r.Method + " " + r.URL.Path + " " + string(data)
	}))
	defer s.Close()
	h := newTestHTTP(t, s.URL+"/work", nil)
	running(t, h)
	text := func(s string) queue.Attribute { return queue.Attribute{DataType: "String", StringValue: s} }
	m := queue.Message{
		ID: "m-1", Body: `{"a": 1}`, ReceiveCount: 3, FirstReceivedAt: time.Date(2026, 1, 2, 3, 4, 5, 6e8, time.FixedZone("", 3600)),
		Attributes: map[string]queue.Attribute{
			"trace-id": text("t1"), "my_Attr.x": text("ünï"), "evil": text("a\r\nX-Other: b"), "long": text(strings.Repeat("x", maxHeader+1)),
			"twin": text("1"), "TWIN": text("2"), "binary": {DataType: "Binary", BinaryValue: []byte{1}}, "nul": text("a\x7f"),
		},
	}
	task := task(t, m)
	if r := h.Handle(t.Context(), task); r.Kind != Done {
		t.Fatal(r)
	}
	if body != `POST /work {"a": 1}` {
		t.Errorf("the server got %q", body)
	}
	for _, name := range []string{"Accept-Encoding", "Content-Length"} {
		got.Del(name)
	}
	want := http.Header{
		"User-Agent": {"queuemill"}, "Content-Type": {"application/json"},
		"X-Aws-Sqsd-Msgid": {"m-1"}, "X-Aws-Sqsd-Queue": {"orders"}, "X-Aws-Sqsd-Receive-Count": {"3"},
		"X-Aws-Sqsd-First-Received-At": {"2026-01-02T02:04:05Z"},
		"X-Aws-Sqsd-Attr-Trace-Id":     {"t1"}, "X-Aws-Sqsd-Attr-My_attr.x": {"ünï"},
		"Queuemill-Message-Id": {"m-1"}, "Queuemill-Queue": {"orders"}, "Queuemill-Attempt": {"3"},
		"Queuemill-Idempotency-Key": {task.Item.IdempotencyKey},
		"Queuemill-Attr-Trace-Id":   {"t1"}, "Queuemill-Attr-My_attr.x": {"ünï"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

func TestContentType(t *testing.T) {
	for body, want := range map[string]string{
		`{"a":1}`: "application/json", ` [1]`: "application/json", `"x"`: "application/json", `12`: "application/json", `null`: "application/json",
		`hello`: "text/plain; charset=utf-8", `{"a":`: "text/plain; charset=utf-8", ``: "text/plain; charset=utf-8", `truth`: "text/plain; charset=utf-8",
	} {
		if got := contentType(body); got != want {
			t.Errorf("%q: %s, want %s", body, got, want)
		}
	}
}

func TestAServerThatIsAwayFailsNoMessage(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	address := s.Listener.Addr().String()
	h := newTestHTTP(t, s.URL, nil)
	running(t, h)
	if r := h.Handle(t.Context(), task(t, queue.Message{Body: "b"})); r.Kind != Done {
		t.Fatal(r)
	}
	s.Close()
	results := make(chan Result, 1)
	go func() { results <- h.Handle(t.Context(), task(t, queue.Message{Body: "b"})) }()
	for h.Ready() == nil {
		select {
		case r := <-results:
			t.Fatalf("%+v while nobody listens", r)
		case <-time.After(time.Millisecond):
		}
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	again := &http.Server{Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})}
	go again.Serve(l)
	defer again.Close()
	if r := <-results; r.Kind != Done {
		t.Errorf("when it is back: %+v", r)
	}
}

func TestWorkThatIsCutShort(t *testing.T) {
	began, release := make(chan struct{}, 2), make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		began <- struct{}{}
		select {
		case <-release:
		case <-r.Context().Done():
		}
	}))
	defer s.Close()
	defer close(release)
	h := newTestHTTP(t, s.URL, nil)
	running(t, h)
	for cause, want := range map[error]Kind{errTimeout: Failed, errHardStop: Interrupted} {
		ctx, cancel := context.WithCancelCause(t.Context())
		go func() { <-began; cancel(cause) }()
		if r := h.Handle(ctx, task(t, queue.Message{Body: "b"})); r.Kind != want {
			t.Errorf("%v: %+v", cause, r)
		}
	}
}

// serveAt is the server of the tests below: this very program, as a command.
const serveAt = "QUEUEMILL_TEST_SERVE"

func init() {
	address := os.Getenv(serveAt)
	if address == "" {
		return
	}
	var once sync.Once
	_ = http.ListenAndServe(address, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		data, _ := io.ReadAll(r.Body)
		if string(data) == "die" {
			once.Do(func() { os.Exit(1) })
		}
		if string(data) == "hang" {
			<-r.Context().Done()
		}
		_, _ = w.Write(data)
	}))
	os.Exit(2)
}

func TestACommandIsTheServerAndStartedAgain(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	command := func(f *flags.Flags) { f.Command = []string{os.Args[0]} }
	f := flags.Defaults()
	f.HTTP, f.TempDir = "http://"+address+"/", t.TempDir()
	command(&f)
	if _, err := NewHTTP(&f, "orders", silent); err == nil || !strings.Contains(err.Error(), "something listens") {
		t.Errorf("with somebody else at its address: %v", err)
	}
	l.Close()
	t.Setenv(serveAt, address)
	h := newTestHTTP(t, "http://"+address+"/", command)
	os.Unsetenv(serveAt) // the supervisor must not become the server
	running(t, h)
	post := func(body string) Result { return h.Handle(t.Context(), task(t, queue.Message{Body: body})) }
	if r := post("x"); r.Kind != Done {
		t.Error(r)
	}
	if r := post("die"); r.Kind != Failed {
		t.Errorf("a server that dies under a message: %+v", r)
	}
	r := post("x")
	for late := time.Now().Add(20 * time.Second); r.Kind != Done && time.Now().Before(late); {
		r = post("x") // one that is sent as it dies fails too
	}
	if r.Kind != Done {
		t.Errorf("after its restart: %+v", r)
	}
}

func TestAnInterruptedMessageOutlivesItsServer(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	t.Setenv(serveAt, address)
	h := newTestHTTP(t, "http://"+address+"/", func(f *flags.Flags) { f.Command = []string{os.Args[0]} })
	os.Unsetenv(serveAt)
	running(t, h)
	ctx, cancel := context.WithCancelCause(t.Context())
	results := make(chan Result, 1)
	go func() { results <- h.Handle(ctx, task(t, queue.Message{Body: "hang"})) }()
	time.AfterFunc(200*time.Millisecond, func() { cancel(errHardStop) })
	if r := <-results; r.Kind != Interrupted {
		t.Errorf("%+v", r)
	}
	var d net.Dialer
	if conn, err := d.DialContext(t.Context(), "tcp", address); err == nil {
		conn.Close()
		t.Error("the server still listens when the message is given back")
	} else if op := (*net.OpError)(nil); !errors.As(err, &op) {
		t.Error(err)
	}
}
