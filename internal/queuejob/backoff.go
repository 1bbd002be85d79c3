package queuejob

import (
	"context"
	"math/rand/v2"
	"time"
)

// backoff is exponential with full jitter: the n-th delay, from 0, lies anywhere
// up to base·2ⁿ, at most cap. Full jitter keeps many who failed together from
// coming back together (AWS Architecture Blog, "Exponential Backoff And Jitter").
type backoff struct {
	base, cap time.Duration
}

var (
	// callBackoff is between tries of a call to the queue or the executor.
	callBackoff = backoff{base: 500 * time.Millisecond, cap: 30 * time.Second}

	// giveBackBackoff is how long a failed job's message stays invisible.
	giveBackBackoff = backoff{base: 10 * time.Second, cap: 15 * time.Minute}
)

// ceiling is the longest n-th delay.
func (b backoff) ceiling(n int) time.Duration {
	d := b.base
	for range n {
		if d *= 2; d >= b.cap {
			return b.cap
		}
	}
	return d
}

// full is the n-th delay with full jitter, a tenth of base at least.
func (b backoff) full(n int) time.Duration {
	return max(b.base/10, rand.N(b.ceiling(n)))
}

// half is the n-th delay between half of its ceiling and the ceiling: jitter for
// delays that are a promise to wait.
func (b backoff) half(n int) time.Duration {
	c := b.ceiling(n)
	return c/2 + rand.N(c/2)
}

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
