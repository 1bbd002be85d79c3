package process

import (
	"errors"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/queuemill/queuemill/internal/record"
)

// janitor takes care of what attempts leave behind, in a goroutine of its own:
// there may be much of it.
type janitor struct {
	log  *slog.Logger
	wake chan struct{} // capacity 1
	done chan struct{}

	mu     sync.Mutex
	paths  []string   // to be removed
	used   []*scratch // to be given back
	closed bool
}

func newJanitor(log *slog.Logger) *janitor {
	return &janitor{log: log, wake: make(chan struct{}, 1), done: make(chan struct{})}
}

// remove asks for a file or directory to be removed; one that is not there is
// fine.
func (j *janitor) remove(path string) {
	j.mu.Lock()
	j.paths = append(j.paths, path)
	j.mu.Unlock()
	j.poke()
}

// put asks for a scratch directory to be given back; nil is none.
func (j *janitor) put(s *scratch) {
	if s == nil {
		return
	}
	j.mu.Lock()
	j.used = append(j.used, s)
	j.mu.Unlock()
	j.poke()
}

func (j *janitor) poke() {
	select {
	case j.wake <- struct{}{}:
	default:
	}
}

// close waits until all that was asked for is done.
func (j *janitor) close() {
	j.mu.Lock()
	j.closed = true
	j.mu.Unlock()
	j.poke()
	<-j.done
}

func (j *janitor) run(p *scratches) {
	defer close(j.done)
	for range j.wake {
		j.mu.Lock()
		paths, used, closed := j.paths, j.used, j.closed
		j.paths, j.used = nil, nil
		j.mu.Unlock()
		for _, s := range used {
			j.tell(p.put(s))
		}
		for _, path := range paths {
			j.tell(removePath(path))
		}
		if closed && len(paths)+len(used) == 0 {
			return
		}
		if closed {
			j.poke() // what was given back is free now, and to be removed
			p.close()
		}
	}
}

func (j *janitor) tell(err error) {
	if err != nil {
		j.log.Error("what a job left can't be removed", "error", err)
	}
}

func removePath(path string) error {
	if strings.HasSuffix(path, ".log") {
		if err := unix.Unlink(path); err != nil && !errors.Is(err, unix.ENOENT) {
			return &os.PathError{Op: "remove", Path: path, Err: err}
		}
		return nil
	}
	return removeScratch(path)
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
