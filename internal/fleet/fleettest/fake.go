package fleettest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/queuemill/queuemill/api/v1alpha1"
	"github.com/queuemill/queuemill/internal/fleet"
)

// Fake is a fleet in memory. While it is used its knobs are turned in Do.
type Fake struct {
	mu       sync.Mutex
	n        int
	workers  []*FakeWorker
	watchers map[chan struct{}]bool

	// StartupTime is how long a worker takes to be ready.
	StartupTime time.Duration
	// StartErr is the answer of Start; ListErr of List; nil: none.
	StartErr, ListErr error
	// NoteErr is why nobody can be told to go on: it can't be written down.
	NoteErr error
	// Dies has workers end as soon as they are started.
	Dies bool
	// StillBorn has workers end before anybody can see them.
	StillBorn bool

	// Between is called, with nothing locked, where others' calls may come between;
	// set it before the fleet is used.
	Between func(Step) error

	// Ended are the workers that were removed, with what was in hand then.
	Ended []FakeWorker
	// Starts is how many were started.
	Starts int
	// Lists is how often there was a look.
	Lists int
}

// FakeWorker is one of its workers.
type FakeWorker struct {
	fleet.Worker
	InHand   int
	Done     int64
	Seconds  float64 // of Done
	Draining bool
	Silent   bool // it does not answer
	Stubborn bool // once drained it does not go on

	term, drainedIn int // see control.Worker; term is the fleet's, drainedIn the worker's
}

var _ fleet.Fleet = (*Fake)(nil)

// NewFake is an empty one.
func NewFake() *Fake { return &Fake{watchers: map[chan struct{}]bool{}} }

// Do changes what there is, and the knobs.
func (f *Fake) Do(change func(workers []*FakeWorker)) {
	f.mu.Lock()
	change(f.workers)
	f.mu.Unlock()
}

// End ends a worker behind the fleet's back.
func (f *Fake) End(uid string) {
	f.mu.Lock()
	f.workers = slices.DeleteFunc(f.workers, func(w *FakeWorker) bool { return w.UID == uid })
	f.mu.Unlock()
	f.changed()
}

func (f *Fake) changed() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for c := range f.watchers {
		select {
		case c <- struct{}{}:
		default: // it has one to read
		}
	}
}

func (w *FakeWorker) report() *fleet.Report {
	return &fleet.Report{ID: w.UID, Draining: w.Draining, InHand: w.InHand, Done: w.Done, ServiceSeconds: w.Seconds}
}

// List is fleet.Fleet's.
func (f *Fake) List(ctx context.Context) ([]fleet.Worker, error) {
	if err := f.between(BeforeEffect); err != nil {
		return nil, err
	}
	list, err := f.list(ctx)
	return list, errors.Join(err, f.between(AfterEffect)) // late, and true as of before
}

func (f *Fake) list(ctx context.Context) ([]fleet.Worker, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.Lists++
	if err := errors.Join(ctx.Err(), f.ListErr); err != nil {
		return nil, err
	}
	list := []fleet.Worker{}
	for _, w := range f.workers {
		seen := w.Worker
		seen.Version = fmt.Sprint(w.term)
		switch {
		case w.Held && time.Since(w.StartedAt) >= f.StartupTime:
			seen.State = fleet.Starting
			if !w.Silent {
				seen.Report = w.report()
			}
		case w.Held:
			seen.State = fleet.Starting
		case w.Draining:
			seen.State = fleet.Retiring
		case time.Since(w.StartedAt) >= f.StartupTime:
			seen.State = fleet.Ready
		default:
			seen.State = fleet.Starting
		}
		if !w.Silent && seen.State != fleet.Starting {
			seen.Report = w.report()
		}
		list = append(list, seen)
	}
	return list, nil
}

