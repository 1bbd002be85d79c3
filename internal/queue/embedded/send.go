package embedded

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"time"
)

// sending is an entry of a Send on its way.
type sending struct {
	content content
	delay   time.Duration
	sent    instant
	seq     uint64
	ref     ref
	size    uint32 // of the content as stored, bytes
	key     dedupKey
	at      int     // place in the results
	first   *commit // it is a duplicate of a message in this commit, perhaps not on disk yet
}

// Send puts messages into the queue and returns when they are on disk, in one
// commit. Each entry has a result of its own, in order. A duplicate on a FIFO
// queue is answered like the message it is a duplicate of.
func (q *Queue) Send(ctx context.Context, entries []SendEntry) []SendResult {
	results := make([]SendResult, len(entries))
	q.mu.Lock()
	set := q.set
	q.mu.Unlock()
	ops := make([]sending, 0, len(entries))
	for i := range entries {
		s, err := q.prepare(&entries[i], &set)
		if err != nil {
			results[i].Err = err
			continue
		}
		s.at = i
		ops = append(ops, s)
	}
	if len(ops) > 0 {
		q.send(ops, results)
	}
	return results
}

// prepare validates an entry and reads it.
func (q *Queue) prepare(e *SendEntry, set *settings) (sending, error) {
	if err := q.validate(e, set); err != nil {
		return sending{}, err
	}
	s := sending{content: content{
		id: newID(), sender: q.b.o.Account, group: e.GroupID,
		attributes: e.Attributes, system: e.SystemAttributes, body: e.Body,
	}, delay: set.delay}
	if q.fifo {
		s.content.dedup = dedupID(e)
		s.key = set.dedupKey(&s.content)
	} else if e.DelaySeconds != nil {
		s.delay = time.Duration(*e.DelaySeconds) * time.Second
	}
	return s, nil
}

// send stores what was prepared and lets it be received.
func (q *Queue) send(ops []sending, results []SendResult) {
	err := q.b.reserve()
	if err == nil {
		err = q.begin()
	}
	if err != nil {
		fail(ops, results, err)
		return
	}
	var c *commit
	if q.fifo {
		c = &commit{done: make(chan struct{})}
	}
	now := q.b.clock.moment()
	fresh := q.enlistAll(ops, now, c, results)
	expired := q.dedup.expire(now.at, 2*len(ops))
	q.mu.Unlock()

	if len(fresh) > 0 {
		err = q.store(fresh, now, expired)
	}

	q.mu.Lock()
	q.admitAll(fresh, err)
	q.end()
	q.mu.Unlock()
	if c != nil {
		c.err = err
		close(c.done)
	}
	if err != nil {
		fail(fresh, results, err)
	}
	awaitFirsts(ops, results)
}

// enlistAll gives each message its number and its place in the index, answers
// the duplicates, and returns the others. With mu held.
func (q *Queue) enlistAll(ops []sending, now moment, c *commit, results []SendResult) []sending {
	fresh := ops
	if q.fifo {
		fresh = make([]sending, 0, len(ops))
	}
	for i := range ops {
		s := &ops[i]
		s.content.sent, s.sent = now.wallMs, now.at
		if q.fifo {
			if e, ok := q.dedup.find(s.key, now.at); ok {
				s.first = e.first
				results[s.at] = SendResult{ID: formatID(e.id), SequenceNumber: formatSequence(e.seq)}
				continue
			}
		}
		q.enlist(s)
		results[s.at].ID = formatID(s.content.id)
		if q.fifo {
			q.dedup.add(s.key, dedupEntry{until: now.at.add(dedupWindow), seq: s.seq, id: s.content.id, first: c})
			results[s.at].SequenceNumber = formatSequence(s.seq)
			fresh = append(fresh, *s)
		}
	}
	return fresh
}

// enlist gives s its number and its place in the index, with mu held.
func (q *Queue) enlist(s *sending) {
	s.seq = q.b.seq.Add(1)
	s.size = uint32(s.content.size())
	s.ref = q.index.add(s.seq, s.sent, s.content.group)
	q.index.at(s.ref).size = s.size
}

// admitAll lets stored messages be received, or takes out what could not be
// stored. With mu held.
func (q *Queue) admitAll(fresh []sending, err error) {
	now := q.b.clock.moment()
	for i := range fresh {
		s := &fresh[i]
		if q.fifo {
			q.dedup.settle(s.key, s.seq, err == nil)
		}
		if err != nil {
			q.index.remove(s.ref)
			continue
		}
		q.index.admit(s.ref, now.at, now.at.add(s.delay))
	}
	q.serve(now)
	q.armSweep()
}

// store writes messages in one durable commit.
func (q *Queue) store(ops []sending, now moment, expired []dedupKey) error {
	size := len(expired) * 32
	for i := range ops {
		size += ops[i].content.size() + 240
	}
	batch := q.b.db.Pebble().NewBatchWithSize(size)
	defer batch.Close()
	for i := range ops {
		s := &ops[i]
		q.putNew(batch, s, now.wallMs, now.wallMs+s.delay.Milliseconds())
		if q.fifo {
			putDedup(batch, q.id, s.key, dedupEntry{seq: s.seq, id: s.content.id}, now.wallMs+dedupWindow.Milliseconds())
		}
	}
	for _, k := range expired {
		_ = batch.Delete(storedDedupKey(q.id, k), nil)
	}
	return q.b.db.Commit(batch)
}

// awaitFirsts answers duplicates only when what they duplicate is on disk.
func awaitFirsts(ops []sending, results []SendResult) {
	for i := range ops {
		c := ops[i].first
		if c == nil {
			continue
		}
		<-c.done
		if c.err != nil {
			results[ops[i].at] = SendResult{Err: storeError(c.err)}
		}
	}
}

func fail(ops []sending, results []SendResult, err error) {
	for i := range ops {
		results[ops[i].at] = SendResult{Err: storeError(err)}
	}
}

// newID is a random (version 4) UUID.
func newID() (id [16]byte) {
	binary.BigEndian.PutUint64(id[:8], rand.Uint64())
	binary.BigEndian.PutUint64(id[8:], rand.Uint64())
	id[6] = id[6]&0x0f | 0x40
	id[8] = id[8]&0x3f | 0x80
	return id
}

func formatID(id [16]byte) string {
	var b [36]byte
	hex.Encode(b[0:8], id[0:4])
	hex.Encode(b[9:13], id[4:6])
	hex.Encode(b[14:18], id[6:8])
	hex.Encode(b[19:23], id[8:10])
	hex.Encode(b[24:], id[10:])
	b[8], b[13], b[18], b[23] = '-', '-', '-', '-'
	return string(b[:])
}

func formatSequence(seq uint64) string { return fmt.Sprintf("%020d", seq) }
