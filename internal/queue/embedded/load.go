package embedded

import (
	"encoding/binary"
	"fmt"

	"github.com/cockroachdb/pebble/v2"
)

// load rebuilds everything in memory from the store: counters, definitions, and
// the states of all messages. It doesn't read contents.
func (b *Broker) load() error {
	if err := b.loadCounters(); err != nil {
		return err
	}
	from, to := kindSpan(kindQueue)
	err := b.scan(from, to, func(_, v []byte) error {
		q, err := b.decodeQueue(v)
		if err != nil {
			return err
		}
		b.queues[queueName{q.region, q.name}] = q
		b.byID[q.id] = q
		return nil
	})
	if err != nil {
		return err
	}
	for _, q := range b.byID {
		if err := q.load(); err != nil {
			return fmt.Errorf("queue %s: %w", q.name, err)
		}
	}
	if err := b.loadMoves(); err != nil {
		return err
	}
	return b.resumeMoves()
}

// scan calls fn for each key and value in [from, to); both are lent.
func (b *Broker) scan(from, to []byte, fn func(k, v []byte) error) error {
	it, err := b.db.Pebble().NewIter(&pebble.IterOptions{LowerBound: from, UpperBound: to})
	if err != nil {
		return err
	}
	defer it.Close()
	for ok := it.First(); ok; ok = it.Next() {
		v, err := it.ValueAndErr()
		if err != nil {
			return err
		}
		if err := fn(it.Key(), v); err != nil {
			return err
		}
	}
	return it.Error()
}

// load rebuilds the queue's index.
func (q *Queue) load() error {
	from, to := span(kindState, q.id)
	now := q.b.clock.moment()
	if err := q.loadDedup(now); err != nil {
		return err
	}
	defer q.armSweepLoaded(now.at)
	return q.b.scan(from, to, func(k, v []byte) error {
		seq := binary.BigEndian.Uint64(k[6:])
		rec, group, err := decodeRecord(v)
		if err != nil {
			return fmt.Errorf("message %d: %w", seq, err)
		}
		q.restore(now, seq, rec, group)
		return nil
	})
}

// restore puts a message of an earlier run into the index.
func (q *Queue) restore(now moment, seq uint64, rec record, group []byte) {
	r := q.index.add(seq, min(now.at, now.fromWall(rec.sent)), string(group))
	m := q.index.at(r)
	m.receives, m.nonce, m.size, m.first = rec.receives, rec.nonce, rec.size, rec.first
	// Should the clock have been set back, a message is held no longer than it
	// was meant to be when that was written down.
	held := rec.visible - rec.received
	if rec.receives == 0 {
		held = rec.visible - rec.sent
	}
	due := min(now.fromWall(rec.visible), now.fromWall(now.wallMs+held))
	if rec.receives == 0 {
		q.index.admit(r, now.at, due)
		return
	}
	q.index.received[seq] = r
	m.received = min(now.at, now.fromWall(rec.received))
	if due > now.at {
		m.due = due
		q.index.setState(r, inFlight)
		return
	}
	q.index.setState(r, ready)
}
