package supervisor

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// LogReader reads a run's output in the order in which it was written, also
// while it is being written. A run without output has an empty one.
type LogReader struct {
	path   string
	file   *os.File // nil: not there yet
	offset int64    // of all that was written
	note   []byte   // what is to be read before anything else
}

// OpenLog opens the output of a run.
func OpenLog(dir string, id RunID) *LogReader { return &LogReader{path: LogPath(dir, id)} }

// LogSize is how many bytes a run wrote, as far as its file tells.
func LogSize(dir string, id RunID) int64 {
	r := OpenLog(dir, id)
	total, _, err := r.extent()
	if err = errors.Join(err, r.Close()); err != nil {
		return 0
	}
	return total
}

// Close closes the file.
func (r *LogReader) Close() error {
	if r.file == nil {
		return nil
	}
	return r.file.Close()
}

// extent is how many bytes were written and how many of them are kept at most.
func (r *LogReader) extent() (total, limit int64, err error) {
	if r.file == nil {
		f, err := os.Open(r.path)
		if errors.Is(err, fs.ErrNotExist) {
			return 0, 0, nil
		}
		if err != nil {
			return 0, 0, fmt.Errorf("read output: %w", err)
		}
		r.file = f
	}
	info, err := r.file.Stat()
	if err != nil {
		return 0, 0, fmt.Errorf("read output: %w", err)
	}
	size := info.Size()
	if size <= trailerSize {
		return size, size, nil
	}
	var b [trailerSize]byte
	if _, err := r.file.ReadAt(b[:], size-trailerSize); err != nil {
		return 0, 0, fmt.Errorf("read output: %w", err)
	}
	limit = int64(binary.LittleEndian.Uint64(b[len(trailerMagic):]))
	total = int64(binary.LittleEndian.Uint64(b[len(trailerMagic)+8:]))
	if string(b[:len(trailerMagic)]) != trailerMagic || limit != size-trailerSize || total <= limit {
		return size, size, nil
	}
	return total, limit, nil
}

// Read reads on. io.EOF: that is all for now.
func (r *LogReader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for {
		if len(r.note) > 0 {
			n := copy(p, r.note)
			r.note = r.note[n:]
			return n, nil
		}
		total, limit, err := r.extent()
		if err != nil {
			return 0, err
		}
		if r.offset >= total {
			return 0, io.EOF
		}
		if r.skip(total, limit) {
			continue
		}
		at, run := r.offset, total-r.offset
		if total > limit {
			at, run = ring(r.offset, limit)
		}
		n, err := r.file.ReadAt(p[:min(int64(len(p)), run, total-r.offset)], at)
		if n == 0 {
			if err == nil || err == io.EOF {
				err = io.EOF
			}
			return 0, err
		}
		// What was overwritten while it was read is left out.
		if total, limit, err = r.extent(); err != nil {
			return 0, err
		}
		if r.skip(total, limit) {
			continue
		}
		r.offset += int64(n)
		return n, nil
	}
}

// skip goes on behind what is not kept any more, and notes how much that is.
func (r *LogReader) skip(total, limit int64) bool {
	oldest := total - (limit - limit/2)
	if total <= limit || r.offset < limit/2 || r.offset >= oldest {
		return false
	}
	r.note = fmt.Appendf(nil, "\n[queuemill: %d bytes of output left out here]\n", oldest-r.offset)
	r.offset = oldest
	return true
}
