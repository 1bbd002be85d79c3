package workerpool

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/queuemill/queuemill/api/v1alpha1"
	"github.com/queuemill/queuemill/internal/fleet"
	"github.com/queuemill/queuemill/internal/queue"
	"github.com/queuemill/queuemill/internal/scale"
)

const (
	// retireEvery is how often workers that retire are looked at, where the
	// pool's own interval is longer: they are there for nothing else.
	retireEvery = time.Second

	// soon bounds how often the workers are looked at by the clock, breath how
	// often for changes: many that start side by side each tell of theirs.
	soon   = 50 * time.Millisecond
	breath = 5 * time.Millisecond
)

// Options of a Pool.
type Options struct {
	Queue  queue.DepthReporter
	Fleet  fleet.Fleet // of the workers, or
	Target Target      // whose replicas are set

	State   scale.State // that an earlier controller kept; zero: found anew
	Logger  *slog.Logger
	Metrics *Metrics    // nil: none
	OnEvent func(Event) // nil: they are logged; it must not block

	// Keep is given what the next controller's State shall be, whenever it is
	// another one; nil: whoever runs the Pool reads it from Status.
	Keep func(scale.State)
}

// Pool sees to it that a WorkerPool has as many workers as its backlog wants.
type Pool struct {
	o    Options
	log  *slog.Logger
	wake chan struct{} // look at queue and workers now

	step sync.Mutex // held by whoever looks and acts, so that one does at a time
	care care       // under step

	mu        sync.Mutex
	pool      *v1alpha1.WorkerPool
	policy    scale.Policy
	template  string // hash
	suspended bool
	retiring  bool // for good
	state     scale.State
	kept      scale.State // as Keep was given it last
	status    Status
	events    []Event           // to be told once mu is free
	complaint string            // of a worker
	troubles  map[string]string // in words, by what fails
}

// New makes a Pool of a manifest with its defaults, valid.
func New(pool *v1alpha1.WorkerPool, o Options) (*Pool, error) {
	p := &Pool{o: o, log: o.Logger, wake: make(chan struct{}, 1), state: o.State, care: newCare(), troubles: map[string]string{}}
	if p.log == nil {
		p.log = slog.New(slog.DiscardHandler)
	}
	p.log = p.log.With("workerpool", pool.Name)
	if o.Queue == nil || (o.Fleet == nil) == (o.Target == nil) {
		return nil, errors.New("a pool wants a queue, and either a fleet or a target")
	}
	p.suspended = pool.Spec.Suspend
	if err := p.Update(pool); err != nil {
		return nil, err
	}
	if p.state.Decided && p.state.Needed.IsZero() {
		p.state.Needed = time.Now() // they may have been until a moment ago: a dip that falls on a restart ends nobody
	}
	p.kept = lasting(p.state)
	p.status.Desired = p.state.Desired
	return p, nil
}

// Update follows an edited manifest. It does not touch what Suspend said.
func (p *Pool) Update(pool *v1alpha1.WorkerPool) error {
	policy, err := scale.FromSpec(&pool.Spec)
	if err != nil {
		return fmt.Errorf("workerpool %s: %w", pool.Name, err)
	}
	p.mu.Lock()
	p.pool, p.policy, p.template = pool.DeepCopy(), policy, v1alpha1.WorkerTemplateHash(&pool.Spec)
	p.mu.Unlock()
	p.lookNow()
	return nil
}

// Suspend retires all workers, or on false lets the backlog decide again.
func (p *Pool) Suspend(on bool) {
	p.mu.Lock()
	if p.suspended != on {
		p.suspended = on
		if on {
			what := "the workers go when they have nothing in hand"
			if p.o.Target != nil {
				what = "the target's replicas stay as they are"
			}
			p.event(false, EventSuspended, "suspended: "+what)
		} else {
			p.event(false, EventResumed, "resumed: the number of workers follows the backlog again")
		}
	}
	p.mu.Unlock()
	p.tell()
	p.lookNow()
}

func (p *Pool) lookNow() {
	select {
	case p.wake <- struct{}{}:
	default: // it is about to look
	}
}

