package process

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/queuemill/queuemill/internal/record"
)

// janitor removes files and scratch directories in a goroutine of its own: what
// a job left behind may take long.
type janitor struct {
	log  *slog.Logger
	wake chan struct{} // capacity 1
	done chan struct{}

	mu     sync.Mutex
	paths  []string
	closed bool
}

func newJanitor(log *slog.Logger) *janitor {
	j := &janitor{log: log, wake: make(chan struct{}, 1), done: make(chan struct{})}
	go j.run()
	return j
}

// remove asks for a file or scratch directory to be removed; one that is not
// there is fine.
func (j *janitor) remove(path string) {
	j.mu.Lock()
	j.paths = append(j.paths, path)
	j.mu.Unlock()
	select {
	case j.wake <- struct{}{}:
	default:
	}
}

// close waits until all that was asked for is removed.
func (j *janitor) close() {
	j.mu.Lock()
	j.closed = true
	j.mu.Unlock()
	select {
	case j.wake <- struct{}{}:
	default:
	}
	<-j.done
}

func (j *janitor) run() {
	defer close(j.done)
	for range j.wake {
		j.mu.Lock()
		paths, closed := j.paths, j.closed
		j.paths = nil
		j.mu.Unlock()
		for _, path := range paths {
			if err := removePath(path); err != nil {
				j.log.Error("what a job left can't be removed", "error", err)
			}
		}
		if closed {
			return
		}
	}
}

func removePath(path string) error {
	if strings.HasSuffix(path, ".log") {
		if err := unix.Unlink(path); err != nil && !errors.Is(err, unix.ENOENT) {
			return &os.PathError{Op: "remove", Path: path, Err: err}
		}
		return nil
	}
	return removeScratch(filepath.Clean(path))
}

// syncDelay is how long the end of an attempt may lag a power cut.
const syncDelay = 50 * time.Millisecond

// syncer makes durable what was written without a sync, soon after. Creates
// sync all that was written before them; this is for the last ones.
type syncer struct {
	store *record.Store
	log   *slog.Logger

	mu     sync.Mutex
	timer  *time.Timer // nil: nothing to sync
	closed bool
	wg     sync.WaitGroup
}

func newSyncer(store *record.Store, log *slog.Logger) *syncer {
	return &syncer{store: store, log: log}
}

// mark tells that something was written.
func (s *syncer) mark() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.timer == nil && !s.closed {
		s.wg.Add(1)
		s.timer = time.AfterFunc(syncDelay, s.sync)
	}
}

func (s *syncer) sync() {
	defer s.wg.Done()
	s.mu.Lock()
	s.timer = nil
	s.mu.Unlock()
	if err := s.store.Sync(); err != nil {
		s.log.Error("ends of jobs can't be made durable", "error", err)
	}
}

// close syncs what is left.
func (s *syncer) close() error {
	s.mu.Lock()
	s.closed = true
	if s.timer != nil && s.timer.Stop() {
		s.wg.Done()
	}
	s.mu.Unlock()
	s.wg.Wait()
	return s.store.Sync()
}
