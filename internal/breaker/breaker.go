// Package breaker decides when receiving stops since everything fails. It is
// pure: the caller tells the time and holds the lock.
package breaker

import (
	"time"

	"github.com/queuemill/queuemill/api/v1alpha1"
)

// Breaker pauses receiving when Spec.Failures runs failed within Spec.Within.
// After Spec.Pause one message is let through: the next run that finishes
// decides. It counts exactly, over a sliding window.
//
//	closed ── failures ≥ n within window ──▶ open ── pause ──▶ half open
//	  ▲                                       ▲                  │
//	  └───────────── success ─────────────────┼──────────────────┤
//	                                          └──── failure ─────┘
type Breaker struct {
	Spec  *v1alpha1.Breaker // nil: never opens
	Open  bool              // open or half open
	Until time.Time         // open: when it becomes half open
	Trial bool              // half open: the one message is on its way; set by the caller

	failures []time.Time // within the window, oldest first, at most Spec.Failures
}

// Failed notes a failure and tells whether it opened the breaker.
func (b *Breaker) Failed(now time.Time) bool {
	if b.Spec == nil || b.Open && now.Before(b.Until) {
		return false
	}
	if b.Open { // half open: one is enough
		b.trip(now)
		return true
	}
	for len(b.failures) > 0 && now.Sub(b.failures[0]) >= b.Spec.Within.Duration {
		b.failures = b.failures[1:]
	}
	b.failures = append(b.failures, now)
	if len(b.failures) < b.Spec.Failures {
		return false
	}
	b.trip(now)
	return true
}

func (b *Breaker) trip(now time.Time) {
	b.Open, b.Trial, b.failures = true, false, nil
	b.Until = now.Add(b.Spec.Pause.Duration)
}

// Succeeded notes a success and tells whether it closed the breaker.
func (b *Breaker) Succeeded(now time.Time) bool {
	if !b.Open || now.Before(b.Until) {
		return false
	}
	b.Open, b.Trial = false, false
	return true
}

// Allow is how many messages may be received now, at most max. When none, until
// is when that changes by itself; zero: with the trial's end.
func (b *Breaker) Allow(now time.Time, max int) (n int, until time.Time) {
	switch {
	case !b.Open:
		return max, time.Time{}
	case now.Before(b.Until):
		return 0, b.Until
	case b.Trial:
		return 0, time.Time{}
	default:
		return min(max, 1), time.Time{}
	}
}

// Update follows an edited manifest; without a breaker nothing stays open.
func (b *Breaker) Update(spec *v1alpha1.Breaker) {
	b.Spec = spec
	if spec == nil {
		*b = Breaker{}
	}
}
