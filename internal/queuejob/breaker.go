package queuejob

import (
	"time"

	"github.com/queuemill/queuemill/api/v1alpha1"
)

// breaker pauses receiving when spec.Failures jobs failed within spec.Within.
// After spec.Pause one message is let through: the next job that finishes
// decides. It counts exactly, over a sliding window. Guarded by Runner.mu.
//
//	closed ── failures ≥ n within window ──▶ open ── pause ──▶ half open
//	  ▲                                       ▲                  │
//	  └───────────── success ─────────────────┼──────────────────┤
//	                                          └──── failure ─────┘
type breaker struct {
	spec     *v1alpha1.Breaker // nil: never opens
	failures []time.Time       // within the window, oldest first, at most spec.Failures
	open     bool              // open or half open
	until    time.Time         // open: when it becomes half open
	trial    bool              // half open: the one message is on its way
}

// failed notes a failure and tells whether it opened the breaker.
func (b *breaker) failed(now time.Time) bool {
	if b.spec == nil || b.open && now.Before(b.until) {
		return false
	}
	if b.open { // half open: one is enough
		b.trip(now)
		return true
	}
	for len(b.failures) > 0 && now.Sub(b.failures[0]) >= b.spec.Within.Duration {
		b.failures = b.failures[1:]
	}
	b.failures = append(b.failures, now)
	if len(b.failures) < b.spec.Failures {
		return false
	}
	b.trip(now)
	return true
}

func (b *breaker) trip(now time.Time) {
	b.open, b.trial, b.failures = true, false, nil
	b.until = now.Add(b.spec.Pause.Duration)
}

// succeeded notes a success and tells whether it closed the breaker.
func (b *breaker) succeeded(now time.Time) bool {
	if !b.open || now.Before(b.until) {
		return false
	}
	b.open, b.trial = false, false
	return true
}

// allow is how many messages may be received now, at most max. When none, until
// is when that changes by itself; zero: with the trial's end.
func (b *breaker) allow(now time.Time, max int) (n int, until time.Time) {
	switch {
	case !b.open:
		return max, time.Time{}
	case now.Before(b.until):
		return 0, b.until
	case b.trial:
		return 0, time.Time{}
	default:
		return min(max, 1), time.Time{}
	}
}

// update follows an edited manifest; without a breaker nothing stays open.
func (b *breaker) update(spec *v1alpha1.Breaker) {
	b.spec = spec
	if spec == nil {
		*b = breaker{}
	}
}
