package cluster

import (
	"fmt"
	"io"
	"net"
	"sync"
)

// service forwards what comes to the API server's service address, as
// kube-proxy would.
type service struct {
	listener net.Listener
	target   string
	done     sync.WaitGroup

	mu    sync.Mutex
	conns map[net.Conn]bool // nil once closed
}

// serve forwards connections to listen on to target, also when target was away
// for a while, until close.
func serve(listen, target string) (*service, error) {
	l, err := net.Listen("tcp", listen)
	if err != nil {
		return nil, fmt.Errorf("serve the API server's service address: %w", err)
	}
	s := &service{listener: l, target: target, conns: map[net.Conn]bool{}}
	s.done.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return // closed
			}
			s.done.Go(func() { s.forward(conn) })
		}
	})
	return s, nil
}

func (s *service) forward(from net.Conn) {
	defer s.drop(from)
	if !s.hold(from) {
		return
	}
	to, err := net.Dial("tcp", s.target)
	if err != nil {
		return // the API server is away: the client sees its connection closed
	}
	defer s.drop(to)
	if !s.hold(to) {
		return
	}
	var both sync.WaitGroup
	for _, way := range [][2]net.Conn{{from, to}, {to, from}} {
		both.Go(func() {
			_, _ = io.Copy(way[0], way[1])
			// An end of the input is passed on as one: the answer is still to come.
			_ = way[0].(*net.TCPConn).CloseWrite()
		})
	}
	both.Wait()
}

func (s *service) hold(c net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conns == nil {
		return false
	}
	s.conns[c] = true
	return true
}

func (s *service) drop(c net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
	c.Close()
}

func (s *service) close() {
	if s == nil {
		return
	}
	s.listener.Close()
	s.mu.Lock()
	for c := range s.conns {
		c.Close()
	}
	s.conns = nil
	s.mu.Unlock()
	s.done.Wait()
}
