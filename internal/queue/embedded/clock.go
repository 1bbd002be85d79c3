package embedded

import "time"

// instant is a point on the broker's clock: nanoseconds, monotonic. It starts
// high enough for messages of earlier runs to have one as well.
type instant int64

const clockStart = instant(100 * 365 * 24 * time.Hour)

func (t instant) add(d time.Duration) instant { return t + instant(d) }
func (t instant) sub(u instant) time.Duration { return time.Duration(t - u) }

// clock measures from base on. Steps of the wall clock don't move it.
type clock struct{ base time.Time }

func newClock() clock { return clock{base: time.Now()} }

func (c clock) now() instant { return clockStart.add(time.Since(c.base)) }

// wall is t in milliseconds of the Unix epoch, by the wall clock as it is now.
func (c clock) wall(t instant) int64 {
	return time.Now().Add(t.sub(c.now())).UnixMilli()
}

// fromWall is the instant of a wall time that was stored by an earlier run.
func (c clock) fromWall(ms int64) instant {
	return c.now().add(time.UnixMilli(ms).Sub(time.Now().Round(0)))
}
