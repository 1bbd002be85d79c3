// Package backoff says how long to wait before the next try.
package backoff

import (
	"math/rand/v2"
	"time"
)

// Backoff is exponential with full jitter: the n-th delay, from 0, lies anywhere
// up to Base·2ⁿ, at most Cap. Full jitter keeps many who failed together from
// coming back together (AWS Architecture Blog, "Exponential Backoff And Jitter").
type Backoff struct {
	Base, Cap time.Duration
}

// Ceiling is the longest n-th delay.
func (b Backoff) Ceiling(n int) time.Duration {
	d := b.Base
	for range n {
		if d *= 2; d >= b.Cap {
			return b.Cap
		}
	}
	return d
}

// Full is the n-th delay with full jitter, a tenth of Base at least.
func (b Backoff) Full(n int) time.Duration {
	return max(b.Base/10, rand.N(b.Ceiling(n)))
}

// Half is the n-th delay between half of its ceiling and the ceiling: jitter for
// delays that are a promise to wait.
func (b Backoff) Half(n int) time.Duration {
	c := b.Ceiling(n)
	return c/2 + rand.N(c/2)
}
