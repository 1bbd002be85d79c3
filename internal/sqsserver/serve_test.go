package sqsserver

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/queuemill/queuemill/internal/queue/embedded"
)

func TestServeRefusesToListenToAllWithoutCredentials(t *testing.T) {
	broker := newBroker(t, embedded.Options{})
	listen := func() net.Listener {
		ln, err := net.Listen("tcp", "0.0.0.0:0")
		if err != nil {
			t.Fatal(err)
		}
		return ln
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	ln := listen()
	err := New(broker, Options{}).Serve(ctx, ln)
	if err == nil || !strings.Contains(err.Error(), "not a loopback address") {
		t.Errorf("Serve: %v", err)
	}
	if _, err := ln.Accept(); err == nil {
		t.Error("the listener is still open")
	}
	if err := New(broker, Options{Credentials: []Credential{{AccessKeyID: "a", SecretAccessKey: "b"}}}).Serve(ctx, listen()); err != nil {
		t.Errorf("with credentials: %v", err)
	}
}

// rawTalk writes text on a connection of its own and returns all that comes back.
func rawTalk(t *testing.T, addr, text string) string {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(conn)
	if err != nil && (len(b) == 0 || !errors.Is(err, syscall.ECONNRESET)) { // reset: it did not read all of text
		t.Fatalf("after %q: %v", b, err)
	}
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestRawHTTP(t *testing.T) {
	addr, _ := startServer(t, New(newBroker(t, embedded.Options{}), Options{}))
	const end = "Host: localhost\r\nConnection: close\r\n"
	for _, c := range []struct{ name, in, status, want string }{
		{"garbage", "garbage\r\n\r\n", "HTTP/1.1 400", ""},
		{"no host", "GET / HTTP/1.1\r\n\r\n", "HTTP/1.1 400", ""},
		{"HTTP/1.0", "GET /?Action=ListQueues HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n", "HTTP/1.0 200", "ListQueuesResponse"},
		{"no action", "GET / HTTP/1.1\r\n" + end + "\r\n", "HTTP/1.1 404", "<UnknownOperationException/>"},
		{"no action by POST", "POST / HTTP/1.1\r\nContent-Length: 0\r\n" + end + "\r\n", "HTTP/1.1 404", "<UnknownOperationException/>"},
		{"PUT", "PUT / HTTP/1.1\r\nContent-Length: 1\r\n" + end + "\r\nx", "HTTP/1.1 405", "MethodNotAllowed"},
		{"JSON by GET", "GET / HTTP/1.1\r\nX-Amz-Target: AmazonSQS.ListQueues\r\n" + end + "\r\n", "HTTP/1.1 405", "MethodNotAllowedException"},
		{"another service", "POST / HTTP/1.1\r\nX-Amz-Target: DynamoDB_20120810.ListTables\r\nContent-Length: 0\r\n" + end + "\r\n", "HTTP/1.1 404", "UnknownOperationException"},
		{"unknown path", "GET /a/b/c?Action=ListQueues HTTP/1.1\r\n" + end + "\r\n", "HTTP/1.1 404", "<Code>InvalidAddress</Code>"},
		{"path that is no text", "POST /%ff HTTP/1.1\r\nX-Amz-Target: AmazonSQS.ListQueues\r\nContent-Length: 2\r\n" + end + "\r\n{}", "HTTP/1.1 404", "The address /\uFFFD is not valid for this endpoint."},
		{"chunked", "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n" + end + "\r\n7\r\nAction=\r\nA\r\nListQueues\r\n0\r\n\r\n", "HTTP/1.1 200", "ListQueuesResponse"},
		{"huge length", "POST / HTTP/1.1\r\nContent-Length: 1099511627776\r\n" + end + "\r\n", "HTTP/1.1 413", "RequestEntityTooLarge"},
		{"length that fits no integer", "POST / HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n" + end + "\r\n", "HTTP/1.1 400", ""},
		{"huge headers", "POST / HTTP/1.1\r\nX-Large: " + strings.Repeat("x", 2*maxHeaderBytes) + "\r\n" + end + "\r\n", "HTTP/1.1 431", ""},
		{"two at once", "GET /?Action=ListQueues HTTP/1.1\r\nHost: localhost\r\n\r\nGET /?Action=Foo HTTP/1.1\r\n" + end + "\r\n", "HTTP/1.1 200", "<Code>InvalidAction</Code>"},
	} {
		got := rawTalk(t, addr, c.in)
		if !strings.HasPrefix(got, c.status) || !strings.Contains(got, c.want) {
			t.Errorf("%s: answer %q, want %s with %q", c.name, got, c.status, c.want)
		}
	}
}

func TestRequestWithHalfABody(t *testing.T) {
	addr, _ := startServer(t, New(newBroker(t, embedded.Options{}), Options{}))
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nAction"); err != nil {
		t.Fatal(err)
	}
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(conn)
	if err != nil || !bytes.Contains(b, []byte("<Code>MalformedQueryString</Code>")) {
		t.Errorf("answer %q, %v", b, err)
	}
}

// escaped is a batch of n bytes of text in all, each written as \u0009 in JSON
// or percent-encoded in Query.
func escaped(n int, unit string, frame func(body string) string) string {
	return frame(strings.Repeat(unit, n))
}

func TestTheLargestBatchFitsHoweverItIsWritten(t *testing.T) {
	s := New(newBroker(t, embedded.Options{}), Options{})
	if w := do(s, jsonCall("CreateQueue", `{"QueueName":"q"}`)); w.Code != http.StatusOK {
		t.Fatal(w.Body)
	}
	jsonFrame := func(body string) string {
		return `{"QueueUrl":"http://h/000000000000/q","Entries":[{"Id":"a","MessageBody":"` + body + `"}]}`
	}
	queryFrame := func(body string) string {
		return "Action=SendMessageBatch&SendMessageBatchRequestEntry.1.Id=a&SendMessageBatchRequestEntry.1.MessageBody=" + body
	}
	for _, c := range []struct {
		name    string
		request *http.Request
		status  int
		want    string
	}{
		{"JSON", jsonCall("SendMessageBatch", escaped(maxBatchBytes, `\u0009`, jsonFrame)), 200, "MD5OfMessageBody"},
		{"Query", queryCall("/000000000000/q", escaped(maxBatchBytes, "%09", queryFrame)), 200, "MD5OfMessageBody"},
		{"one byte more", jsonCall("SendMessageBatch", escaped(maxBatchBytes+1, `\u0009`, jsonFrame)), 400, "You have sent 1048577 bytes."},
		{"over the body limit", jsonCall("SendMessageBatch", escaped(maxBody, "x", jsonFrame)), 413, "RequestEntityTooLarge"},
	} {
		w := do(s, c.request)
		if w.Code != c.status || !strings.Contains(w.Body.String(), c.want) {
			t.Errorf("%s: %d %.300s", c.name, w.Code, w.Body)
		}
	}
	// Nobody said how long it is.
	r := jsonCall("SendMessageBatch", escaped(maxBody, "x", jsonFrame))
	r.ContentLength = -1
	if w := do(s, r); w.Code != http.StatusRequestEntityTooLarge || w.Header().Get("Connection") != "close" {
		t.Errorf("chunked: %d, Connection: %s", w.Code, w.Header().Get("Connection"))
	}
}

func TestMemoryForLargeBodiesIsBounded(t *testing.T) {
	s := New(newBroker(t, embedded.Options{}), Options{})
	large := strings.Repeat(" ", 2*smallBody) + "{}"
	if err := s.memory.Acquire(t.Context(), largeBodies); err != nil {
		t.Fatal(err)
	}
	if w := do(s, jsonCall("ListQueues", large)); w.Code != http.StatusServiceUnavailable {
		t.Errorf("a large body beyond the bound: %d %s", w.Code, w.Body)
	}
	if w := do(s, jsonCall("ListQueues", "{}")); w.Code != http.StatusOK {
		t.Errorf("a small one: %d %s", w.Code, w.Body)
	}
	s.memory.Release(largeBodies)
	if w := do(s, jsonCall("ListQueues", large)); w.Code != http.StatusOK {
		t.Errorf("a large one when there is room: %d %s", w.Code, w.Body)
	}
	// What is claimed is not taken: only what arrived is.
	r := jsonCall("ListQueues", "")
	r.ContentLength = maxBody - 1
	r.Body = io.NopCloser(io.MultiReader(strings.NewReader(large), readerFunc(func([]byte) (int, error) {
		if !s.memory.TryAcquire(largeBodies - 8*smallBody) {
			t.Error("memory was taken for bytes that did not come")
		} else {
			s.memory.Release(largeBodies - 8*smallBody)
		}
		return 0, io.ErrUnexpectedEOF
	})))
	if w := do(s, r); w.Code != http.StatusNotFound { // MalformedQueryString
		t.Errorf("half a body: %d %s", w.Code, w.Body)
	}
	if !s.memory.TryAcquire(largeBodies) {
		t.Error("memory was not given back")
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func TestConnectionsOverTheLimitAreRefused(t *testing.T) {
	addr, _ := startServer(t, New(newBroker(t, embedded.Options{}), Options{MaxConnections: 2}))
	open := func() (net.Conn, *bufio.Reader) {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		return c, bufio.NewReader(c)
	}
	ask := func(c net.Conn, in *bufio.Reader) int {
		if _, err := io.WriteString(c, "GET /?Action=ListQueues HTTP/1.1\r\nHost: localhost\r\n\r\n"); err != nil {
			return 0
		}
		r, err := http.ReadResponse(in, nil)
		if err != nil {
			return 0
		}
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			return 0
		}
		return r.StatusCode
	}
	first, in := open()
	second, in2 := open()
	if a, b := ask(first, in), ask(second, in2); a != 200 || b != 200 {
		t.Fatalf("within the limit: %d, %d", a, b)
	}
	third, in3 := open()
	r, err := http.ReadResponse(in3, nil)
	if err != nil || r.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("over the limit: %v, %v", r, err)
	}
	if err := third.Close(); err != nil {
		t.Error(err)
	}
	if err := first.Close(); err != nil {
		t.Error(err)
	}
	for { // until the server has seen it
		c, in := open()
		if ask(c, in) == 200 {
			break
		}
	}
	if got := ask(second, in2); got != 200 {
		t.Errorf("an old connection after all this: %d", got)
	}
}

// Ten thousand clients that hold a connection and do nothing cost little, and
// another one is served beside them.
func TestIdleConnectionsAreCheap(t *testing.T) {
	n := min(10_000, (openFiles()-1000)/2)
	addr, stop := startServer(t, New(newBroker(t, embedded.Options{}), Options{}))
	used := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapInuse + m.StackInuse
	}
	before := used()
	conns := make([]net.Conn, n)
	request := []byte("GET /?Action=ListQueues HTTP/1.1\r\nHost: localhost\r\n\r\n")
	buf := make([]byte, 4<<10)
	for i := range conns {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatalf("connection %d: %v", i, err)
		}
		if _, err := c.Write(request); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Read(buf); err != nil {
			t.Fatal(err)
		}
		conns[i] = c
	}
	each := int64(used()-before) / int64(n)
	t.Logf("%d connections, %d bytes each", n, each)
	if each > 40<<10 {
		t.Errorf("an idle connection takes %d bytes, want at most 40 KiB", each)
	}
	if got := rawTalk(t, addr, "GET /?Action=ListQueues HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"); !strings.HasPrefix(got, "HTTP/1.1 200") {
		t.Errorf("another client beside them: %q", got)
	}
	stop() // does not wait for them
	for _, c := range conns {
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// watched is a server that tells when a request came in and when it was done.
func watched(t *testing.T, s *Server) (addr string, came, done chan struct{}) {
	came, done = make(chan struct{}, 10), make(chan struct{}, 10)
	hs := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		came <- struct{}{}
		s.ServeHTTP(w, r)
		done <- struct{}{}
	}))
	t.Cleanup(hs.Close)
	return strings.TrimPrefix(hs.URL, "http://"), came, done
}

