package supervisor

import (
	"encoding/binary"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// How output is kept: the first half of the limit as it came, then the second
// half as a ring that always holds the latest. Once the ring is full a trailer
// behind it says so:
//
//	0        limit/2          limit      limit+24
//	│ head   │ ring           │ trailer  │
//
// The trailer is "QMLOGCUT", the limit and the bytes written in all, both in
// eight bytes of little endian. A log within the limit has none.
const (
	trailerMagic = "QMLOGCUT"
	trailerSize  = int64(len(trailerMagic)) + 16
)

// LogPath is where the output of a run is, if it wrote any.
func LogPath(dir string, id RunID) string { return filepath.Join(dir, "logs", id.String()+".log") }

// ring tells where the byte at offset (of all that was written) is in the file,
// and how many bytes from there on lie together.
func ring(offset, limit int64) (at, run int64) {
	head := limit / 2
	if offset < head {
		return offset, head - offset
	}
	size := limit - head
	in := (offset - head) % size
	return head + in, size - in
}

// output is the log of one run. Its file is made with the first byte.
type output struct {
	path  string
	limit int64
	fd    int // -1: not open
	total int64
	err   error // the first of the writes; nothing is kept after it
}

func (o *output) write(p []byte) {
	total := o.total
	o.total += int64(len(p))
	if o.err != nil || o.limit <= 0 {
		return
	}
	if o.fd < 0 {
		if o.fd, o.err = unix.Open(o.path, unix.O_CREAT|unix.O_WRONLY|unix.O_TRUNC|unix.O_CLOEXEC, 0o600); o.err != nil {
			o.fd = -1
			return
		}
	}
	for len(p) > 0 {
		at, run := ring(total, o.limit)
		n, err := unix.Pwrite(o.fd, p[:min(int64(len(p)), run)], at)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			o.err = err
			return
		}
		p, total = p[n:], total+int64(n)
	}
	if o.total > o.limit {
		b := append(make([]byte, 0, trailerSize), trailerMagic...)
		b = binary.LittleEndian.AppendUint64(b, uint64(o.limit))
		b = binary.LittleEndian.AppendUint64(b, uint64(o.total))
		_, o.err = unix.Pwrite(o.fd, b, o.limit)
	}
}

func (o *output) close() {
	if o.fd >= 0 {
		_ = unix.Close(o.fd) // nothing is buffered in it
		o.fd = -1
	}
}
