package embedded

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math/bits"
	"slices"

	"github.com/queuemill/queuemill/internal/message"
)

// What is stored of a message is two values: the state, small and rewritten at
// each receive, and the content, written once. So a restart reads the states
// alone. Both begin with a version byte; golden tests freeze them.
const codecVersion = 1

// record is the state of a message as stored. Times are Unix milliseconds.
type record struct {
	sent     int64
	visible  int64 // from when on it can be received
	received int64 // the latest receive; 0: never
	first    int64 // the first receive; 0: never
	receives uint32
	nonce    uint32
	size     uint32 // of the content as stored, bytes
	group    string
}

const recordFixed = 1 + 4*8 + 3*4

func (r record) append(b []byte) []byte {
	b = append(b, codecVersion)
	for _, v := range [...]int64{r.sent, r.visible, r.received, r.first} {
		b = binary.BigEndian.AppendUint64(b, uint64(v))
	}
	b = binary.BigEndian.AppendUint32(b, r.receives)
	b = binary.BigEndian.AppendUint32(b, r.nonce)
	b = binary.BigEndian.AppendUint32(b, r.size)
	return append(b, r.group...)
}

var errDamaged = errors.New("damaged value")

// decodeRecord reads a record; group shares b's memory only as a copy.
func decodeRecord(b []byte) (r record, group []byte, err error) {
	if len(b) < recordFixed || b[0] != codecVersion {
		return r, nil, fmt.Errorf("message state of %d bytes: %w", len(b), errDamaged)
	}
	i64 := func(i int) int64 { return int64(binary.BigEndian.Uint64(b[1+8*i:])) }
	r = record{
		sent: i64(0), visible: i64(1), received: i64(2), first: i64(3),
		receives: binary.BigEndian.Uint32(b[33:]), nonce: binary.BigEndian.Uint32(b[37:]), size: binary.BigEndian.Uint32(b[41:]),
	}
	return r, b[recordFixed:], nil
}

// content is what a message carries.
type content struct {
	id         [16]byte
	sent       int64 // Unix ms
	sender     string
	group      string
	dedup      string
	source     string // ARN of the queue it was moved here from as a dead letter
	attributes map[string]message.Attribute
	system     map[string]message.Attribute
	body       string
}

// size is the length of what append appends.
func (c *content) size() int {
	n := 1 + len(c.id) + 8 + len(c.body)
	for _, s := range [...]string{c.sender, c.group, c.dedup, c.source} {
		n += stringSize(len(s))
	}
	for _, m := range [...]map[string]message.Attribute{c.attributes, c.system} {
		n += uvarintSize(len(m))
		for k, a := range m {
			n += stringSize(len(k)) + stringSize(len(a.DataType)) + stringSize(len(a.StringValue)) + stringSize(len(a.BinaryValue))
		}
	}
	return n
}

func stringSize(n int) int { return uvarintSize(n) + n }

func uvarintSize(n int) int { return (bits.Len(uint(n)|1) + 6) / 7 }

func (c *content) append(b []byte) []byte {
	b = append(b, codecVersion)
	b = append(b, c.id[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(c.sent))
	b = appendString(b, c.sender)
	b = appendString(b, c.group)
	b = appendString(b, c.dedup)
	b = appendString(b, c.source)
	b = appendAttributes(b, c.attributes)
	b = appendAttributes(b, c.system)
	return append(b, c.body...)
}

func appendString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func appendAttributes(b []byte, m map[string]message.Attribute) []byte {
	b = binary.AppendUvarint(b, uint64(len(m)))
	if len(m) == 0 {
		return b
	}
	for _, k := range slices.Sorted(maps.Keys(m)) {
		a := m[k]
		b = appendString(b, k)
		b = appendString(b, a.DataType)
		b = appendString(b, a.StringValue)
		b = binary.AppendUvarint(b, uint64(len(a.BinaryValue)))
		b = append(b, a.BinaryValue...)
	}
	return b
}

// decodeContent reads a content; it keeps nothing of b.
func decodeContent(b []byte) (*content, error) {
	if len(b) < 25 || b[0] != codecVersion {
		return nil, fmt.Errorf("message content of %d bytes: %w", len(b), errDamaged)
	}
	c := &content{sent: int64(binary.BigEndian.Uint64(b[17:]))}
	copy(c.id[:], b[1:17])
	d := decoder{rest: b[25:]}
	c.sender = d.string()
	c.group = d.string()
	c.dedup = d.string()
	c.source = d.string()
	c.attributes = d.attributes()
	c.system = d.attributes()
	if d.failed {
		return nil, fmt.Errorf("message content of %d bytes: %w", len(b), errDamaged)
	}
	c.body = string(d.rest)
	return c, nil
}

type decoder struct {
	rest   []byte
	failed bool
}

func (d *decoder) count() int {
	n, w := binary.Uvarint(d.rest)
	if w <= 0 || n > uint64(len(d.rest)-w) {
		d.failed, d.rest = true, nil
		return 0
	}
	d.rest = d.rest[w:]
	return int(n)
}

func (d *decoder) bytes() []byte {
	n := d.count()
	v := d.rest[:n]
	d.rest = d.rest[n:]
	return v
}

func (d *decoder) string() string { return string(d.bytes()) }

func (d *decoder) attributes() map[string]message.Attribute {
	n := d.count()
	if n == 0 {
		return nil
	}
	m := make(map[string]message.Attribute, min(n, 16))
	for range n {
		if d.failed {
			return nil
		}
		k := d.string()
		a := message.Attribute{DataType: d.string(), StringValue: d.string()}
		if v := d.bytes(); len(v) > 0 {
			a.BinaryValue = slices.Clone(v)
		}
		m[k] = a
	}
	return m
}
