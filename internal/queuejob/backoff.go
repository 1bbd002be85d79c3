package queuejob

import (
	"context"
	"time"

	"github.com/queuemill/queuemill/internal/backoff"
)

var (
	// callBackoff is between tries of a call to the queue or the executor.
	callBackoff = backoff.Backoff{Base: 500 * time.Millisecond, Cap: 30 * time.Second}

	// giveBackBackoff is how long a failed job's message stays invisible.
	giveBackBackoff = backoff.Backoff{Base: 10 * time.Second, Cap: 15 * time.Minute}
)

// signal wakes one loop; poking it any number of times wakes it once.
type signal chan struct{}

func newSignal() signal { return make(signal, 1) }

func (s signal) poke() {
	select {
	case s <- struct{}{}:
	default:
	}
}

// wait returns at the signal, at the given time (zero: never), or when ctx ends.
func (s signal) wait(ctx context.Context, at time.Time) {
	var due <-chan time.Time
	if !at.IsZero() {
		timer := time.NewTimer(time.Until(at))
		defer timer.Stop()
		due = timer.C
	}
	select {
	case <-s:
	case <-due:
	case <-ctx.Done():
	}
}
