package worker

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/queuemill/queuemill/internal/breaker"
	"github.com/queuemill/queuemill/internal/message"
	"github.com/queuemill/queuemill/internal/queue"
	"github.com/queuemill/queuemill/internal/worker/flags"
)

// Keys of log lines.
const (
	keyMessageID = "message_id"
	keyAttempt   = "attempt"
	keyDuration  = "duration"
	keyResult    = "result"
	keyReason    = "reason"
	keyDelay     = "delay"
	keyCount     = "count"
	keyError     = "error"
)

// settleGrace is how long a hard stop may take to end what runs and give it
// back; then what is left comes back when its visibility timeout is over.
const settleGrace = 4 * time.Second

// Options make a Worker.
type Options struct {
	Queue   queue.Queue // where it is a queue.Rejecter too, messages can be rejected
	Name    string      // of the queue
	Flags   flags.Flags // checked
	Handler Handler
	ID      string       // its reports carry
	Logger  *slog.Logger // nil: none

	// Held: it receives nothing before it is told to go on (Drain).
	Held bool

	Metrics *Metrics // nil: none
}

// Worker pulls, runs and settles. Its methods may be called at any time, by
// several goroutines; Run once.
type Worker struct {
	o        Options
	f        flags.Flags
	queue    queue.Queue
	rejecter queue.Rejecter // nil: the queue can't
	handler  Handler
	reader   *message.Reader
	log      *slog.Logger
	metrics  *Metrics
	fifo     bool

	wakeReceive, wakeLease signal

	// work ends at the hard stop, calls a little later.
	work  context.Context
	calls context.Context
	hard  context.CancelCauseFunc

	batcher *queue.Batcher
	tasks   sync.WaitGroup

	mu       sync.Mutex
	hands    map[*hand]struct{} // from the receive until settled
	working  int                // of them, those that take room
	polls    polls
	breaker  breaker.Breaker
	receives trouble
	extends  trouble
	settles  map[*hand]trouble // that wait for their next try

	draining  bool  // told to receive nothing, until told otherwise
	drainedIn int64 // the latest term in which it was told so
	stopping  bool  // will end
	stopped   chan struct{}
	quiet     chan struct{} // closed and replaced when a receive came back

	received   int       // messages so far
	lastActive time.Time // a message came or left the hand
	lastAsked  time.Time // by a controller
	freed      time.Time // since when there may be room that no receive was begun for
	looped     time.Time // the receive loop's last step
	leaseAt    time.Time // the lease loop's next; zero: none
	counts     counts
	failing    failing
	unrejected error // there is no dead-letter queue for what is rejected; nil: there is, or nothing was
}

// counts are since the start.
type counts struct {
	done, failed, rejected, notNow int64
	service                        time.Duration
}

// New returns a Worker. Its errors name a field of the message section.
func New(o Options) (*Worker, error) {
	reader, err := message.NewWorkerReader(o.Name, o.Flags.Pool, &o.Flags.Message)
	if err != nil {
		return nil, err
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	w := &Worker{
		o: o, f: o.Flags, queue: o.Queue, handler: o.Handler, reader: reader, log: o.Logger, metrics: o.Metrics,
		fifo:        strings.HasSuffix(o.Name, ".fifo"),
		wakeReceive: newSignal(), wakeLease: newSignal(),
		hands:   map[*hand]struct{}{},
		settles: map[*hand]trouble{},
		breaker: breaker.Breaker{Spec: o.Flags.Breaker},
		stopped: make(chan struct{}), quiet: make(chan struct{}),
	}
	w.rejecter, _ = o.Queue.(queue.Rejecter)
	if w.metrics == nil {
		w.metrics = NewMetrics(nil)
	}
	now := time.Now()
	w.lastActive, w.lastAsked, w.looped = now, now, now
	w.draining = o.Held
	return w, nil
}

// errFinished ends Run's loops when there is nothing left to do.
var errFinished = errors.New("finished")

// Run works until the worker has stopped: by Stop, by the end of ctx, which does
// not wait for what runs, or by itself (MaxMessages, ExitWhenEmpty,
// ExitWhenAlone); it returns nil then.
func (w *Worker) Run(ctx context.Context) error {
	base := context.WithoutCancel(ctx)
	var giveUp context.CancelFunc
	w.work, w.hard = context.WithCancelCause(base)
	w.calls, giveUp = context.WithCancel(base)
	defer giveUp()
	defer w.hard(errFinished)
	stopHard := context.AfterFunc(w.work, func() { time.AfterFunc(settleGrace, giveUp) })
	defer stopHard()
	defer context.AfterFunc(ctx, func() { w.Stop(); w.hard(errHardStop) })()

	w.batcher = queue.NewBatcher(queue.Bounded(w.queue, w.calls), queue.BatcherOptions{})
	w.metrics.attach(w)
	defer w.metrics.detach(w)

	// The handler lives until the last message is settled.
	living, endHandler := context.WithCancel(base)
	defer endHandler()
	var beside errgroup.Group
	beside.Go(w.deadline)
	beside.Go(func() error {
		err := w.handler.Run(living, w.wakeReceive.poke)
		if err != nil {
			w.Stop()
			w.hard(errHardStop)
		}
		return err
	})
	g, loops := errgroup.WithContext(base)
	g.Go(func() error { return w.lease(loops) })
	g.Go(func() error { return w.receive(loops) })
	err := g.Wait()
	w.tasks.Wait()
	w.batcher.Close()
	stopHard()
	w.hard(errFinished)
	endHandler()
	if errors.Is(err, errFinished) {
		err = nil
	}
	return errors.Join(err, beside.Wait())
}

// deadline ends what still runs DrainTimeout after Stop.
func (w *Worker) deadline() error {
	select {
	case <-w.work.Done():
		return nil
	case <-w.stopped:
	}
	timer := time.NewTimer(w.f.DrainTimeout)
	defer timer.Stop()
	select {
	case <-w.work.Done():
	case <-timer.C:
		w.mu.Lock()
		n := len(w.hands)
		w.mu.Unlock()
		if n > 0 {
			w.log.Warn("the drain timeout is over: what still runs is ended and given back", keyCount, n)
		}
		w.hard(errHardStop)
	}
	return nil
}

// Stop receives no more and lets what runs finish, for at most DrainTimeout;
// then Run returns.
func (w *Worker) Stop() {
	w.mu.Lock()
	w.stop()
	w.mu.Unlock()
}

// stop is Stop; w.mu is held.
func (w *Worker) stop() {
	if w.stopping {
		return
	}
	w.stopping = true
	close(w.stopped)
	w.polls.interrupt()
	w.wakeReceive.poke()
}

// signal wakes one loop; poking it any number of times wakes it once.
type signal chan struct{}

func newSignal() signal { return make(signal, 1) }

func (s signal) poke() {
	select {
	case s <- struct{}{}:
	default:
	}
}

// wait returns at the signal, at the given time, or when ctx ends.
func (s signal) wait(ctx context.Context, at time.Time) {
	timer := time.NewTimer(time.Until(at))
	defer timer.Stop()
	select {
	case <-s:
	case <-timer.C:
	case <-ctx.Done():
	}
}
