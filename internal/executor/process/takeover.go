package process

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/queuemill/queuemill/api/v1alpha1"
	"github.com/queuemill/queuemill/internal/executor/process/supervisor"
)

const (
	sweepLimit = 10 * time.Second // for killed processes to be gone
	lockPause  = 10 * time.Millisecond

	// A supervisor that dies soon after its start is started again after a wait
	// that doubles, and back to the first once one has lived for long enough.
	firstRestartPause = 100 * time.Millisecond
	lastRestartPause  = 10 * time.Second
	longLife          = time.Minute
)

// takeOver starts a supervisor where an earlier one is gone or going, and with
// it what is unfinished.
func (e *Executor) takeOver(ctx context.Context, first bool) error {
	lock, err := e.takeLock(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = lock.Close() }() // the supervisor has its own
	if e.marker, err = markerOf(lock); err != nil {
		return err
	}
	swept, err := supervisor.Sweep(e.marker, sweepLimit)
	if err != nil {
		return fmt.Errorf("end what an earlier run left: %w", err)
	}
	if swept > 0 {
		e.log.Warn("processes of an earlier run were still there and have been killed", "count", swept)
	}
	history, err := supervisor.ReadHistory(e.dir)
	if err != nil {
		return err
	}
	if err := e.reconcile(history, first); err != nil {
		return err
	}
	if first {
		e.removeLeftovers()
	}
	link, err := e.launchSupervisor(lock, history.NextGeneration())
	if err != nil {
		return err
	}
	if err := supervisor.RemoveHistory(e.dir, history.NextGeneration()); err != nil {
		return errors.Join(fmt.Errorf("remove earlier journals: %w", err), link.Close())
	}
	e.resume(link)
	return nil
}

// takeLock takes the lock that a supervisor holds until its end.
func (e *Executor) takeLock(ctx context.Context) (*os.File, error) {
	path := filepath.Join(e.dir, "lock")
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock job directory: %w", err)
	}
	tick := time.NewTicker(lockPause)
	defer tick.Stop()
	for told := false; ; told = true {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return f, nil
		}
		if err != unix.EWOULDBLOCK && err != unix.EINTR {
			return nil, errors.Join(fmt.Errorf("lock job directory: %s: %w", path, err), f.Close())
		}
		if !told {
			e.log.Info("waiting for the supervisor of an earlier run to end its jobs")
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, errors.Join(fmt.Errorf("lock job directory: %s is held by the supervisor of an earlier run: %w", path, ctx.Err()), f.Close())
		}
	}
}

// markerOf names the directory in the environment of its jobs. It is kept in
// the lock's file; that file's place on the disk is part of it, so that a copy
// of the directory has another one and does not sweep the original's jobs.
func markerOf(lock *os.File) (string, error) {
	data, err := io.ReadAll(io.NewSectionReader(lock, 0, 64))
	if err != nil {
		return "", fmt.Errorf("read %s: %w", lock.Name(), err)
	}
	id := strings.TrimSpace(string(data))
	if len(id) != 16 {
		id = hex.EncodeToString([]byte(rand.Text()))[:16]
		if _, err := lock.WriteAt([]byte(id+"\n"), 0); err != nil {
			return "", fmt.Errorf("write %s: %w", lock.Name(), err)
		}
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(lock.Fd()), &st); err != nil {
		return "", fmt.Errorf("stat %s: %w", lock.Name(), err)
	}
	return fmt.Sprintf("%s-%x-%x", id, st.Dev, st.Ino), nil
}

func (e *Executor) launchSupervisor(lock *os.File, generation uint64) (*supervisor.Link, error) {
	stderr, err := os.Create(e.supervisorLog())
	if err != nil {
		return nil, fmt.Errorf("start the supervisor: %w", err)
	}
	defer func() { _ = stderr.Close() }() // the supervisor has its own
	return supervisor.Launch(supervisor.Config{Dir: e.dir, Marker: e.marker, Generation: generation}, lock, nil, stderr)
}

func (e *Executor) supervisorLog() string { return filepath.Join(e.dir, "supervisor.log") }

// reconcile ends what e.running holds, none of which runs any more: as the
// journal says, or as interrupted, or, what was never started, not at all. Unless
// it is the first look, what was interrupted lost its supervisor under a living
// controller.
func (e *Executor) reconcile(h *supervisor.History, first bool) error {
	e.writing.Lock()
	defer e.writing.Unlock()
	e.mu.Lock()
	b := e.store.NewBatch()
	for id, j := range e.running {
		started, wasStarted := h.Started[id]
		exit, ended := h.Exits[id]
		switch {
		case ended:
			e.end(j, &exit, b)
		case wasStarted || !h.Complete:
			if !first {
				j.saved.Orphaned++
			}
			e.end(j, interrupted(id, started, supervisor.LogSize(e.dir, id)), b)
		case j.saved.Deleting:
			e.removed(j, b)
		}
		delete(e.running, id)
		e.janitor.put(j.scratch)
		j.scratch = nil
	}
	close(e.changed)
	e.changed = make(chan struct{})
	e.mu.Unlock()
	if b.Empty() {
		b.Cancel()
		return nil
	}
	return b.CommitFreeing()
}

