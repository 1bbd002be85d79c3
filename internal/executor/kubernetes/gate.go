package kubernetes

import (
	"context"
	"slices"
	"sync"
	"time"
)

const (
	// gateWidth is how many creates run side by side: as many as an API server
	// gains from (see docs/PERFORMANCE.md), and no more, since what waits there
	// waits in front of everybody else's requests too.
	gateWidth = 32
	// gateSpare are places for those who have no create under way at all, so that
	// a QueueJob with a message now and then never waits for another one's burst.
	gateSpare = 16
	// gateBeside is how many creates of one QueueJob run side by side while
	// another one creates too, and gateCalm how long that is held to be so after
	// it did. What is under way is what the other's create waits behind: four
	// keep an API server nearly as busy as thirty-two do (docs/PERFORMANCE.md).
	gateBeside = 4
	gateCalm   = 10 * time.Second
)

// gate lets creates pass, those of each key in their order and the keys in turn.
// The zero value is ready.
type gate struct {
	mu    sync.Mutex
	busy  int
	lines map[string]*line
	turn  []string // keys that wait, the next one first

	last        string    // the key that came last
	sharedUntil time.Time // more than one key is about until then
}

// line is one key's creates.
type line struct {
	busy  int
	queue []chan struct{} // each closed when its turn has come
}

// enter waits for the key's turn. When err is nil leave must be called.
func (g *gate) enter(ctx context.Context, key string) error {
	g.mu.Lock()
	if g.lines == nil {
		g.lines = make(map[string]*line)
	}
	now := time.Now()
	if g.last != key {
		if g.last != "" {
			g.sharedUntil = now.Add(gateCalm)
		}
		g.last = key
	}
	l := g.lines[key]
	if l == nil {
		l = &line{}
		g.lines[key] = l
	}
	if g.open(l, now) && len(l.queue) == 0 {
		g.busy++
		l.busy++
		g.mu.Unlock()
		return nil
	}
	turn := make(chan struct{})
	if len(l.queue) == 0 {
		g.turn = append(g.turn, key)
	}
	l.queue = append(l.queue, turn)
	g.mu.Unlock()

	select {
	case <-turn:
		return nil
	case <-ctx.Done():
	}
	g.mu.Lock()
	i := slices.Index(l.queue, turn)
	if i >= 0 {
		l.queue = slices.Delete(l.queue, i, i+1)
		g.tidy(key, l)
	}
	g.mu.Unlock()
	if i < 0 { // its turn came at the same moment
		g.leave(key)
	}
	return ctx.Err()
}

// open tells whether a create of l may begin. mu is held.
func (g *gate) open(l *line, now time.Time) bool {
	if l.busy == 0 {
		return g.busy < gateWidth+gateSpare
	}
	return g.busy < gateWidth && (l.busy < gateBeside || !now.Before(g.sharedUntil))
}

// leave gives the place to who is next, and the places that have become free
// since others are about no more.
func (g *gate) leave(key string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	l := g.lines[key]
	g.busy--
	l.busy--
	now := time.Now()
	for i := 0; i < len(g.turn); {
		next := g.turn[i]
		waiting := g.lines[next]
		if !g.open(waiting, now) {
			i++
			continue
		}
		close(waiting.queue[0])
		waiting.queue = waiting.queue[1:]
		g.busy++
		waiting.busy++
		g.turn = slices.Delete(g.turn, i, i+1)
		if len(waiting.queue) > 0 {
			g.turn = append(g.turn, next)
		}
	}
	g.tidy(key, l)
}

// tidy forgets what nobody needs. mu is held.
func (g *gate) tidy(key string, l *line) {
	if len(l.queue) > 0 {
		return
	}
	g.turn = slices.DeleteFunc(g.turn, func(k string) bool { return k == key })
	if l.busy == 0 {
		delete(g.lines, key)
	}
}