// Run works until ctx ends, and leaves the workers alone then.
func (p *Pool) Run(ctx context.Context) error {
	p.o.Metrics.add(p)
	defer p.o.Metrics.remove(p)
	changes := make(chan struct{}, 1)
	var watching sync.WaitGroup
	defer watching.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if p.o.Fleet != nil {
		watching.Go(func() { p.watch(ctx, changes) })
	}
	next := time.NewTimer(0)
	defer next.Stop()
	full, due, looked := true, time.Time{}, time.Time{}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-p.wake:
			full = true
		case <-changes:
			if rest := breath - time.Since(looked); rest > 0 {
				pause(ctx, rest)
			}
		case <-next.C:
		}
		now := time.Now()
		full = full || !now.Before(due)
		if full {
			due = now.Add(p.interval())
		}
		again := p.look(ctx, full)
		full = false
		p.tell()
		p.keep()
		wait := max(soon, time.Until(due))
		if p.Status().Workers.Retiring > 0 {
			wait = min(wait, retireEvery)
		}
		if again > 0 {
			wait = min(wait, again)
		}
		next.Reset(wait)
		looked = time.Now()
	}
}

// pause waits, or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

func (p *Pool) interval() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.policy.Interval
}

// watch passes on what the fleet tells, and asks it again when it stops.
func (p *Pool) watch(ctx context.Context, changes chan<- struct{}) {
	for ctx.Err() == nil {
		err := p.o.Fleet.Watch(ctx, func() {
			select {
			case changes <- struct{}{}:
			default: // there is one to read
			}
		})
		if err != nil && ctx.Err() == nil {
			p.log.Warn("changes of workers are seen at the next look only", "error", err)
		}
		pause(ctx, p.interval())
	}
}

// look brings the workers to the number that is wanted. A full look decides
// that number anew. again is when to look once more, if not at the next change;
// 0: no need.
func (p *Pool) look(ctx context.Context, full bool) (again time.Duration) {
	p.step.Lock()
	defer p.step.Unlock()
	if p.o.Target != nil {
		if full {
			p.followTarget(ctx)
		}
		return 0
	}
	workers, err := p.o.Fleet.List(ctx)
	if err != nil {
		p.fail(ctx, looking, fmt.Errorf("look at the workers: %w", err))
		return 0
	}
	p.worked(looking)
	p.care.note(time.Now(), workers, p)
	if full {
		p.decide(ctx, workers)
	}
	pool, template, want := p.wanted(workers)
	do := planFor(workers, template, want, p.care.staysDrained)
	p.act(ctx, pool, do)
	if len(do.resume) > 0 && !p.fails(lettingGo) { // they are ready, as a rule
		again = soon
	}
	for _, w := range do.await { // it can be asked any moment, or not for long
		again = cmp.Or(again, max(soon, time.Since(w.StartedAt)/8))
	}
	return again
}

// wanted is how many workers of which template there are to be. More than max
// receive nothing, however busy they are: a retiring worker finishes its work.
func (p *Pool) wanted(workers []fleet.Worker) (pool *v1alpha1.WorkerPool, template string, want int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.status.Workers = countsOf(workers, p.template)
	p.complaint = p.care.trouble(workers)
	switch {
	case p.suspended || p.retiring:
	case !p.state.Decided: // nothing was decided yet: what there is stays
		for _, w := range workers {
			if w.State == fleet.Starting || w.State == fleet.Ready {
				want++
			}
		}
		want = min(want, p.policy.Max) // an edit may have old and new ones side by side
	default:
		want = min(p.state.Desired, p.policy.Max)
	}
	return p.pool, p.template, want
}

// decide asks the queue, and the policy. Without an answer of the queue the
// number stays.
func (p *Pool) decide(ctx context.Context, workers []fleet.Worker) {
	depth, err := p.o.Queue.Depth(ctx)
	if ctx.Err() != nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.source(depth, err) {
		return
	}
	x := sampleOf(time.Now(), depth, workers, p.template, p.state.Desired, &p.care.service)
	p.follow(x)
}

