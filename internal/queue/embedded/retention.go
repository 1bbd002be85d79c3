package embedded

import "time"

// Messages older than the retention period go. A receive never returns one; a
// sweep, by a timer for the oldest, frees the space of those nobody asks for.

// sweep is a queue's timer for the next message that gets too old.
type sweep struct {
	timer *time.Timer
	armed bool
}

// sweepPause is how long a sweep at least waits for the next one: messages that
// were sent together go together.
const sweepPause = time.Second

func (s *sweep) stop() {
	if s.timer != nil {
		s.timer.Stop()
	}
	s.armed = false
}

func (s *sweep) arm(d time.Duration, fn func()) {
	s.armed = true
	if s.timer == nil {
		s.timer = time.AfterFunc(d, fn)
		return
	}
	s.timer.Reset(d)
}

// armSweep makes sure that a sweep comes by the time a message sent now is too
// old. With mu held.
func (q *Queue) armSweep() {
	if !q.sweep.armed && q.index.used > 0 && q.shutErr == nil {
		q.sweep.arm(q.set.retention, q.sweepOld)
	}
}

// armSweepLoaded is armSweep after a start, when messages have an age already.
func (q *Queue) armSweepLoaded(now instant) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.index.used > 0 {
		q.sweep.arm(q.untilOldest(now), q.sweepOld)
	}
}

// sweepNow sweeps soon: the retention period has changed. With mu held.
func (q *Queue) sweepNow() {
	if q.index.used > 0 && q.shutErr == nil {
		q.sweep.arm(sweepPause, q.sweepOld)
	}
}

// untilOldest is the time until the oldest message is too old. With mu held.
func (q *Queue) untilOldest(now instant) time.Duration {
	oldest := now
	q.index.each(func(_ ref, m *slot) { oldest = min(oldest, m.sent) })
	return max(oldest.add(q.set.retention).sub(now), sweepPause)
}

// sweepOld removes what is too old, a chunk of the index at a time, and arms the
// timer for the next.
func (q *Queue) sweepOld() {
	start := q.b.clock.now()
	for chunk := 0; ; chunk++ {
		more, err := q.sweepChunk(chunk)
		if err != nil {
			q.b.log.Error("remove messages past their retention period", "queue", q.name, "error", err)
		}
		if !more || err != nil {
			break
		}
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.sweep.armed = false
	if q.index.used == 0 || q.shutErr != nil {
		return
	}
	now := q.b.clock.now()
	// A sweep looks at everything: it gets at most a hundredth of the time.
	q.sweep.arm(max(q.untilOldest(now), 100*now.sub(start)), q.sweepOld)
}

// sweepChunk sweeps the slots of one chunk; more: there are further ones.
func (q *Queue) sweepChunk(i int) (more bool, err error) {
	if q.begin() != nil {
		return false, nil
	}
	if i >= len(q.index.chunks) {
		q.end()
		q.mu.Unlock()
		return false, nil
	}
	now := q.b.clock.now()
	q.index.advance(now)
	var old []takenSlot
	chunk := q.index.chunks[i]
	for j := range chunk {
		m := &chunk[j]
		removable := m.state == ready || m.state == delayed || m.state == inFlight
		if removable && !m.busy && m.sent.add(q.set.retention) <= now {
			old = append(old, q.setAside(ref(i<<chunkBits+j)))
		}
	}
	q.mu.Unlock()
	if len(old) > 0 {
		err = q.dropAside(old)
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	for k := range old {
		q.settleAside(old[k].ref, err == nil)
	}
	if err != nil {
		q.serve(q.b.clock.moment())
	}
	q.end()
	return true, err
}

func (q *Queue) dropAside(old []takenSlot) error {
	batch := q.b.db.Pebble().NewBatchWithSize(len(old) * 64)
	defer batch.Close()
	for k := range old {
		q.dropMessage(batch, old[k].seq, old[k].size)
	}
	return q.b.db.CommitNoSync(batch)
}