func TestReceiveOfAClientThatLeftSwallowsNothing(t *testing.T) {
	broker := newBroker(t, embedded.Options{})
	q, err := broker.CreateQueue("us-east-1", "q", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	addr, came, done := watched(t, New(broker, Options{}))
	for range 20 {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := fmt.Fprintf(c, "GET /000000000000/q?Action=ReceiveMessage&WaitTimeSeconds=20 HTTP/1.1\r\nHost: localhost\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		<-came
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		select {
		case <-done:
		case <-time.After(10 * time.Second):
			t.Fatal("the receive went on without its client")
		}
	}
	if r := q.Send(t.Context(), []embedded.SendEntry{{Body: "here"}})[0]; r.Err != nil {
		t.Fatal(r.Err)
	}
	got := rawTalk(t, addr, "GET /000000000000/q?Action=ReceiveMessage&AttributeName=All HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
	if !strings.Contains(got, "<Body>here</Body>") || !strings.Contains(got, "<Name>ApproximateReceiveCount</Name><Value>1</Value>") {
		t.Errorf("the next receive got %q", got)
	}
}

func TestLongPollEndsWithAnAnswerWhenTheServerStops(t *testing.T) {
	broker := newBroker(t, embedded.Options{})
	if _, err := broker.CreateQueue("us-east-1", "q", nil, nil); err != nil {
		t.Fatal(err)
	}
	s := New(broker, Options{})
	addr, stop := startServer(t, s)
	got := make(chan string, 1)
	go func() {
		got <- rawTalk(t, addr, "GET /000000000000/q?Action=ReceiveMessage&WaitTimeSeconds=20 HTTP/1.1\r\nHost: localhost\r\n\r\n")
	}()
	for testutil.ToFloat64(s.metrics.inFlight) == 0 {
		runtime.Gosched()
	}
	begin := time.Now()
	stop()
	if took := time.Since(begin); took > drainTimeout/2 {
		t.Errorf("stopping took %v", took)
	}
	if a := <-got; !strings.HasPrefix(a, "HTTP/1.1 200") || !strings.Contains(a, "<ReceiveMessageResult></ReceiveMessageResult>") {
		t.Errorf("answer %q", a)
	}
}

func TestPanicIsAnsweredAsInternalFailure(t *testing.T) {
	s := New(nil, Options{}) // no broker: every action panics
	w := do(s, jsonCall("ListQueues", "{}"))
	if w.Code != http.StatusInternalServerError || !strings.Contains(w.Body.String(), "InternalFailure") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if got := w.Header().Get("X-Amzn-Query-Error"); got != "InternalFailure;Receiver" {
		t.Errorf("x-amzn-query-error: %q", got)
	}
}
