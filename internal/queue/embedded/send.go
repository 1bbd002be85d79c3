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
	at      int // place in the results
}

// Send puts messages into the queue and returns when they are on disk, in one
// commit. Each entry has a result of its own, in order.
func (q *Queue) Send(ctx context.Context, entries []SendEntry) []SendResult {
	results := make([]SendResult, len(entries))
	q.mu.Lock()
	set := q.set
	q.mu.Unlock()
	ops := make([]sending, 0, len(entries))
	sentMs := time.Now().UnixMilli()
	for i := range entries {
		s, err := q.prepare(&entries[i], &set)
		if err != nil {
			results[i].Err = err
			continue
		}
		s.content.sent, s.at = sentMs, i
		ops = append(ops, s)
	}
	if len(ops) > 0 {
		q.send(ops, sentMs, results)
	}
	return results
}

// prepare validates an entry and reads it.
func (q *Queue) prepare(e *SendEntry, set *settings) (sending, error) {
	if err := q.validate(e, set); err != nil {
		return sending{}, err
	}
	s := sending{content: content{
		id: newID(), sender: q.b.o.Account, group: e.GroupID, dedup: e.DeduplicationID,
		attributes: e.Attributes, system: e.SystemAttributes, body: e.Body,
	}, delay: set.delay}
	if e.DelaySeconds != nil && !q.fifo {
		s.delay = time.Duration(*e.DelaySeconds) * time.Second
	}
	return s, nil
}

// send stores what was prepared and lets it be received.
func (q *Queue) send(ops []sending, sentMs int64, results []SendResult) {
	err := q.b.reserve()
	if err == nil {
		err = q.begin()
	}
	if err != nil {
		fail(ops, results, err)
		return
	}
	now := q.b.clock.now()
	for i := range ops {
		ops[i].sent = now
		q.enlist(&ops[i])
	}
	q.mu.Unlock()

	err = q.store(ops, sentMs)

	q.mu.Lock()
	defer q.mu.Unlock()
	defer q.end()
	if err != nil {
		for i := range ops {
			q.index.remove(ops[i].ref)
		}
		fail(ops, results, err)
		return
	}
	now = q.b.clock.now()
	for i := range ops {
		s := &ops[i]
		q.index.admit(s.ref, now, now.add(s.delay))
		results[s.at].ID = formatID(s.content.id)
		if q.fifo {
			results[s.at].SequenceNumber = formatSequence(s.seq)
		}
	}
	q.serve(now)
}

// enlist gives s its number and its place in the index, with mu held.
func (q *Queue) enlist(s *sending) {
	s.seq = q.b.seq.Add(1)
	s.ref = q.index.add(s.seq, s.sent, s.content.group)
}

// store writes messages in one durable commit.
func (q *Queue) store(ops []sending, sentMs int64) error {
	size := 0
	for i := range ops {
		size += ops[i].content.size() + 160
	}
	batch := q.b.db.Pebble().NewBatchWithSize(size)
	defer batch.Close()
	for i := range ops {
		s := &ops[i]
		q.putNew(batch, s, sentMs, sentMs+s.delay.Milliseconds())
	}
	return q.b.db.Commit(batch)
}

func fail(ops []sending, results []SendResult, err error) {
	for i := range ops {
		results[ops[i].at].Err = storeError(err)
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
