package embedded

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// Visibility, delays, retention and cooldowns are instants of this clock.
func TestTheClockOfTheQueueIsMonotonic(t *testing.T) {
	if base := newClock().base; !strings.Contains(base.String(), " m=") {
		t.Errorf("it measures from %s, which follows the steps of the wall clock", base)
	}
	synctest.Test(t, func(t *testing.T) { // where there is no monotonic reading
		c := newClock()
		before, m := c.now(), c.moment()
		time.Sleep(time.Minute)
		if d := c.now().sub(before); d != time.Minute {
			t.Errorf("a minute took %s", d)
		}
		// Stored wall times come back as the instants they were.
		if back := m.fromWall(m.wall(m.at.add(time.Hour))); back != m.at.add(time.Hour) {
			t.Errorf("an instant came back %s off", back.sub(m.at.add(time.Hour)))
		}
	})
}