// follow decides; p.mu is held.
func (p *Pool) follow(x scale.Sample) {
	before := p.status.Desired
	if p.suspended || p.retiring {
		p.state = scale.State{Decided: true, LastIn: p.state.LastIn, LastOut: p.state.LastOut, Arrivals: p.state.Arrivals}
		why := "suspended: no workers are wanted"
		if p.retiring {
			why = "stopping: no workers are wanted"
		}
		p.decided(x.At, scale.Decision{Reason: why, Code: codeSuspended})
	} else {
		var d scale.Decision
		p.state, d = scale.Decide(p.policy, p.state, x)
		p.decided(x.At, d)
	}
	if now := p.status.Desired; now != before {
		p.event(false, EventScaled, fmt.Sprintf("%d → %d workers: %s", before, now, p.status.Decision.Reason))
	}
}

// source notes what the queue said; false: nothing. p.mu is held.
func (p *Pool) source(depth queue.Depth, err error) bool {
	if err != nil {
		if p.status.Source == nil {
			p.event(true, EventUnhealthy, fmt.Sprintf("the number of workers stays at %d: %v", p.status.Desired, err))
		}
		p.status.Source = err
		return false
	}
	if p.status.Source != nil {
		p.event(false, EventHealthy, "the queue tells its numbers again")
	}
	p.status.Source = nil
	p.status.Queue = &v1alpha1.QueueCounts{Visible: int64(depth.Visible), InFlight: int64(depth.InFlight), Delayed: int64(depth.Delayed)}
	return true
}

// fail notes that something does not work, and tells of it when it begins.
// worked ends it.
func (p *Pool) fail(ctx context.Context, what string, err error) {
	if ctx.Err() != nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.troubles[what] == "" {
		p.event(true, EventTrouble, err.Error())
	}
	p.troubles[what] = err.Error()
}

func (p *Pool) worked(what string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.troubles, what)
}

func (p *Pool) fails(what string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.troubles[what] != ""
}

// What may fail.
const (
	looking   = "look"
	starting  = "start"
	removing  = "remove"
	lettingGo = "let go"
	setting   = "set"
)

// Retire retires all workers and returns when the last one has gone, each when
// it has nothing in hand. Nothing starts any more.
func (p *Pool) Retire(ctx context.Context) error {
	p.mu.Lock()
	p.retiring = true
	p.mu.Unlock()
	p.lookNow()
	if p.o.Target != nil {
		return nil // it is somebody else's
	}
	tick := time.NewTicker(retireEvery / 5)
	defer tick.Stop()
	for {
		workers, err := p.o.Fleet.List(ctx)
		if err == nil && len(workers) == 0 {
			return nil
		}
		if err == nil {
			p.look(ctx, false)
			p.tell()
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("workerpool %s: %d workers are left: %w", p.name(), len(workers), context.Cause(ctx))
		case <-tick.C:
		}
	}
}

func (p *Pool) name() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.pool.Name
}

// lasting is what of a state is worth keeping.
func lasting(s scale.State) scale.State {
	return scale.State{Desired: s.Desired, LastOut: s.LastOut, LastIn: s.LastIn, IdleSince: s.IdleSince, Decided: s.Decided}
}

// keep hands the state over when it has changed. It is Run's alone.
func (p *Pool) keep() {
	p.mu.Lock()
	now := lasting(p.state)
	p.mu.Unlock()
	if p.o.Keep != nil && now.Decided && now != p.kept {
		p.kept = now
		p.o.Keep(now)
	}
}

// tell hands events over, without a lock held.
func (p *Pool) tell() {
	p.mu.Lock()
	events := slices.Clone(p.events)
	p.events = p.events[:0]
	p.mu.Unlock()
	for _, e := range events {
		if p.o.OnEvent != nil {
			p.o.OnEvent(e)
			continue
		}
		level := slog.LevelInfo
		if e.Warning {
			level = slog.LevelWarn
		}
		p.log.Log(context.Background(), level, e.Message, "reason", string(e.Reason))
	}
}
