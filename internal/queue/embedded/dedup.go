package embedded

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/cockroachdb/pebble/v2"
)

// dedupWindow is how long a FIFO queue knows a deduplication ID, whatever has
// become of the message. Source: "Exactly-once processing" in the developer guide.
const dedupWindow = 5 * time.Minute

// dedupKey is a hash of the deduplication ID and, where that is the scope, of
// its message group.
type dedupKey [16]byte

// dedupEntry is a message that was sent within the window.
type dedupEntry struct {
	until instant
	seq   uint64
	id    [16]byte
	first *commit // not nil: it is not on disk yet
}

// commit is a durable write that others wait for.
type commit struct {
	done chan struct{} // closed when err is set
	err  error
}

// dedupTable has the deduplication IDs of a FIFO queue. Those whose time is over
// go at the next send.
type dedupTable struct {
	entries map[dedupKey]dedupEntry
	order   []dedupTime // the oldest first
}

type dedupTime struct {
	key   dedupKey
	until instant
}

// dedupID is what the message is deduplicated by.
func dedupID(e *SendEntry) string {
	if e.DeduplicationID != "" {
		return e.DeduplicationID
	}
	sum := sha256.Sum256([]byte(e.Body))
	return hex.EncodeToString(sum[:])
}

func (s *settings) dedupKey(c *content) (k dedupKey) {
	h := sha256.New()
	if s.dedupPerGroup {
		h.Write([]byte(c.group))
	}
	h.Write([]byte{0})
	h.Write([]byte(c.dedup))
	copy(k[:], h.Sum(nil))
	return k
}

// find is the message that a new one with this key would be a duplicate of.
func (d *dedupTable) find(k dedupKey, now instant) (dedupEntry, bool) {
	e, ok := d.entries[k]
	return e, ok && e.until > now
}

func (d *dedupTable) add(k dedupKey, e dedupEntry) {
	if d.entries == nil {
		d.entries = map[dedupKey]dedupEntry{}
	}
	d.entries[k] = e
	d.order = append(d.order, dedupTime{k, e.until})
}

// settle ends the wait for an entry's commit: it stays, or goes with its message.
func (d *dedupTable) settle(k dedupKey, seq uint64, ok bool) {
	e, there := d.entries[k]
	switch {
	case !there || e.seq != seq:
	case ok:
		e.first = nil
		d.entries[k] = e
	default:
		delete(d.entries, k)
	}
}

// expire forgets up to n entries whose time is over and returns their keys.
func (d *dedupTable) expire(now instant, n int) []dedupKey {
	i := 0
	var gone []dedupKey
	for ; i < len(d.order) && d.order[i].until <= now && len(gone) < n; i++ {
		k := d.order[i].key
		if e, ok := d.entries[k]; ok && e.until <= now {
			delete(d.entries, k)
			gone = append(gone, k)
		}
	}
	d.order = d.order[i:]
	return gone
}

func storedDedupKey(queue uint32, k dedupKey) []byte { return append(key(kindDedup, queue), k[:]...) }

const dedupSize = 1 + 8 + 8 + 16

func putDedup(b *pebble.Batch, queue uint32, k dedupKey, e dedupEntry, untilMs int64) {
	v := make([]byte, 0, dedupSize)
	v = append(v, codecVersion)
	v = binary.BigEndian.AppendUint64(v, uint64(untilMs))
	v = binary.BigEndian.AppendUint64(v, e.seq)
	v = append(v, e.id[:]...)
	_ = b.Set(storedDedupKey(queue, k), v, nil)
}

// loadDedup reads the entries of an earlier run and drops the old ones.
func (q *Queue) loadDedup(now moment) error {
	from, to := span(kindDedup, q.id)
	batch := q.b.db.Pebble().NewBatch()
	defer batch.Close()
	err := q.b.scan(from, to, func(k, v []byte) error {
		if len(k) != 22 || len(v) != dedupSize || v[0] != codecVersion {
			return fmt.Errorf("deduplication entry: %w", errDamaged)
		}
		e := dedupEntry{
			// A clock that was set back can't stretch the window.
			until: min(now.fromWall(int64(binary.BigEndian.Uint64(v[1:]))), now.at.add(dedupWindow)),
			seq:   binary.BigEndian.Uint64(v[9:]),
		}
		copy(e.id[:], v[17:])
		if e.until <= now.at {
			_ = batch.Delete(k, nil)
			return nil
		}
		q.dedup.add(dedupKey(k[6:]), e)
		return nil
	})
	if err != nil || batch.Empty() {
		return err
	}
	return q.b.db.CommitNoSync(batch)
}
