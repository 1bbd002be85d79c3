package process

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"
)

const (
	stopEvery = 20 * time.Millisecond

	// reapLimit is how long a killed process may take to be gone.
	reapLimit = 5 * time.Second
)

// Stop ends all workers and waits until they have gone: each finishes what it
// has in hand, or gives it back at its drain timeout. When ctx ends first, those
// still there are killed, and the error says how many.
func (f *Fleet) Stop(ctx context.Context) error {
	for _, w := range f.snapshot() {
		if err := w.end(f.o.Dir); err != nil && !errors.Is(err, os.ErrProcessDone) {
			f.log.Warn("worker is not told to end", keyWorker, w.name, "err", err)
		}
	}
	if f.gone(ctx) {
		return nil
	}
	killed := 0
	for _, w := range f.snapshot() {
		if w.kill() == nil {
			killed++
		}
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), reapLimit)
	defer cancel()
	if !f.gone(ctx) {
		return fmt.Errorf("%d workers can't be killed", len(f.snapshot()))
	}
	if killed > 0 {
		return fmt.Errorf("%d workers had not ended and were killed: what they had in hand comes back after its visibility timeout", killed)
	}
	return nil
}

// gone waits until no worker is left; false: ctx ended.
func (f *Fleet) gone(ctx context.Context) bool {
	tick := time.NewTicker(stopEvery)
	defer tick.Stop()
	for {
		left := 0
		for _, w := range f.snapshot() {
			if f.alive(w) {
				f.press(w)
				left++
			}
		}
		if left == 0 && len(f.snapshot()) == 0 {
			return true
		}
		select {
		case <-ctx.Done():
			return false
		case <-tick.C:
		}
	}
}

func (w *worker) kill() error { return w.signal(syscall.SIGKILL) }
