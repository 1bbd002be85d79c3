package worker

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/queuemill/queuemill/internal/queue"
	"github.com/queuemill/queuemill/internal/queue/queuetest"
	"github.com/queuemill/queuemill/internal/worker/flags"
)

// handler does with each message what a test says.
type handler struct {
	do func(ctx context.Context, t *Task) Result

	mu      sync.Mutex
	ready   error
	changed func()
	seen    []string // bodies, in the order of their starts
	now     int
	most    int // at once
}

func (h *handler) Run(ctx context.Context, changed func()) error {
	h.mu.Lock()
	h.changed = changed
	h.mu.Unlock()
	<-ctx.Done()
	return nil
}

func (h *handler) Ready() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.ready
}

func (h *handler) setReady(err error) {
	h.mu.Lock()
	h.ready = err
	h.mu.Unlock()
	h.changed()
}

func (h *handler) Handle(ctx context.Context, t *Task) Result {
	h.mu.Lock()
	h.seen = append(h.seen, t.Item.Payload)
	h.now++
	h.most = max(h.most, h.now)
	h.mu.Unlock()
	defer func() {
		h.mu.Lock()
		h.now--
		h.mu.Unlock()
	}()
	return h.do(ctx, t)
}

func (h *handler) bodies() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return strings.Join(h.seen, " ")
}

// takes is a handler whose messages take d; cut short it is as ctx says.
func takes(d time.Duration, r Result) func(context.Context, *Task) Result {
	return func(ctx context.Context, _ *Task) Result {
		select {
		case <-time.After(d):
			return r
		case <-ctx.Done():
			return cut(ctx, d)
		}
	}
}

func always(r Result) func(context.Context, *Task) Result {
	return func(context.Context, *Task) Result { return r }
}

func (h *handler) count() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.seen)
}

// world is a worker on a fake queue, in virtual time.
type world struct {
	*testing.T
	q, dead *queuetest.Fake
	h       *handler
	w       *Worker
	log     *buffer
	ended   chan error
	reg     *prometheus.Registry
}

type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// setup is what a test changes of a world before the worker runs.
type setup struct {
	flags flags.Flags
	queue queuetest.Options
	noDLQ bool
	held  bool
	wrap  func(*queuetest.Fake) queue.Queue // nil: not
	do    func(context.Context, *Task) Result
}

func (s *setup) wrapped(q *queuetest.Fake) queue.Queue {
	if s.wrap == nil {
		return q
	}
	return s.wrap(q)
}

// inWorld runs body beside a worker; behind it the worker is stopped, at once if
// it still works.
func inWorld(t *testing.T, change func(*setup), body func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := setup{flags: flags.Defaults(), queue: queuetest.Options{Name: "work", MaxReceiveCount: 100}, do: always(Result{Kind: Done})}
		s.flags.Concurrency = 10
		if change != nil {
			change(&s)
		}
		w := &world{T: t, h: &handler{do: s.do}, log: &buffer{}, ended: make(chan error, 1), reg: prometheus.NewRegistry()}
		w.dead = queuetest.NewFake(queuetest.Options{Name: "dead", FIFO: s.queue.FIFO})
		if !s.noDLQ {
			s.queue.DeadLetters = w.dead
		} else {
			s.queue.MaxReceiveCount = 0
		}
		w.q = queuetest.NewFake(s.queue)
		var err error
		w.w, err = New(Options{
			Queue: s.wrapped(w.q), Name: s.queue.Name, Flags: s.flags, Handler: w.h, ID: "w1", Held: s.held,
			Logger:  slog.New(slog.NewTextHandler(w.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
			Metrics: NewMetrics(w.reg),
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		go func() { w.ended <- w.w.Run(ctx) }()
		synctest.Wait()
		body(w)
		cancel()
		if err := <-w.ended; err != nil {
			t.Errorf("run: %v", err)
		}
		if t.Failed() {
			t.Log(w.log)
		}
	})
}

func (w *world) send(bodies ...string) {
	w.Helper()
	for _, b := range bodies {
		w.sendOne(queue.Outgoing{Body: b})
	}
	synctest.Wait()
}

func (w *world) sendOne(m queue.Outgoing) {
	w.Helper()
	if r := w.q.Send(w.Context(), []queue.Outgoing{m})[0]; r.Err != nil {
		w.Fatal(r.Err)
	}
}

func (w *world) pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

// finished tells whether Run has returned.
func (w *world) finished() bool {
	synctest.Wait()
	select {
	case err := <-w.ended:
		w.ended <- err
		return true
	default:
		return false
	}
}

// wantLeft checks what is in the queue.
func (w *world) wantLeft(visible, inFlight int) {
	w.Helper()
	d := w.q.Count()
	if d.Visible != visible || d.InFlight != inFlight {
		w.Errorf("%d visible and %d in flight, want %d and %d", d.Visible, d.InFlight, visible, inFlight)
	}
}

var errAway = queue.ErrUnreachable
