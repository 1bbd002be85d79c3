package embedded

import (
	"encoding/binary"

	"github.com/queuemill/queuemill/internal/store"
)

// Keys: SpaceQueue, a kind, then big-endian numbers, so that a queue's messages
// lie side by side in order of sending.
const (
	kindCounters byte = 'c' // -> next sequence number that is not reserved, next queue id
	kindQueue    byte = 'q' // queue id -> definition
	kindState    byte = 's' // queue id, seq -> record
	kindContent  byte = 't' // queue id, seq -> content
	kindDedup    byte = 'd' // queue id, hash -> dedup entry
	kindMove     byte = 'm' // task id -> move task
)

func key(kind byte, queue uint32) []byte {
	b := make([]byte, 6, 22)
	b[0], b[1] = store.SpaceQueue, kind
	binary.BigEndian.PutUint32(b[2:], queue)
	return b
}

func messageKey(kind byte, queue uint32, seq uint64) []byte {
	return binary.BigEndian.AppendUint64(key(kind, queue), seq)
}

// span is the range of all keys of a kind, those of a queue or (all) of every queue.
func span(kind byte, queue uint32) (from, to []byte) {
	return key(kind, queue), key(kind, queue+1)
}

func kindSpan(kind byte) (from, to []byte) {
	return []byte{store.SpaceQueue, kind}, []byte{store.SpaceQueue, kind + 1}
}
