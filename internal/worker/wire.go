package worker

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// wire is an http.RoundTripper for HTTP/1.1 without TLS and proxies, as a rule to
// a server on this machine: one request at a time on a kept connection, written
// and read by the goroutine that asks. net/http's Transport has two goroutines
// for each connection; without them a message costs half as much.
type wire struct {
	address string
	dialer  net.Dialer

	mu     sync.Mutex
	idle   []*wireConn // the last one used last
	closed bool
}

// wireConn is one connection. What reads and writes it holds it.
type wireConn struct {
	net.Conn
	in   *bufio.Reader
	out  *bufio.Writer
	used time.Time
}

// lastWord is how long a server that reads no more may take to say why.
const lastWord = time.Second

func newWire(address string) *wire {
	return &wire{address: address, dialer: net.Dialer{Timeout: 10 * time.Second}}
}

// RoundTrip is http.RoundTripper's. The answer's body must be read and closed.
func (w *wire) RoundTrip(req *http.Request) (*http.Response, error) {
	ctx := req.Context()
	c, err := w.get(ctx)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) }) // fails what is under way
	resp, err := c.exchange(req)
	if err != nil {
		stop()
		_ = c.Close()
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return nil, err
	}
	resp.Body = &wireBody{ReadCloser: resp.Body, release: func(whole bool) {
		if !stop() || !whole || resp.Close {
			_ = c.Close()
			return
		}
		w.put(c)
	}}
	return resp, nil
}

// exchange writes a request and reads the head of its answer.
func (c *wireConn) exchange(req *http.Request) (*http.Response, error) {
	err := req.Write(c.out)
	if err == nil {
		err = c.out.Flush()
	}
	if err != nil { // it may have answered before it stopped reading
		_ = c.SetReadDeadline(time.Now().Add(lastWord))
	}
	for {
		resp, readErr := http.ReadResponse(c.in, req)
		switch {
		case readErr != nil && err != nil:
			return nil, err
		case errors.Is(readErr, io.EOF), errors.Is(readErr, io.ErrUnexpectedEOF):
			return nil, fmt.Errorf("the server closed the connection without an answer: %w", readErr)
		case readErr != nil:
			return nil, readErr
		case resp.StatusCode >= 200:
			resp.Close = resp.Close || err != nil
			return resp, nil
		case resp.StatusCode == http.StatusSwitchingProtocols:
			return nil, errors.New("the server wants another protocol")
		} // else interim: another one follows
	}
}

// get is an idle connection, or a new one.
func (w *wire) get(ctx context.Context) (*wireConn, error) {
	for {
		w.mu.Lock()
		n := len(w.idle)
		if n == 0 {
			w.mu.Unlock()
			break
		}
		c := w.idle[n-1]
		w.idle = w.idle[:n-1]
		w.mu.Unlock()
		if time.Since(c.used) < idleLimit && c.open() {
			return c, nil
		}
		_ = c.Close()
	}
	conn, err := w.dialer.DialContext(ctx, "tcp", w.address)
	if err != nil {
		return nil, err
	}
	return &wireConn{Conn: conn, in: bufio.NewReader(conn), out: bufio.NewWriter(conn)}, nil
}

func (w *wire) put(c *wireConn) {
	c.used = time.Now()
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		_ = c.Close()
		return
	}
	w.idle = append(w.idle, c)
}

// CloseIdleConnections closes them, and those that are in use once they are not.
func (w *wire) CloseIdleConnections() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range w.idle {
		_ = c.Close()
	}
	w.idle, w.closed = nil, true
}

// open tells whether an idle connection has nothing to read: neither an end nor
// something that nobody asked for.
func (c *wireConn) open() bool {
	raw, err := c.Conn.(*net.TCPConn).SyscallConn()
	if err != nil {
		return false
	}
	silent := false
	err = raw.Read(func(fd uintptr) bool {
		var b [1]byte
		_, _, err := unix.Recvfrom(int(fd), b[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
		silent = errors.Is(err, unix.EAGAIN)
		return true
	})
	return err == nil && silent && c.in.Buffered() == 0
}

// wireBody gives its connection back when it is closed behind its end.
type wireBody struct {
	io.ReadCloser
	release func(whole bool)
	end     bool
}

func (b *wireBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if errors.Is(err, io.EOF) {
		b.end = true
	}
	return n, err
}

func (b *wireBody) Close() error {
	if b.release == nil {
		return nil
	}
	if !b.end { // bodies without a byte are at their end, though nobody has read it
		var one [1]byte
		n, err := b.ReadCloser.Read(one[:])
		b.end = n == 0 && errors.Is(err, io.EOF)
	}
	b.release(b.end)
	b.release = nil
	return nil
}
