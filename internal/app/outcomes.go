package app

import (
	"context"
	"sync"
	"time"

	"github.com/queuemill/queuemill/internal/executor"
	"github.com/queuemill/queuemill/internal/record"
)

// outcomes remembers what jobs that finished since the start came to; a failed
// one that succeeds or goes later is no failure any more.
type outcomes struct {
	since    time.Time
	watching chan struct{} // closed once no change is missed
	once     sync.Once

	mu        sync.Mutex
	failed    map[string]record.State // Failed or Invalid
	succeeded map[string]struct{}     // of those whose record is still there
	successes int
}

func newOutcomes() *outcomes {
	return &outcomes{since: time.Now(), watching: make(chan struct{}), failed: map[string]record.State{}, succeeded: map[string]struct{}{}}
}

func (o *outcomes) watch(ctx context.Context, e executor.Executor) error {
	err := e.Watch(ctx, "", func() { o.once.Do(func() { close(o.watching) }) }, o.note)
	if ctx.Err() == nil {
		return err
	}
	return nil
}

// ready returns when the watch has begun.
func (o *outcomes) ready(ctx context.Context) error {
	select {
	case <-o.watching:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (o *outcomes) note(e executor.Event) {
	o.mu.Lock()
	defer o.mu.Unlock()
	name, state := e.Record.Name, e.Record.State
	_, counted := o.succeeded[name]
	delete(o.failed, name)
	switch {
	case e.Deleted: // a success was one, whatever becomes of its record
		delete(o.succeeded, name)
	case e.Record.FinishedAt.Before(o.since):
		// Records of an earlier run change too, when their message's delete is
		// confirmed for instance.
	case state == record.Failed, state == record.Invalid:
		o.failed[name] = state
	case state == record.Succeeded && !counted:
		o.succeeded[name] = struct{}{}
		o.successes++
	}
	if counted && !e.Deleted && state != record.Succeeded { // it runs once more
		delete(o.succeeded, name)
		o.successes--
	}
}

// sum fills in what became of the jobs since the start.
func (o *outcomes) sum(into *Outcome) {
	o.mu.Lock()
	defer o.mu.Unlock()
	into.Succeeded, into.Failed, into.Invalid = o.successes, 0, 0
	for _, state := range o.failed {
		if state == record.Invalid {
			into.Invalid++
		} else {
			into.Failed++
		}
	}
}
