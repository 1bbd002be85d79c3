package embedded

import "github.com/cockroachdb/pebble/v2"

// putValue sets key to what fill appends, which is at most size bytes, without
// a copy in between.
func putValue(b *pebble.Batch, key []byte, size int, fill func([]byte) []byte) {
	op := b.SetDeferred(len(key), size)
	copy(op.Key, key)
	if v := fill(op.Value[:0]); len(v) != size {
		panic("embedded: a value has another size than announced")
	}
	_ = op.Finish()
}

// putState writes the state of a message that was received.
func (q *Queue) putState(b *pebble.Batch, now moment, m *slot, group string) {
	rec := record{
		sent: now.wall(m.sent), visible: now.wall(m.due), received: now.wall(m.received),
		first: m.first, receives: m.receives, nonce: m.nonce, size: m.size, group: group,
	}
	putValue(b, messageKey(kindState, q.id, m.seq), recordFixed+len(group), rec.append)
}

// dropMessage removes a message from the store. The size of its content, though
// only a hint, lets the store see what a removal would free.
func (q *Queue) dropMessage(b *pebble.Batch, seq uint64, size uint32) {
	_ = b.Delete(messageKey(kindState, q.id, seq), nil)
	_ = b.DeleteSized(messageKey(kindContent, q.id, seq), size, nil)
}

// putNew writes a message that was not received here yet.
func (q *Queue) putNew(b *pebble.Batch, s *sending, sentMs, visibleMs int64) {
	rec := record{sent: sentMs, visible: visibleMs, size: s.size, group: s.content.group}
	putValue(b, messageKey(kindState, q.id, s.seq), recordFixed+len(rec.group), rec.append)
	putValue(b, messageKey(kindContent, q.id, s.seq), int(s.size), s.content.append)
}
