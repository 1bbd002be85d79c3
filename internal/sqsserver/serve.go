package sqsserver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// Limits on connections. Together they end every client that holds one and
// does nothing with it.
const (
	headerTimeout  = 10 * time.Second // to send the headers; on a new connection from its start
	idleTimeout    = 3 * time.Minute  // between requests; longer than the SDKs' 90 s, so that they hang up first
	answerTimeout  = 2 * time.Minute  // from the headers to the last byte of the answer: body, long poll, writing
	maxHeaderBytes = 32 << 10         // a presigned request has all of a message in its request line
	drainTimeout   = 10 * time.Second // for requests under way when the server stops

	defaultMaxConnections = 16384
)

// Serve answers on ln until ctx ends, then stops taking connections, ends the
// long polls with an empty answer, lets other requests finish (10 s at most)
// and returns nil. It closes ln. Without credentials ln must be on loopback.
func (s *Server) Serve(ctx context.Context, ln net.Listener) error {
	if s.verify == nil && !isLoopback(ln.Addr()) {
		return errors.Join(
			fmt.Errorf("serve SQS on %s: not a loopback address, and no credentials are configured: anyone who reaches it could read and write every queue; listen on 127.0.0.1 or configure an access key", ln.Addr()),
			ln.Close())
	}
	polls, endPolls := context.WithCancel(context.WithoutCancel(ctx))
	defer endPolls()
	hs := &http.Server{
		Handler:           s,
		ReadHeaderTimeout: headerTimeout,
		IdleTimeout:       idleTimeout,
		WriteTimeout:      answerTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		BaseContext:       func(net.Listener) context.Context { return polls },
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
	drained := make(chan error, 1)
	stop := context.AfterFunc(ctx, func() {
		endPolls()
		deadline, cancel := context.WithTimeout(context.Background(), drainTimeout)
		defer cancel()
		err := hs.Shutdown(deadline)
		if err != nil {
			err = errors.Join(fmt.Errorf("drain SQS requests: %w", err), hs.Close())
		}
		drained <- err
	})
	err := hs.Serve(s.limit(ln))
	if !stop() { // ctx ended, so that is why Serve returned
		return <-drained
	}
	return fmt.Errorf("serve SQS on %s: %w", ln.Addr(), errors.Join(err, hs.Close()))
}

func isLoopback(a net.Addr) bool {
	switch a := a.(type) {
	case *net.TCPAddr:
		return a.IP.IsLoopback()
	case *net.UnixAddr:
		return true
	}
	return false
}

// limitListener bounds the connections that are open at once.
type limitListener struct {
	net.Listener
	s    *Server
	max  int64
	open atomic.Int64
}

func (s *Server) limit(ln net.Listener) *limitListener {
	most := s.options.MaxConnections
	if most <= 0 {
		most = min(defaultMaxConnections, openFiles()*3/4)
	}
	return &limitListener{Listener: ln, s: s, max: int64(most)}
}

// overLimit is the answer to a connection too many.
const overLimit = "HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"

// Accept returns the next connection within the limit.
func (l *limitListener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if l.open.Add(1) <= l.max {
			l.s.metrics.open.Inc()
			return &countedConn{Conn: c, l: l}, nil
		}
		l.open.Add(-1)
		l.s.metrics.refused.Inc()
		l.s.refuse(c)
	}
}

// refuse says why and hangs up. It must not hold up those who are within the limit.
func (s *Server) refuse(c net.Conn) {
	err := c.SetDeadline(time.Now().Add(time.Second))
	if err == nil {
		_, err = c.Write([]byte(overLimit)) // fits the socket's buffer: does not wait
	}
	if err = errors.Join(err, c.Close()); err != nil {
		s.log.Debug("connection over the limit", "error", err)
	}
}

// countedConn gives its place back when it is closed.
type countedConn struct {
	net.Conn
	l    *limitListener
	once sync.Once
}

// Close closes the connection.
func (c *countedConn) Close() error {
	c.once.Do(func() {
		c.l.open.Add(-1)
		c.l.s.metrics.open.Dec()
	})
	return c.Conn.Close()
}
