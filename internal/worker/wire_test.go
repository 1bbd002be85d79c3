package worker

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"
)

// script is a server that says what a test wrote, connection by connection.
func script(t *testing.T, say func(n int, c net.Conn, in *bufio.Reader)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for n := 0; ; n++ {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer c.Close()
				say(n, c, bufio.NewReader(c))
			})
		}
	})
	t.Cleanup(func() { l.Close(); wg.Wait() })
	return l.Addr().String()
}

// hear reads one request.
func hear(in *bufio.Reader) (string, error) {
	req, err := http.ReadRequest(in)
	if err != nil {
		return "", err
	}
	body, err := io.ReadAll(req.Body)
	return string(body), err
}

func roundTrip(ctx context.Context, t *testing.T, w *wire, body string) (string, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+w.address+"/x", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := w.RoundTrip(req)
	if err != nil {
		return "", err
	}
	text, err := io.ReadAll(resp.Body)
	return fmt.Sprint(resp.StatusCode, " ", string(text)), errors.Join(err, resp.Body.Close())
}

func TestWireUsesAConnectionAgain(t *testing.T) {
	for answer, again := range map[string]bool{
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok":                                                 true,
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n":                      true,
		"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok":      true,
		"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok":                            false,
		"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok":                                                 false,
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil": false,
	} {
		var mu sync.Mutex
		connections := 0
		w := newWire(script(t, func(_ int, c net.Conn, in *bufio.Reader) {
			mu.Lock()
			connections++
			mu.Unlock()
			for {
				if _, err := hear(in); err != nil {
					return
				}
				if _, err := io.WriteString(c, answer); err != nil {
					return
				}
				if strings.Contains(answer, "close") || strings.Contains(answer, "HTTP/1.0") {
					return
				}
			}
		}))
		for range 3 {
			if got, err := roundTrip(t.Context(), t, w, "b"); got != "200 ok" || err != nil {
				t.Errorf("%q: %q, %v", answer, got, err)
			}
		}
		mu.Lock()
		if want := map[bool]int{true: 1, false: 3}[again]; connections != want {
			t.Errorf("%q: %d connections, want %d", answer, connections, want)
		}
		mu.Unlock()
		w.CloseIdleConnections()
	}
}

func TestWireSeesThatTheServerHasClosed(t *testing.T) {
	closed := make(chan struct{}, 10)
	w := newWire(script(t, func(_ int, c net.Conn, in *bufio.Reader) {
		if _, err := hear(in); err == nil {
			io.WriteString(c, "HTTP/1.1 204 No Content\r\n\r\n") // and closes, though it did not say so
		}
		c.Close()
		closed <- struct{}{}
	}))
	for range 5 {
		if got, err := roundTrip(t.Context(), t, w, "b"); got != "204 " || err != nil {
			t.Fatalf("%q, %v", got, err)
		}
		<-closed
	}
}

func TestWireHearsTheLastWordOfAServerThatReadsNoMore(t *testing.T) {
	w := newWire(script(t, func(_ int, c net.Conn, in *bufio.Reader) {
		in.ReadString('\n')
		io.WriteString(c, "HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nbig")
		c.(*net.TCPConn).CloseWrite()
		io.CopyN(io.Discard, in, 64<<10)
	}))
	// What was sent may reset the connection before the answer is read: both are failures, none hangs.
	if got, err := roundTrip(t.Context(), t, w, strings.Repeat("x", 8<<20)); err == nil && got != "413 big" {
		t.Errorf("%q", got)
	}
}

func TestWireSaysWhatWentWrong(t *testing.T) {
	for answer, want := range map[string]string{
		"":                         "closed the connection without an answer",
		"HTTP/1.1 200 OK\r\nConte": "malformed MIME header",
		"garbage\r\n\r\n":          "malformed HTTP",
		"HTTP/1.1 101 Ok\r\n\r\n":  "another protocol",
		"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok": "unexpected EOF",
	} {
		w := newWire(script(t, func(_ int, c net.Conn, in *bufio.Reader) {
			hear(in)
			io.WriteString(c, answer)
		}))
		if got, err := roundTrip(t.Context(), t, w, "b"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %q, %v, want %q", answer, got, err, want)
		}
	}
}

func TestWireIsCutShort(t *testing.T) {
	heard := make(chan struct{}, 2)
	w := newWire(script(t, func(n int, c net.Conn, in *bufio.Reader) {
		hear(in)
		if n == 1 {
			io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok")
		}
		heard <- struct{}{}
		hear(in)
	}))
	for range 2 {
		ctx, cancel := context.WithCancel(t.Context())
		go func() { <-heard; cancel() }()
		start := time.Now()
		if _, err := roundTrip(ctx, t, w, "b"); err == nil || time.Since(start) > 5*time.Second {
			t.Errorf("%v after %v", err, time.Since(start))
		}
	}
}

func TestWireIsForPlainHTTPAlone(t *testing.T) {
	for raw, want := range map[string]bool{"http://127.0.0.1:1/": true, "https://127.0.0.1:1/": false} {
		u, err := url.Parse(raw)
		if err != nil {
			t.Fatal(err)
		}
		tr, err := newTransport(u, 1)
		if err != nil {
			t.Fatal(err)
		}
		if _, is := tr.(*wire); is != want {
			t.Errorf("%s: %T", raw, tr)
		}
	}
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusConflict) }))
	defer s.Close()
	h := newTestHTTP(t, s.URL, nil)
	h.transport = s.Client().Transport.(*http.Transport)
	running(t, h)
	if r := h.Handle(t.Context(), task(t, queueMessage)); r.Kind != Rejected {
		t.Errorf("over TLS: %+v", r)
	}
}

func TestWireUnderLoad(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Write(body)
	}))
	defer s.Close()
	w := newWire(s.Listener.Addr().String())
	var wg sync.WaitGroup
	for i := range 32 {
		wg.Go(func() {
			for j := range 50 {
				body := strings.Repeat(fmt.Sprintf("%d-%d ", i, j), 1+j*20)
				if got, err := roundTrip(t.Context(), t, w, body); got != "200 "+body || err != nil {
					t.Errorf("%.40q, %v, want %.40q", got, err, body)
				}
			}
		})
	}
	wg.Wait()
	w.CloseIdleConnections()
}
