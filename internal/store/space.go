package store

import (
	"fmt"
	"log/slog"
	"math"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// space keeps the database off a full disk, which it would not survive: a log
// that can't be written ends the process.
//
//   - What adds data is refused with ErrFull while less than low is free, until
//     there is more than high again.
//   - Compactions, which write before they remove, get no further file while
//     less than a quarter of low is free.
//   - A file of ballast is held against others who fill the disk: at the first
//     write that finds no space it is removed and the write done again.
type space struct {
	fs      vfs.FS // without the watch of this one
	dir     string
	ballast string
	log     *slog.Logger

	low, high, ballastSize uint64

	full    atomic.Bool
	checked atomic.Int64 // when, ns since start
	written atomic.Int64 // bytes since
	start   time.Time

	mu sync.Mutex // one look at a time
}

const (
	spaceEvery = 250 * time.Millisecond // at most, while data is written
	spaceBytes = 1 << 20                // look again after as many bytes
	maxLow     = 256 << 20
	maxBallast = 32 << 20
)

// newSpace measures the disk. A file system that can't tell its size is not watched.
func newSpace(fs vfs.FS, dir string, log *slog.Logger) *space {
	s := &space{fs: fs, dir: dir, ballast: fs.PathJoin(dir, "ballast"), log: log, start: time.Now()}
	u, err := fs.GetDiskUsage(dir)
	if err != nil || u.TotalBytes == 0 {
		s.checked.Store(math.MaxInt64)
		return s
	}
	s.low = min(u.TotalBytes/5, maxLow)
	s.high = s.low + s.low/4
	s.ballastSize = min(u.TotalBytes/20, maxBallast)
	s.look()
	return s
}

// small tells whether the disk is so small that the memtables must be, too.
func (s *space) small() bool { return s.low > 0 && s.low < maxLow }

// admit says whether n more bytes may be added.
func (s *space) admit(n int) error {
	written := s.written.Add(int64(n))
	if since := int64(time.Since(s.start)) - s.checked.Load(); since > int64(spaceEvery) || written > spaceBytes && since > 0 {
		s.look()
	}
	if s.full.Load() {
		return ErrFull
	}
	return nil
}

// look measures what is free.
func (s *space) look() {
	if !s.mu.TryLock() {
		return
	}
	defer s.mu.Unlock()
	s.checked.Store(int64(time.Since(s.start)))
	s.written.Store(0)
	u, err := s.fs.GetDiskUsage(s.dir)
	if err != nil {
		return
	}
	switch was := s.full.Load(); {
	case !was && u.AvailBytes < s.low:
		s.full.Store(true)
		s.log.Warn("disk nearly full, new data is refused", "dir", s.dir, "freeBytes", u.AvailBytes, "wantedBytes", s.high)
	case was && u.AvailBytes > s.high:
		s.full.Store(false)
		s.log.Info("disk has space again", "dir", s.dir, "freeBytes", u.AvailBytes)
	}
	if u.AvailBytes > s.high+s.ballastSize {
		s.holdBallast()
	}
}

// holdBallast makes the ballast unless it is there.
func (s *space) holdBallast() {
	if _, err := s.fs.Stat(s.ballast); err == nil {
		return
	}
	f, err := s.fs.Create(s.ballast, "queuemill-ballast")
	if err == nil {
		err = f.Preallocate(0, int64(s.ballastSize))
		_ = f.Close()
	}
	if err != nil {
		s.log.Warn("can't hold ballast", "file", s.ballast, "error", err)
		_ = s.fs.Remove(s.ballast)
	}
}

// overboard is called when a write found no space, before it is done again.
func (s *space) overboard() {
	was := s.full.Swap(true)
	if err := s.fs.Remove(s.ballast); err == nil || !was {
		s.log.Error("disk full, new data is refused", "dir", s.dir, "ballastFreed", err == nil)
	}
}

// mayCompact is asked before a compaction makes a file.
func (s *space) mayCompact() error {
	u, err := s.fs.GetDiskUsage(s.dir)
	if err != nil || u.AvailBytes >= s.low/4 {
		return nil
	}
	// The database tries again at once: this is its pause.
	time.Sleep(time.Second)
	return fmt.Errorf("%d bytes free, compactions wait: %w", u.AvailBytes, syscall.ENOSPC)
}

// compactFS asks space before a compaction makes a file.
type compactFS struct {
	vfs.FS
	space *space
}

func (fs compactFS) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	if c == "pebble-compaction" || c == "pebble-blob-file-rewrite" {
		if err := fs.space.mayCompact(); err != nil {
			return nil, err
		}
	}
	return fs.FS.Create(name, c)
}

// Unwrap returns the file system below.
func (fs compactFS) Unwrap() vfs.FS { return fs.FS }
