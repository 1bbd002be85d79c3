package process

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/queuemill/queuemill/internal/fleet"
)

const (
	// askLimit bounds the question how a worker does.
	askLimit = 1500 * time.Millisecond

	// exitWhenAlone is how long an idle worker stays that no controller asks.
	exitWhenAlone = time.Minute

	// endSlack is what a worker that was told to end gets beyond its drain
	// timeout before it is killed: it has to give back what it has in hand.
	endSlack = 10 * time.Second
)

// Options of a Fleet.
type Options struct {
	Dir        string   // of this pool alone; made when missing, mode 0700
	Executable string   // queuemill; empty: this very program
	QueueURL   string   // what the workers receive from; empty: what the manifest says
	Env        []string // NAME=VALUE, besides what every worker inherits: what the queue needs
	Logger     *slog.Logger
}

// Fleet is the workers of one pool on this machine. One process at a time has a
// Dir open.
type Fleet struct {
	o      Options
	log    *slog.Logger
	origin string // tells binaries, queues and their credentials apart

	mu       sync.Mutex
	workers  map[string]*worker // by name
	watchers map[chan struct{}]bool

	// lastFailure is how a worker last ended by itself, since one was ready. It
	// says why those that start won't do better.
	lastFailure string
}

var _ fleet.Fleet = (*Fleet)(nil)

// Open finds the workers that an earlier controller left in o.Dir.
func Open(o Options) (*Fleet, error) {
	f := &Fleet{o: o, log: o.Logger, workers: map[string]*worker{}, watchers: map[chan struct{}]bool{}}
	if f.log == nil {
		f.log = slog.New(slog.DiscardHandler)
	}
	var err error
	if f.o.Dir, err = filepath.Abs(o.Dir); err != nil {
		return nil, fmt.Errorf("the pool's folder: %w", err)
	}
	if f.o.Executable == "" {
		f.o.Executable, err = ownProgram()
	} else {
		f.o.Executable, err = filepath.Abs(o.Executable)
	}
	if err != nil {
		return nil, fmt.Errorf("find this program: %w", err)
	}
	if f.origin, err = originOf(f.o); err != nil {
		return nil, fmt.Errorf("look at the program of the workers: %w", err)
	}
	if err := privateDir(f.o.Dir); err != nil {
		return nil, err
	}
	records, err := readRecords(f.o.Dir, f.log)
	if err != nil {
		return nil, err
	}
	for _, r := range records {
		f.workers[r.Name] = newWorker(r, nil)
	}
	return f, nil
}

// privateDir makes dir and what is above it, and takes everybody else's rights
// to dir away.
func privateDir(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("the pool's folder: %w", err)
	}
	if err := os.Chmod(dir, 0o700); err != nil {
		return fmt.Errorf("the pool's folder: %w", err)
	}
	return nil
}

// originOf is a hash of what a worker's manifest does not say: a worker of
// another program, queue address or credentials is outdated.
func originOf(o Options) (string, error) {
	info, err := os.Stat(o.Executable)
	if err != nil {
		return "", err
	}
	h := sha256.New()
	fmt.Fprintf(h, "%d %d %s\x00%s\x00%s", info.Size(), info.ModTime().UnixNano(), inode(info), o.QueueURL, strings.Join(slices.Sorted(slices.Values(o.Env)), "\x00"))
	return hex.EncodeToString(h.Sum(nil)[:6]), nil
}

// List is all workers whose process is there, by name.
func (f *Fleet) List(ctx context.Context) ([]fleet.Worker, error) {
	workers := f.snapshot()
	out := make([]fleet.Worker, len(workers))
	there := make([]bool, len(workers))
	var wg sync.WaitGroup
	for i, w := range workers {
		wg.Go(func() { out[i], there[i] = f.look(ctx, w) })
	}
	wg.Wait()
	if err := ctx.Err(); err != nil { // then nobody had the time to answer
		return nil, err
	}
	list := out[:0]
	for i := range out {
		if there[i] {
			list = append(list, out[i])
		}
	}
	return list, nil
}

func (f *Fleet) snapshot() []*worker {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.SortedFunc(maps.Values(f.workers), func(a, b *worker) int { return strings.Compare(a.name, b.name) })
}

// look asks one worker; false: it has ended.
func (f *Fleet) look(ctx context.Context, w *worker) (fleet.Worker, bool) {
	if !f.alive(w) {
		return fleet.Worker{}, false
	}
	f.trimLog(w)
	f.press(w)
	ctx, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	report, trouble := w.ask(ctx)
	seen := w.seen(f.origin, report, trouble)
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case seen.State == fleet.Ready && report != nil:
		f.lastFailure = ""
	case seen.State == fleet.Starting && seen.Trouble == "":
		seen.Trouble = f.lastFailure
	}
	return seen, true
}

// alive tells whether w's process is there, and forgets w when it is not.
func (f *Fleet) alive(w *worker) bool {
	if w.alive() {
		return true
	}
	if w.exited == nil && f.forget(w, "") { // of others whoever reaps them tells
		f.log.Info("worker ended", keyWorker, w.name, keyPid, w.record().Pid)
	}
	return false
}

// press ends what was told to end long ago and is still there.
func (f *Fleet) press(w *worker) {
	if r := w.record(); !r.EndingAt.IsZero() && time.Since(r.EndingAt) > r.DrainTimeout+endSlack {
		f.log.Warn("worker does not end, killing it", keyWorker, w.name, keyPid, r.Pid)
		_ = w.kill() // the next look sees whether it is gone
	}
}

// Drain asks a worker to receive no more, or (on false) to go on.
func (f *Fleet) Drain(ctx context.Context, of fleet.Worker, on bool) (*fleet.Report, error) {
	w, err := f.find(of)
	if err != nil {
		return nil, err
	}
	if !on {
		if err := w.letGo(f.o.Dir); err != nil {
			return nil, fmt.Errorf("worker %s is not told to go on: %w", w.name, err)
		}
	}
	report, err := w.drain(ctx, on)
	if err != nil {
		if !f.alive(w) {
			return nil, fmt.Errorf("worker %s: %w", w.name, fleet.ErrNotFound)
		}
		return nil, fmt.Errorf("worker %s: %w", w.name, err)
	}
	return report, nil
}

// Remove tells the worker to end (SIGTERM) and does not wait until it has; one
// that does not, beyond its drain timeout, is killed.
func (f *Fleet) Remove(_ context.Context, of fleet.Worker) error {
	w, err := f.find(of)
	if err != nil {
		return err
	}
	err = w.end(f.o.Dir)
	if errors.Is(err, os.ErrProcessDone) {
		f.alive(w)
		err = fleet.ErrNotFound
	}
	if err != nil {
		return fmt.Errorf("end worker %s: %w", w.name, err)
	}
	return nil
}

// find is the worker of that name and UID, if its process is there.
func (f *Fleet) find(of fleet.Worker) (*worker, error) {
	f.mu.Lock()
	w := f.workers[of.Name]
	f.mu.Unlock()
	if w == nil || w.id != of.UID || !f.alive(w) {
		return nil, fmt.Errorf("worker %s: %w", of.Name, fleet.ErrNotFound)
	}
	return w, nil
}
