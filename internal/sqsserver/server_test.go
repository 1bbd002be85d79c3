package sqsserver

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/queuemill/queuemill/internal/queue/embedded"
	"github.com/queuemill/queuemill/internal/store"
)

// newBroker opens a broker on a directory of the test's own.
func newBroker(t testing.TB, o embedded.Options) *embedded.Broker {
	t.Helper()
	db, err := store.Open(t.TempDir(), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	b, err := embedded.Open(db, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(b.Close(), db.Close()); err != nil {
			t.Error(err)
		}
	})
	return b
}

// startServer serves on a port of loopback until the test ends and returns its
// address; stop ends it earlier and waits.
func startServer(t testing.TB, s *Server) (addr string, stop func()) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- s.Serve(ctx, ln) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-served; err != nil {
			t.Errorf("Serve: %v", err)
		}
	}
	t.Cleanup(stop)
	return ln.Addr().String(), stop
}

// testHost is the host of requests that are made without a connection.
const testHost = "127.0.0.1:9324"

// do answers one request without a connection.
func do(s *Server, r *http.Request) *httptest.ResponseRecorder {
	r.Host = testHost
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w
}

// jsonCall is a request of the JSON protocol.
func jsonCall(action, body string) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body))
	r.Header.Set("X-Amz-Target", "AmazonSQS."+action)
	r.Header.Set("Content-Type", "application/x-amz-json-1.0")
	return r
}

// queryCall is a request of the Query protocol; form is percent-encoded.
func queryCall(path, form string) *http.Request {
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(form))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return r
}
