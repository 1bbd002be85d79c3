package worker

import (
	"context"
	"fmt"
	"net"
	"sync"
	"time"
)

const (
	probeLeast = 20 * time.Millisecond
	probeMost  = 2 * time.Second
	probeTime  = 5 * time.Second
)

// gate knows whether a server accepts connections. It is closed at first, opens
// when a probe has got through, and closes when a message could not be sent.
type gate struct {
	address string

	mu     sync.Mutex
	err    error         // why it is closed; nil: open
	opened chan struct{} // closed while it is open
	shut   chan struct{} // closed while it is closed
}

func newGate(address string) *gate {
	g := &gate{address: address, err: fmt.Errorf("the server at %s does not accept yet", address), opened: make(chan struct{}), shut: make(chan struct{})}
	close(g.shut)
	return g
}

func (g *gate) ready() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.err
}

// close closes it until a probe gets through.
func (g *gate) close(err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.err == nil {
		g.opened = make(chan struct{})
		close(g.shut)
	}
	g.err = fmt.Errorf("the server at %s does not accept: %w", g.address, err)
}

func (g *gate) open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.err != nil {
		g.err = nil
		g.shut = make(chan struct{})
		close(g.opened)
	}
}

// wait returns when it is open, or with ctx's error.
func (g *gate) wait(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	g.mu.Lock()
	opened := g.opened
	g.mu.Unlock()
	select {
	case <-opened:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// watch probes while it is closed.
func (g *gate) watch(ctx context.Context, changed func()) {
	pause := probeLeast
	for {
		g.mu.Lock()
		shut := g.shut
		g.mu.Unlock()
		select {
		case <-shut:
		case <-ctx.Done():
			return
		}
		if g.probe(ctx) {
			pause = probeLeast
			g.open()
			changed()
			continue
		}
		select {
		case <-time.After(pause):
			pause = min(2*pause, probeMost)
		case <-ctx.Done():
			return
		}
	}
}

func (g *gate) probe(ctx context.Context) bool {
	d := net.Dialer{Timeout: probeTime}
	conn, err := d.DialContext(ctx, "tcp", g.address)
	if err != nil {
		return false
	}
	_ = conn.Close()
	return true
}
