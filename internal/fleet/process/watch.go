package process

import (
	"context"
	"sync"
	"time"

	"github.com/queuemill/queuemill/internal/fleet"
)

// watchEvery is how often workers that tell nothing by themselves are looked at:
// those that start, and those of an earlier controller, whose end only their
// parent would hear of.
const watchEvery = 250 * time.Millisecond

const (
	// greetEvery is how often a new worker's socket is looked for, greetLimit for
	// how long.
	greetEvery = 2 * time.Millisecond
	greetLimit = 5 * time.Second
)

// Watch calls changed, from one goroutine, whenever a worker came, became ready
// or went, until ctx ends.
func (f *Fleet) Watch(ctx context.Context, changed func()) error {
	news := make(chan struct{}, 1)
	f.mu.Lock()
	f.watchers[news] = true
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		delete(f.watchers, news)
		f.mu.Unlock()
	}()
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-news:
			changed()
		case <-tick.C:
			f.lookForNews(ctx)
		}
	}
}

func (f *Fleet) lookForNews(ctx context.Context) {
	var wg sync.WaitGroup
	for _, w := range f.snapshot() {
		if !f.alive(w) {
			continue
		}
		f.trimLog(w)
		f.press(w)
		if w.starting() {
			wg.Go(func() {
				if seen, ok := f.look(ctx, w); ok && (seen.State != fleet.Starting || seen.Held && seen.Report != nil) {
					f.tellChange()
				}
			})
		}
	}
	wg.Wait()
}

// starting tells whether the worker was never seen to be ready.
func (w *worker) starting() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return (!w.ready || w.rec.Held) && w.rec.EndingAt.IsZero()
}

// tellChange wakes all who watch. f.mu is not held.
func (f *Fleet) tellChange() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for news := range f.watchers {
		select {
		case news <- struct{}{}:
		default: // it has one to read
		}
	}
}
