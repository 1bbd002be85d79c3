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

// moment is one point in time by both clocks.
type moment struct {
	at     instant
	wallMs int64 // Unix ms
}

func (c clock) moment() moment {
	now := time.Now()
	return moment{clockStart.add(now.Sub(c.base)), now.UnixMilli()}
}

// wall is t in Unix ms by the wall clock as it is at m.
func (m moment) wall(t instant) int64 { return m.wallMs + t.sub(m.at).Milliseconds() }

// fromWall is the instant of a wall time that an earlier run stored. What lies
// beyond the range, from a damaged clock, is cut to it.
func (m moment) fromWall(ms int64) instant {
	const century = int64(100 * 365 * 24 * time.Hour / time.Millisecond)
	d := max(min(ms-m.wallMs, century), -century)
	return m.at.add(time.Duration(d) * time.Millisecond)
}
