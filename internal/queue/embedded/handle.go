package embedded

import (
	"encoding/base64"
	"encoding/binary"
	"hash/crc32"
)

// A receipt handle names one receive of one message: queue, sequence number,
// the receive's nonce, and a checksum that tells a garbled handle from an old one.
type handle struct {
	queue uint32
	seq   uint64
	nonce uint32
}

const handleSize = 4 + 8 + 4 + 4

func (h handle) String() string {
	var b [handleSize]byte
	binary.BigEndian.PutUint32(b[0:], h.queue)
	binary.BigEndian.PutUint64(b[4:], h.seq)
	binary.BigEndian.PutUint32(b[12:], h.nonce)
	binary.BigEndian.PutUint32(b[16:], crc32.ChecksumIEEE(b[:16]))
	return base64.URLEncoding.EncodeToString(b[:])
}

// parseHandle reads a handle of this queue.
func (q *Queue) parseHandle(s string) (handle, error) {
	b, err := base64.URLEncoding.DecodeString(s)
	if err != nil || len(b) != handleSize || crc32.ChecksumIEEE(b[:16]) != binary.BigEndian.Uint32(b[16:]) {
		return handle{}, errorf(CodeReceiptHandleIsInvalid, "The input receipt handle %q is not a valid receipt handle.", s)
	}
	h := handle{
		queue: binary.BigEndian.Uint32(b[0:]),
		seq:   binary.BigEndian.Uint64(b[4:]),
		nonce: binary.BigEndian.Uint32(b[12:]),
	}
	if h.queue != q.id {
		return handle{}, errorf(CodeReceiptHandleIsInvalid, "The input receipt handle %q is not a receipt handle of this queue.", s)
	}
	return h, nil
}
