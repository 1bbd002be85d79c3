package embedded

import (
	"cmp"
	"context"
	"time"

	"github.com/cockroachdb/pebble/v2"
)

// Why a task failed. Source: "Troubleshoot dead-letter queue redrive" in the
// developer guide.
const (
	reasonNoQueue  = "AWS.SimpleQueueService.NonExistentQueue"
	reasonNoSource = "CouldNotDetermineMessageSource"
)

// Bounds of what is moved in one commit.
const (
	moveBatch      = 100
	moveBatchBytes = 4 << 20
)

// move runs a task to its end, or until ctx ends; then it goes on at the next start.
func (b *Broker) move(ctx context.Context, m *mover) {
	for ctx.Err() == nil {
		b.mu.RLock()
		t := m.task
		b.mu.RUnlock()
		if t.Status == moveCancelling {
			b.endMove(m, moveCancelled, "")
			return
		}
		step, err := b.moveStep(m, &t)
		switch {
		case err != nil:
			b.log.Error("move dead letters", "source", t.Source, "error", err)
			b.endMove(m, moveFailed, err.Error())
			return
		case step.failure != "":
			b.endMove(m, moveFailed, step.failure)
			return
		case step.done:
			b.endMove(m, moveCompleted, "")
			return
		}
		if step.busy {
			pause(ctx, m.cancel, 10*time.Millisecond)
		}
		if t.PerSecond > 0 {
			pause(ctx, m.cancel, time.Duration(step.moved)*time.Second/time.Duration(t.PerSecond))
		}
	}
}

// pause waits for d, or until the task is cancelled or the broker closes.
func pause(ctx context.Context, cancel <-chan struct{}, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-cancel:
	case <-ctx.Done():
	}
}

func (b *Broker) endMove(m *mover, status, reason string) {
	b.mu.Lock()
	m.task.Status, m.task.FailureReason = status, reason
	t := m.task
	b.mu.Unlock()
	batch := b.db.Pebble().NewBatch()
	defer batch.Close()
	err := t.put(batch)
	if err == nil {
		err = b.db.CommitFreeing(batch)
	}
	if err != nil {
		b.log.Error("store the end of a move task", "source", t.Source, "error", err)
	}
}

// moveResult is what a step did.
type moveResult struct {
	moved   int
	done    bool
	busy    bool // the target is being purged: try again in a moment
	failure string
}

// moveStep moves one batch, all of whose messages go to the same queue.
func (b *Broker) moveStep(m *mover, t *moveTask) (moveResult, error) {
	source := b.queueByID(t.SourceID)
	if source == nil || source.begin() != nil {
		return moveResult{failure: reasonNoQueue}, nil
	}
	source.index.advance(b.clock.now())
	var aside []takenSlot
	for _, r := range source.index.upcoming(t.batch(), t.LastSeq) {
		aside = append(aside, source.setAside(r))
	}
	source.mu.Unlock()

	moved, result, err := b.relocate(m, t, source, aside)

	source.mu.Lock()
	for i := range aside {
		source.settleAside(aside[i].ref, i < moved)
	}
	source.serve(b.clock.moment())
	source.end()
	source.mu.Unlock()
	result.moved = moved
	return result, err
}

// batch is how many messages to move at once: with a rate, a tenth of a second's.
func (t *moveTask) batch() int {
	n := moveBatch
	if t.PerSecond > 0 {
		n = min(n, max(t.PerSecond/10, 1))
	}
	if t.Limit > 0 {
		n = min(n, int(t.Limit-t.Moved))
	}
	return n
}

// relocate moves the first messages of aside, as many as go to the first one's
// target, and says how many.
func (b *Broker) relocate(m *mover, t *moveTask, source *Queue, aside []takenSlot) (int, moveResult, error) {
	if len(aside) == 0 {
		return 0, moveResult{done: true}, nil
	}
	arn, in, err := source.readForMove(t, aside)
	if err != nil {
		return 0, moveResult{}, err
	}
	if arn == "" {
		return 0, moveResult{failure: reasonNoSource}, nil
	}
	target := b.lookup(arn)
	if target == nil {
		return 0, moveResult{failure: reasonNoQueue}, nil
	}
	batch := b.db.Pebble().NewBatch()
	defer batch.Close()
	a, err := b.beginArrival(batch, target, in)
	if err != nil || a == nil {
		return 0, moveResult{busy: err == nil}, err
	}
	for i := range in {
		source.dropMessage(batch, aside[i].seq, aside[i].size)
	}
	next := *t
	next.Moved += int64(len(in))
	if err = next.put(batch); err == nil {
		err = b.db.CommitNoSync(batch)
	}
	a.end(err)
	if err != nil {
		return 0, moveResult{}, err
	}
	b.mu.Lock()
	m.task.Moved = next.Moved
	b.mu.Unlock()
	return len(in), moveResult{}, nil
}

// readForMove reads the first messages of aside that have the same target. They
// become new messages there, with IDs of their own.
func (q *Queue) readForMove(t *moveTask, aside []takenSlot) (target string, in []sending, err error) {
	now := q.b.clock.moment()
	size := 0
	for i := range aside {
		c, err := q.read(aside[i].seq)
		if err != nil {
			return "", nil, err
		}
		arn := cmp.Or(t.Destination, c.source, t.Orphans)
		if size += len(c.body); i > 0 && (arn != target || size > moveBatchBytes) {
			break
		}
		target = arn
		c.id, c.source, c.sent = newID(), "", now.wallMs
		in = append(in, sending{content: *c, sent: now.at})
	}
	return target, in, nil
}

// arrival is messages on their way into a queue from another one: an operation
// under way there.
type arrival struct {
	target *Queue
	in     []sending
}

// beginArrival puts messages into target's index, pending, and into batch. nil:
// the target takes nothing at this moment.
func (b *Broker) beginArrival(batch *pebble.Batch, target *Queue, in []sending) (*arrival, error) {
	if err := b.reserve(); err != nil {
		return nil, err
	}
	if !target.tryBegin() {
		return nil, nil
	}
	for i := range in {
		target.enlist(&in[i])
	}
	target.mu.Unlock()
	now := b.clock.moment()
	for i := range in {
		target.putNew(batch, &in[i], now.wall(in[i].sent), now.wallMs)
	}
	return &arrival{target, in}, nil
}

// end lets the messages be received, or takes them out when they were not stored.
func (a *arrival) end(err error) {
	q := a.target
	q.mu.Lock()
	defer q.mu.Unlock()
	defer q.end()
	now := q.b.clock.moment()
	for i := range a.in {
		if err != nil {
			q.index.remove(a.in[i].ref)
			continue
		}
		q.index.admit(a.in[i].ref, now.at, now.at)
	}
	q.serve(now)
	q.armSweep()
}
