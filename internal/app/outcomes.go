package app

import (
	"context"
	"sync"
	"time"

	"github.com/queuemill/queuemill/internal/executor"
	"github.com/queuemill/queuemill/internal/record"
)

// outcomes remembers which jobs failed since the start; one that succeeds or
// goes later is no failure any more.
type outcomes struct {
	since    time.Time
	watching chan struct{} // closed once no change is missed
	once     sync.Once

	mu     sync.Mutex
	failed map[string]struct{}
}

func newOutcomes() *outcomes {
	return &outcomes{since: time.Now(), watching: make(chan struct{}), failed: map[string]struct{}{}}
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
	failed := e.Record.State == record.Failed || e.Record.State == record.Invalid
	// Records of an earlier run change too, when their message's delete is
	// confirmed for instance.
	if failed && !e.Deleted && !e.Record.FinishedAt.Before(o.since) {
		o.failed[e.Record.Name] = struct{}{}
	} else {
		delete(o.failed, e.Record.Name)
	}
}

func (o *outcomes) failures() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.failed)
}