// Start is fleet.Fleet's.
func (f *Fake) Start(_ context.Context, pool *v1alpha1.WorkerPool, n int) error {
	if err := f.between(BeforeEffect); err != nil {
		return err
	}
	f.mu.Lock()
	if f.StartErr != nil {
		f.mu.Unlock()
		return f.StartErr
	}
	f.Starts += n
	if f.StillBorn {
		f.mu.Unlock()
		f.changed()
		return nil
	}
	for range n {
		f.n++
		w := &FakeWorker{Worker: fleet.Worker{
			Name: fmt.Sprintf("%s-%04d", pool.Name, f.n), UID: fmt.Sprint("uid-", f.n),
			Template: v1alpha1.WorkerTemplateHash(&pool.Spec), StartedAt: time.Now(), Held: true,
		}, Draining: true}
		f.workers = append(f.workers, w)
		time.AfterFunc(f.StartupTime, f.changed)
		if f.Dies {
			time.AfterFunc(f.StartupTime+time.Millisecond, func() { f.End(w.UID) })
		}
	}
	f.mu.Unlock()
	f.changed()
	return f.between(AfterEffect)
}

func (f *Fake) find(of fleet.Worker) *FakeWorker {
	for _, w := range f.workers {
		if w.Name == of.Name && w.UID == of.UID {
			return w
		}
	}
	return nil
}

// Drain is fleet.Fleet's. As with a real one, what it does takes several steps,
// between which others do theirs.
func (f *Fake) Drain(_ context.Context, of fleet.Worker, on bool) (*fleet.Report, error) {
	if err := f.between(BeforeEffect); err != nil {
		return nil, err
	}
	term, err := f.note(of, on)
	if err == nil {
		err = f.between(WithinDrain)
	}
	if err != nil {
		return nil, err
	}
	report, err := f.tell(of, on, term)
	if lost := f.between(AfterEffect); lost != nil {
		return nil, lost
	}
	return report, err
}

// note writes down that a worker is told to go on, and returns the term.
func (f *Fake) note(of fleet.Worker, on bool) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	w := f.find(of)
	if w == nil {
		return 0, fleet.ErrNotFound
	}
	if !on && f.NoteErr != nil {
		return 0, f.NoteErr
	}
	if !on {
		w.term++
		w.Held = false
	}
	return w.term, nil
}

func (f *Fake) tell(of fleet.Worker, on bool, term int) (*fleet.Report, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	w := f.find(of)
	switch {
	case w == nil:
		return nil, fleet.ErrNotFound
	case w.Silent || time.Since(w.StartedAt) < f.StartupTime:
		return nil, errors.New("no answer")
	case w.Stubborn && !on:
		return nil, errors.New("it is ending")
	case !on && term <= w.drainedIn && w.drainedIn > 0:
		return nil, errors.New("it was told to stop since")
	case on:
		w.drainedIn = max(w.drainedIn, term)
	}
	w.Draining = on
	return w.report(), nil
}

// Remove is fleet.Fleet's.
func (f *Fake) Remove(_ context.Context, of fleet.Worker) error {
	if err := f.between(BeforeEffect); err != nil {
		return err
	}
	f.mu.Lock()
	w := f.find(of)
	switch {
	case w == nil:
		f.mu.Unlock()
		return fleet.ErrNotFound
	case of.Version != "" && of.Version != fmt.Sprint(w.term):
		f.mu.Unlock()
		return fleet.ErrChanged
	}
	f.Ended = append(f.Ended, *w)
	f.mu.Unlock()
	f.End(w.UID)
	return f.between(AfterEffect)
}

// Step is a moment of a call, for Fake.Between.
type Step int

const (
	BeforeEffect Step = iota
	WithinDrain       // it is written down, and not told yet
	AfterEffect       // an error is what the caller gets for its answer
)

func (f *Fake) between(s Step) error {
	if f.Between == nil {
		return nil
	}
	return f.Between(s)
}

// Watch is fleet.Fleet's.
func (f *Fake) Watch(ctx context.Context, changed func()) error {
	news := make(chan struct{}, 1)
	f.mu.Lock()
	f.watchers[news] = true
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		delete(f.watchers, news)
		f.mu.Unlock()
	}()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-news:
			changed()
		}
	}
}
