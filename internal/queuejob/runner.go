package queuejob

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/queuemill/queuemill/api/v1alpha1"
	"github.com/queuemill/queuemill/internal/breaker"
	"github.com/queuemill/queuemill/internal/executor"
	"github.com/queuemill/queuemill/internal/queue"
	"github.com/queuemill/queuemill/internal/reason"
)

// Keys of log lines.
const (
	keyQueueJob  = "queuejob"
	keyJob       = "job"
	keyMessageID = "message_id"
	keyError     = "error"
	keyReason    = "reason"
	keyAttempt   = "attempt"
	keyCount     = "count"
	keyDelay     = "delay"
)

// stopGrace is how long a stopped Runner waits for the calls that are under way
// and gives back what it holds.
const stopGrace = 5 * time.Second

// Executor is what a Runner needs of where its jobs run.
type Executor interface {
	executor.Executor
	executor.Getter
	executor.Patcher
}

// Options make a Runner.
type Options struct {
	Queue    queue.Queue
	Executor Executor
	Logger   *slog.Logger // nil: none
	Metrics  *Metrics     // of the process, from NewMetrics; nil: none
	OnEvent  func(Event)  // may ask the Runner, must not block; nil: they are logged
}

// Runner runs one QueueJob. Its methods may be called at any time, also before
// and after Run, by several goroutines.
type Runner struct {
	namespace, name string

	queue    queue.Queue
	executor Executor
	log      *slog.Logger
	metrics  *instruments
	onEvent  func(Event)
	config   atomic.Pointer[config]

	wakeReceive, wakeLease, wakeRetain signal

	// Of Run. ctx ends at a hard stop: nothing is begun any more. work ends a
	// little later: calls that are under way are given up.
	ctx, work context.Context
	batcher   *queue.Batcher
	tasks     sync.WaitGroup

	mu       sync.Mutex
	view     view
	leases   map[string]*lease // by message ID
	breaker  breaker.Breaker
	retries  []string            // names whose retry was asked for, in order
	retained []string            // succeeded names, the oldest finished first
	prunes   map[string]struct{} // finished names that a person wants gone
	retainAt time.Time           // when retain looks again by itself; zero: when poked
	leaseAt  time.Time           // when the next lease is due; zero: none is
	forgetAt time.Time           // when the receive loop gives up on what was never shown
	troubles map[operation]map[*trouble]struct{}
	running  int // tasks under way
	polls    polls
	placing  int // messages in hand whose records are not durable yet
	events   []Event

	ready       bool // caught up with the records: receives
	suspended   bool
	blocked     blocked
	stuck       map[reason.Reason]*stuck
	draining    bool
	leaveJobs   bool
	wasFull     bool
	since       map[string]since // of conditions
	depth       sampler
	duplicates  int64
	lastMessage time.Time
}

// New returns a Runner of a validated manifest. qj must not be written to
// afterwards. Errors name the field.
func New(qj *v1alpha1.QueueJob, o Options) (*Runner, error) {
	c, err := newConfig(qj)
	if err != nil {
		return nil, err
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	r := &Runner{
		namespace: qj.Namespace, name: qj.Name,
		queue: o.Queue, executor: o.Executor,
		log:         o.Logger.With(keyQueueJob, qj.Name),
		onEvent:     o.OnEvent,
		wakeReceive: newSignal(), wakeLease: newSignal(), wakeRetain: newSignal(),
		view:      newView(),
		leases:    map[string]*lease{},
		breaker:   breaker.Breaker{Spec: qj.Spec.Breaker},
		troubles:  map[operation]map[*trouble]struct{}{},
		suspended: qj.Spec.Suspend,
		prunes:    map[string]struct{}{},
		stuck:     map[reason.Reason]*stuck{},
		since:     map[string]since{},
	}
	r.metrics = o.Metrics.instruments(qj.Namespace, qj.Name)
	r.config.Store(c)
	return r, nil
}

// errDrained ends Run's loops when everything is settled after StopReceiving.
var errDrained = errors.New("drained")

// Run receives, creates and settles until ctx ends or everything is settled
// after StopReceiving, and returns nil in both cases. It is called once.
//
// The end of ctx is a hard stop: the messages in hand, and under OnSuccess those
// of unfinished jobs, are given back at once, in at most stopGrace. Stop the
// executor first, so that no job runs whose message somebody else receives; or
// LeaveJobs, where jobs outlive the Runner.
func (r *Runner) Run(ctx context.Context) error {
	work, giveUp := context.WithCancel(context.WithoutCancel(ctx))
	defer giveUp()
	g, ctx := errgroup.WithContext(ctx)
	r.ctx, r.work = ctx, work
	r.batcher = queue.NewBatcher(queue.Bounded(r.queue, work), queue.BatcherOptions{})
	r.metrics.attach(r)
	defer r.metrics.detach(r)

	g.Go(func() error { return r.watch(ctx) })
	g.Go(func() error { return r.lease(ctx) })
	g.Go(func() error { return r.retain(ctx) })
	g.Go(func() error { return r.sample(ctx) })
	g.Go(func() error { return r.receive(ctx) })

	stop := context.AfterFunc(ctx, func() {
		timer := time.AfterFunc(stopGrace, giveUp)
		context.AfterFunc(work, func() { timer.Stop() })
	})
	defer stop()
	err := g.Wait()
	r.tasks.Wait()
	r.giveBackAll(work)
	r.batcher.Close()
	if errors.Is(err, errDrained) {
		err = nil
	}
	return err
}

// task runs f in a goroutine that Run waits for; r.mu is held.
func (r *Runner) task(f func()) {
	r.running++
	r.tasks.Go(func() {
		f()
		r.mu.Lock()
		r.running--
		r.mu.Unlock()
		r.wakeReceive.poke()
	})
}

// StopReceiving drains: leases go on, jobs finish, and then Run returns nil.
// Retries that have not begun stay asked for.
func (r *Runner) StopReceiving() {
	r.mu.Lock()
	r.draining = true
	r.interruptReceive()
	r.unlock()
	r.wakeReceive.poke()
}

// LeaveJobs tells whether, at a hard stop, the messages of unfinished jobs stay
// in flight instead of being given back: where jobs go on without the Runner and
// another one takes their messages over from the stored receipts. Giving them
// back would count as a receive each time. What has no record yet is given back.
func (r *Runner) LeaveJobs(leave bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.leaveJobs = leave
}

// Suspend stops receiving, or lets it go on; jobs that run go on, and retries
// that a person asks for are started.
func (r *Runner) Suspend(suspend bool) {
	r.mu.Lock()
	if r.suspended != suspend {
		r.suspended = suspend
		if suspend {
			r.event(false, EventSuspended, "", "nothing is received; jobs that run go on")
			r.interruptReceive()
		} else {
			r.event(false, EventResumed, "", "receiving goes on")
		}
	}
	r.unlock()
	r.wakeReceive.poke()
}

// Idle tells whether nothing is in hand, unfinished, or waiting for a retry or
// for an answer of the queue. Before the first look at the records it is false.
func (r *Runner) Idle() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.ready && r.settled() && len(r.retries) == 0
}

// settled tells whether no job is unfinished and no call is owed; r.mu is held.
func (r *Runner) settled() bool {
	return len(r.view.active) == 0 && len(r.leases) == 0 && r.running == 0
}

// synced tells whether the records were looked at since the start.
func (r *Runner) synced() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.ready
}
