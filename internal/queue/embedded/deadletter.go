package embedded

import (
	"github.com/cockroachdb/pebble/v2"
)

// clearAside moves and drops what a receive set aside: one commit, in which a
// dead letter leaves its queue and enters the other at once. Neither is fsynced:
// after a power cut the message is where it was, once.
// kept: the dead-letter queue takes nothing at this moment, the dead stay.
func (q *Queue) clearAside(t *taken) (kept bool, err error) {
	if len(t.dead)+len(t.expired) == 0 {
		return false, nil
	}
	batch := q.b.db.Pebble().NewBatch()
	defer batch.Close()
	for i := range t.expired {
		q.dropMessage(batch, t.expired[i].seq, t.expired[i].size)
	}
	move, err := q.beginMove(batch, t.dead)
	if err == nil {
		err = q.b.db.CommitNoSync(batch)
	}
	if move != nil {
		move.end(err)
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	for i := range t.expired {
		q.settleAside(t.expired[i].ref, err == nil)
	}
	for i := range t.dead {
		q.settleAside(t.dead[i].ref, err == nil && move != nil)
	}
	return move == nil && len(t.dead) > 0, err
}

// awaitDeadLetterQueue waits while the dead-letter queue is being purged and
// takes no messages. Nobody may call it with an operation under way.
func (q *Queue) awaitDeadLetterQueue() {
	q.mu.Lock()
	target := q.deadLetterQueue()
	q.mu.Unlock()
	if target == nil {
		return
	}
	target.mu.Lock()
	defer target.mu.Unlock()
	for target.gated && target.shutErr == nil {
		target.idle.Wait()
	}
}

// settleAside removes a slot that was set aside, or puts it back.
func (q *Queue) settleAside(r ref, gone bool) {
	if gone {
		q.index.remove(r)
		return
	}
	q.index.at(r).busy = false
	q.index.setState(r, ready)
}

// beginMove puts the moves of dead into batch. nil: the target takes nothing now.
func (q *Queue) beginMove(batch *pebble.Batch, dead []takenSlot) (*arrival, error) {
	if len(dead) == 0 {
		return nil, nil
	}
	q.mu.Lock()
	target := q.deadLetterQueue()
	q.mu.Unlock()
	if target == nil {
		return nil, nil
	}
	in := make([]sending, len(dead))
	for i := range dead {
		c, err := q.read(dead[i].seq)
		if err != nil {
			return nil, err
		}
		c.source = q.ARN()
		// The retention period goes on, on a FIFO queue it begins anew.
		in[i] = sending{content: *c, sent: dead[i].sent}
		if target.fifo {
			in[i].sent = q.b.clock.now()
		}
	}
	a, err := q.b.beginArrival(batch, target, in)
	if a != nil {
		for i := range dead {
			q.dropMessage(batch, dead[i].seq, dead[i].size)
		}
	}
	return a, err
}

// tryBegin is begin that does not wait: with one queue's operation under way,
// waiting for another queue could go round in a circle. True: mu is held.
func (q *Queue) tryBegin() bool {
	q.mu.Lock()
	if q.gated || q.shutErr != nil {
		q.mu.Unlock()
		return false
	}
	q.ops++
	return true
}

// deadLetterQueue is where the queue's dead letters go; nil: nowhere. With mu held.
func (q *Queue) deadLetterQueue() *Queue {
	if q.set.deadLetterARN == "" {
		return nil
	}
	return q.b.lookup(q.set.deadLetterARN)
}

// DeadLetterSources are the queues whose dead letters come here.
func (q *Queue) DeadLetterSources() []*Queue {
	arn := q.ARN()
	var sources []*Queue
	for _, s := range q.b.Queues("", "") {
		s.mu.Lock()
		if s.set.deadLetterARN == arn {
			sources = append(sources, s)
		}
		s.mu.Unlock()
	}
	return sources
}
