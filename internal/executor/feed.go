package executor

import (
	"context"
	"sync"
)

// Feed hands events to watchers: what a provider whose engine has no watch of
// its own builds Watch on. The zero value is ready. Publishing never waits for
// a watcher; each watcher gets every event, in the order of publishing.
type Feed struct {
	mu       sync.Mutex
	watchers map[*watcher]struct{}
}

type watcher struct {
	queueJob string
	wake     chan struct{} // capacity 1

	mu      sync.Mutex
	pending []Event
}

// Publish queues events for the watchers whom they concern.
func (f *Feed) Publish(events ...Event) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for w := range f.watchers {
		w.put(events)
	}
}

func (w *watcher) put(events []Event) {
	w.mu.Lock()
	before := len(w.pending)
	for i := range events {
		if w.queueJob == "" || w.queueJob == events[i].Record.QueueJob {
			w.pending = append(w.pending, events[i])
		}
	}
	added := len(w.pending) > before
	w.mu.Unlock()
	if added {
		select {
		case w.wake <- struct{}{}:
		default:
		}
	}
}

// Watch is Executor.Watch: it returns ctx's error when ctx ends.
func (f *Feed) Watch(ctx context.Context, queueJob string, ready func(), handle func(Event)) error {
	w := &watcher{queueJob: queueJob, wake: make(chan struct{}, 1)}
	f.mu.Lock()
	if f.watchers == nil {
		f.watchers = make(map[*watcher]struct{})
	}
	f.watchers[w] = struct{}{}
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		delete(f.watchers, w)
		f.mu.Unlock()
	}()

	if ready != nil {
		ready()
	}
	var batch []Event
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-w.wake:
		}
		w.mu.Lock()
		batch, w.pending = w.pending, batch[:0]
		w.mu.Unlock()
		for i := range batch {
			handle(batch[i])
		}
		clear(batch)
	}
}
