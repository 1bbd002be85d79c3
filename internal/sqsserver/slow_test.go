package sqsserver

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/queuemill/queuemill/internal/queue/embedded"
)

// pipeListener is a listener in memory, so that a test can have its own clock.
type pipeListener struct {
	conns chan net.Conn
	done  chan struct{}
}

func newPipeListener() *pipeListener {
	return &pipeListener{conns: make(chan net.Conn), done: make(chan struct{})}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error {
	close(l.done)
	return nil
}

func (l *pipeListener) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)} }

func (l *pipeListener) dial() net.Conn {
	client, server := net.Pipe()
	l.conns <- server
	return client
}

// inPipe runs f against a server behind a listener in memory, in fake time.
func inPipe(t *testing.T, f func(t *testing.T, l *pipeListener)) {
	broker := newBroker(t, embedded.Options{})
	synctest.Test(t, func(t *testing.T) {
		l := newPipeListener()
		ctx, cancel := context.WithCancel(t.Context())
		served := make(chan error, 1)
		go func() { served <- New(broker, Options{}).Serve(ctx, l) }()
		f(t, l)
		cancel()
		if err := <-served; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
}

// drip writes s one byte a second until it can't, and reports how long it took.
func drip(c net.Conn, s string) chan time.Duration {
	ended := make(chan time.Duration, 1)
	begin := time.Now()
	go func() {
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for i := range len(s) {
			if _, err := c.Write([]byte{s[i]}); err != nil {
				break
			}
			<-tick.C
		}
		ended <- time.Since(begin)
	}()
	return ended
}

func TestAByteASecondEnds(t *testing.T) {
	const slow = "x=" // and a million more
	for _, c := range []struct {
		name, head, drip string
		status           int // 0: any, or none
		within           time.Duration
	}{
		{"headers", "", "POST / HTTP/1.1\r\nHost: localhost\r\nX-Slow: 1\r\n", 0, headerTimeout + time.Second},
		{"body", "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n", slow, http.StatusRequestTimeout, bodyTimeout + time.Second},
		{"chunked body", "POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n", "3e8\r\n" + slow, http.StatusRequestTimeout, bodyTimeout + time.Second},
		{"body of a refused request", "POST / HTTP/1.1\r\nHost: localhost\r\nOrigin: http://evil.test\r\nContent-Length: 100000\r\n\r\n", slow, http.StatusForbidden, bodyTimeout + time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			inPipe(t, func(t *testing.T, l *pipeListener) {
				conn := l.dial()
				if _, err := io.WriteString(conn, c.head); err != nil {
					t.Fatal(err)
				}
				ended := drip(conn, c.drip+strings.Repeat("y", 1000))
				r, err := http.ReadResponse(bufio.NewReader(conn), nil)
				switch {
				case c.status == 0:
				case c.status != 0 && err != nil:
					t.Errorf("no answer: %v", err)
				case c.status != 0 && r.StatusCode != c.status:
					t.Errorf("answer %s, want %d", r.Status, c.status)
				}
				if _, err := io.Copy(io.Discard, conn); err != nil && !errors.Is(err, io.ErrClosedPipe) {
					t.Logf("connection: %v", err)
				}
				if took := <-ended; took > c.within {
					t.Errorf("the client held its connection for %v, want at most %v", took, c.within)
				}
			})
		})
	}
}

func TestSilentConnectionsEnd(t *testing.T) {
	inPipe(t, func(t *testing.T, l *pipeListener) {
		begin := time.Now()
		if n, err := l.dial().Read(make([]byte, 1)); err == nil {
			t.Errorf("read %d bytes", n)
		}
		if took := time.Since(begin); took != headerTimeout {
			t.Errorf("a connection that says nothing was held for %v, want %v", took, headerTimeout)
		}
	})
	inPipe(t, func(t *testing.T, l *pipeListener) {
		conn := l.dial()
		in := bufio.NewReader(conn)
		begin := time.Now()
		if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		r, err := http.ReadResponse(in, nil)
		if err != nil || r.StatusCode != http.StatusNotFound {
			t.Fatalf("answer %v, %v", r, err)
		}
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			t.Fatal(err)
		}
		if _, err := in.ReadByte(); err == nil {
			t.Error("more than one answer")
		}
		if took := time.Since(begin); took != idleTimeout {
			t.Errorf("an idle connection was held for %v, want %v", took, idleTimeout)
		}
	})
}

func TestAnswerThatNobodyReadsEnds(t *testing.T) {
	inPipe(t, func(t *testing.T, l *pipeListener) {
		conn := l.dial()
		if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		begin := time.Now()
		// Nothing is read. The server gives up, and what is written then fails.
		for {
			if _, err := conn.Write([]byte("\r\n")); err != nil {
				break
			}
		}
		if took := time.Since(begin); took > answerTimeout {
			t.Errorf("held for %v, want at most %v", took, answerTimeout)
		}
	})
}
