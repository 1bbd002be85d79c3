package kubernetes

import "time"

// cutLag is longer than a watch that lives may be behind another one: one that
// is broken is noticed within a minute.
const cutLag = 5 * time.Minute

// cuts are the records of which a Job went before it had finished, and when. Its
// pods still end, and may be seen later than that, since they come by a watch of
// their own: a tracker that knows of none does not know that there are none. The
// zero value is ready.
type cuts struct {
	since map[recordKey]time.Time
	bound int // sweep at this many
}

// note takes in that a Job went, and drops now and then what is long ago.
func (c *cuts) note(o *object) {
	if o.phase >= complete || o.invalid() {
		return
	}
	if c.since == nil {
		c.since, c.bound = make(map[recordKey]time.Time), 1024
	}
	now := time.Now()
	c.since[recordKey{o.namespace, o.record}] = now
	if len(c.since) < c.bound {
		return
	}
	for key, at := range c.since {
		if now.Sub(at) > cutLag {
			delete(c.since, key)
		}
	}
	c.bound = max(1024, 2*len(c.since))
}

// noteCut takes in that a Job is deleted, before it is seen.
func (t *tracker) noteCut(o *object) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.cut.note(o)
}

// wasCut tells whether a Job of a record went lately before it had finished.
func (t *tracker) wasCut(namespace, name string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	_, cut := t.cut.since[recordKey{namespace, name}]
	return cut
}