// resume takes a new supervisor into use: every Queued attempt begins when it
// is due.
func (e *Executor) resume(link *supervisor.Link) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.link = link
	if e.closing {
		link.Hangup()
	}
	for _, j := range e.jobs {
		if _, runs := e.running[j.runID()]; !runs && !j.fresh {
			e.schedule(j)
		}
	}
}

// serve handles what the supervisor tells, and starts another when it is gone,
// until Close.
func (e *Executor) serve() {
	var events []supervisor.Event
	pause := firstRestartPause
	born := time.Now()
	for {
		var err error
		events, err = e.link.Receive(events[:0])
		e.handle(events)
		clear(events)
		if err == nil {
			continue
		}
		if time.Since(born) > longLife {
			pause = firstRestartPause
		}
		if !e.restart(err, &pause) {
			return
		}
		born = time.Now()
	}
}

// restart replaces a supervisor that is gone. False: Close wanted that.
func (e *Executor) restart(why error, pause *time.Duration) bool {
	e.mu.Lock()
	link, closing := e.link, e.closing
	e.link = nil
	e.mu.Unlock()
	err := link.Close()
	if closing {
		return false
	}
	e.log.Error("the supervisor of the jobs is gone, and with it all that ran; starting another",
		"error", errors.Join(err, why), "said", e.lastWords())
	e.metrics.restarts.Inc()
	for {
		select {
		case <-e.closed:
			return false
		case <-time.After(*pause):
		}
		*pause = min(*pause*2, lastRestartPause)
		ctx, cancel := context.WithTimeout(context.Background(), sweepLimit)
		err := e.takeOver(ctx, false)
		cancel()
		if err == nil {
			return true
		}
		e.log.Error("the supervisor can't be started; tried again", "error", err)
	}
}

// lastWords is the end of what the supervisor wrote to its stderr.
func (e *Executor) lastWords() string {
	data, err := os.ReadFile(e.supervisorLog())
	if err != nil {
		return ""
	}
	return string(data[max(0, len(data)-4096):])
}

// loadTemplates reads the templates that unfinished jobs need and removes the
// others.
func (e *Executor) loadTemplates() error {
	needed := make(map[string]bool)
	for _, j := range e.jobs {
		if !j.saved.State.Finished() {
			needed[j.saved.Template] = true
		}
	}
	b := e.store.NewBatch()
	err := e.store.Templates(func(key string, encoded []byte) error {
		if !needed[key] {
			b.DeleteTemplate(key)
			return nil
		}
		var spec v1alpha1.ProcessTemplate
		if err := json.Unmarshal(encoded, &spec); err != nil {
			return fmt.Errorf("read template %s: %w", key, err)
		}
		t, err := newTemplate(&spec)
		if err != nil {
			return fmt.Errorf("read template %s: %w", key, err)
		}
		t.key, t.saved = key, true
		e.templates[key] = t
		return nil
	})
	if err != nil || b.Empty() {
		b.Cancel()
		return err
	}
	return b.CommitNoSync()
}

// claim counts every attempt that an earlier run left unended as running, for
// reconcile to look after.
func (e *Executor) claim() {
	b := e.store.NewBatch()
	for _, j := range e.jobs {
		switch {
		case j.saved.State.Finished():
		case !j.saved.AttemptEnded():
			e.running[j.runID()] = j
		case j.saved.Deleting:
			e.removed(j, b)
		}
	}
	e.flush(b, b.Names())
}

// removeLeftovers removes scratch directories, and the output of records that
// are gone. Nothing runs.
func (e *Executor) removeLeftovers() {
	known := make(map[string]bool, len(e.jobs))
	for _, j := range e.jobs {
		known[j.saved.UID] = true
	}
	for _, sub := range []string{"scratch", "logs"} {
		entries, err := os.ReadDir(filepath.Join(e.dir, sub))
		if err != nil {
			e.log.Error("leftovers can't be looked for", "error", err)
		}
		for _, entry := range entries {
			uid, _, _ := strings.Cut(entry.Name(), "-")
			if sub == "scratch" && uid != e.scratches.session || sub == "logs" && !known[uid] {
				e.janitor.remove(filepath.Join(e.dir, sub, entry.Name()))
			}
		}
	}
}
