package supervisor

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"time"
)

// Everything that goes over the socket or into the journal is a frame: length
// of the body and its CRC-32C, four bytes each in little endian, then the body,
// whose first byte is its kind.
const (
	frameHeader  = 8
	maxFrameBody = 64 << 20 // far above the largest environment and arguments a kernel takes
)

var (
	crcTable = crc32.MakeTable(crc32.Castagnoli)

	// errShort: the frame is not all there (yet).
	errShort = errors.New("frame is cut off")
	// errCorrupt: the bytes are no frame.
	errCorrupt = errors.New("frame is corrupt")
)

// beginFrame appends a frame's header and kind to b; endFrame fills in the
// header of the frame that began at start.
func beginFrame(b []byte, kind byte) (buf []byte, start int) {
	return append(b, 0, 0, 0, 0, 0, 0, 0, 0, kind), len(b)
}

func endFrame(b []byte, start int) []byte {
	body := b[start+frameHeader:]
	binary.LittleEndian.PutUint32(b[start:], uint32(len(body)))
	binary.LittleEndian.PutUint32(b[start+4:], crc32.Checksum(body, crcTable))
	return b
}

// nextFrame splits the first frame off b.
func nextFrame(b []byte) (kind byte, body, rest []byte, err error) {
	if len(b) < frameHeader {
		return 0, nil, b, errShort
	}
	n := int(binary.LittleEndian.Uint32(b))
	if n < 1 || n > maxFrameBody {
		return 0, nil, b, errCorrupt
	}
	if len(b) < frameHeader+n {
		return 0, nil, b, errShort
	}
	body = b[frameHeader : frameHeader+n]
	if crc32.Checksum(body, crcTable) != binary.LittleEndian.Uint32(b[4:]) {
		return 0, nil, b, errCorrupt
	}
	return body[0], body[1:], b[frameHeader+n:], nil
}

func appendString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func appendStrings(b []byte, list []string) []byte {
	b = binary.AppendUvarint(b, uint64(len(list)))
	for _, s := range list {
		b = appendString(b, s)
	}
	return b
}

// decoder takes values off a frame's body; after the first that is not there
// err is set and all further ones are zero.
type decoder struct {
	b   []byte
	err error
}

func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.fail()
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) varint() int64 {
	v, n := binary.Varint(d.b)
	if n <= 0 {
		d.fail()
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) fail() {
	d.b = nil
	if d.err == nil {
		d.err = errCorrupt
	}
}

func (d *decoder) string() string {
	n := d.uvarint()
	if n > uint64(len(d.b)) {
		d.fail()
		return ""
	}
	s := string(d.b[:n])
	d.b = d.b[n:]
	return s
}

func (d *decoder) strings() []string {
	n := d.uvarint()
	if n > uint64(len(d.b)) { // each takes a byte at least
		d.fail()
		return nil
	}
	list := make([]string, 0, n)
	for range n {
		list = append(list, d.string())
	}
	return list
}

// Times travel as nanoseconds since 1970; the zero time is 0.
func appendTime(b []byte, t time.Time) []byte {
	if t.IsZero() {
		return binary.AppendVarint(b, 0)
	}
	return binary.AppendVarint(b, t.UnixNano())
}

func (d *decoder) time() time.Time {
	n := d.varint()
	if n == 0 {
		return time.Time{}
	}
	return time.Unix(0, n)
}
