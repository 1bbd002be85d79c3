package queuejob_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/queuemill/queuemill/api/v1alpha1"
	"github.com/queuemill/queuemill/internal/executor/executortest"
	"github.com/queuemill/queuemill/internal/queue"
	"github.com/queuemill/queuemill/internal/queue/queuetest"
	"github.com/queuemill/queuemill/internal/queuejob"
	"github.com/queuemill/queuemill/internal/record"
)

// world is one QueueJob between a fake queue and a fake executor.
type world struct {
	t           *testing.T
	queue       *queuetest.Fake
	deadLetters *queuetest.Fake
	fifo        bool
	exec        *executortest.Fake
	qj          *v1alpha1.QueueJob

	// What the Runner sees; the fakes unless a test puts something between.
	via struct {
		queue queue.Queue
		exec  queuejob.Executor
	}

	metrics *queuejob.Metrics // nil: none

	runner *queuejob.Runner
	kill   context.CancelFunc
	ended  chan error

	mu     sync.Mutex
	events []queuejob.Event
}

// inWorld runs f in a synctest bubble with the Runner of a manifest that set edits.
func inWorld(t *testing.T, set func(*v1alpha1.QueueJobSpec), f func(t *testing.T, w *world)) {
	t.Helper()
	inWorldOf(t, queuetest.Options{}, set, f)
}

func inWorldOf(t *testing.T, o queuetest.Options, set func(*v1alpha1.QueueJobSpec), f func(t *testing.T, w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, o, set)
		w.start()
		defer w.stop()
		f(t, w)
	})
}

func newWorld(t *testing.T, o queuetest.Options, set func(*v1alpha1.QueueJobSpec)) *world {
	if o.MaxReceiveCount > 0 {
		o.DeadLetters = queuetest.NewFake(queuetest.Options{Name: "dead"})
	}
	w := &world{t: t, queue: queuetest.NewFake(o), exec: executortest.NewFake(), qj: manifest(set)}
	w.deadLetters, w.fifo = o.DeadLetters, o.FIFO
	w.via.queue, w.via.exec = w.queue, w.exec
	return w
}

func manifest(set func(*v1alpha1.QueueJobSpec)) *v1alpha1.QueueJob {
	qj := &v1alpha1.QueueJob{ObjectMeta: metav1.ObjectMeta{Name: "ping"}}
	qj.Spec.Queue.SQS = &v1alpha1.SQSSource{Name: "ping"}
	qj.Spec.Process = &v1alpha1.ProcessTemplate{Command: []string{"true"}}
	if set != nil {
		set(&qj.Spec)
	}
	return qj
}

// start begins a new Runner on what the fakes hold.
func (w *world) start() {
	w.t.Helper()
	r, err := queuejob.New(w.qj, queuejob.Options{Queue: w.via.queue, Executor: w.via.exec, OnEvent: w.note, Metrics: w.metrics})
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(w.t.Context())
	w.runner, w.kill, w.ended = r, cancel, make(chan error, 1)
	ended := w.ended
	go func() { ended <- r.Run(ctx) }()
	synctest.Wait()
}

// stop ends the Runner hard and waits for its end.
func (w *world) stop() {
	w.t.Helper()
	w.kill()
	if err := <-w.ended; err != nil {
		w.t.Errorf("run: %v", err)
	}
	w.ended <- nil
}

func (w *world) note(e queuejob.Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.events = append(w.events, e)
}

// told are the events of one reason.
func (w *world) told(reason queuejob.EventReason) []queuejob.Event {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(w.events), func(e queuejob.Event) bool { return e.Reason != reason })
}

// send sends bodies and waits until nothing moves.
func (w *world) send(bodies ...string) []string {
	w.t.Helper()
	out := make([]queue.Outgoing, len(bodies))
	for i, b := range bodies {
		out[i].Body = b
		if w.fifo {
			out[i].GroupID = fmt.Sprint(len(b) % 3)
		}
	}
	var ids []string
	for _, res := range w.queue.Send(w.t.Context(), out) {
		if res.Err != nil {
			w.t.Fatal(res.Err)
		}
		ids = append(ids, res.ID)
	}
	synctest.Wait()
	return ids
}

func bodies(n int) []string {
	b := make([]string, n)
	for i := range b {
		b[i] = fmt.Sprint("body ", i)
	}
	return b
}

// pass lets virtual time go by.
func (w *world) pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

// finish ends all running jobs.
func (w *world) finish(ok bool) {
	for _, name := range w.exec.Names(record.Running) {
		w.exec.Finish(name, ok)
	}
	synctest.Wait()
}

func (w *world) record(name string) record.Record {
	w.t.Helper()
	rec, err := w.exec.Get(w.t.Context(), name)
	if err != nil {
		w.t.Fatalf("record %s: %v", name, err)
	}
	return rec
}

// wantStates checks how many records there are in each state: "2 Running, 1 Failed".
func (w *world) wantStates(want string) {
	w.t.Helper()
	var got []string
	for _, s := range record.States {
		if n := len(w.exec.Names(s)); n > 0 {
			got = append(got, fmt.Sprint(n, " ", s))
		}
	}
	if g := strings.Join(got, ", "); g != want {
		w.t.Errorf("records: %q, want %q", g, want)
	}
}

// wantQueue checks how many messages the queue holds: visible and in flight.
func (w *world) wantQueue(visible, inFlight int) {
	w.t.Helper()
	if d := w.queue.Count(); d.Visible != visible || d.InFlight != inFlight {
		w.t.Errorf("queue: %d visible, %d in flight, want %d and %d", d.Visible, d.InFlight, visible, inFlight)
	}
}

// wantCreated checks how many attempts were started in all.
func (w *world) wantCreated(n int) {
	w.t.Helper()
	if got := len(w.exec.Created()); got != n {
		w.t.Errorf("%d creates, want %d", got, n)
	}
}

// condition is the state and reason of a condition: "True Receiving".
func (w *world) condition(kind string) string {
	for _, c := range w.runner.Status().Conditions {
		if c.Type == kind {
			return string(c.Status) + " " + c.Reason
		}
	}
	return "none"
}

func (w *world) wantCondition(kind, want string) {
	w.t.Helper()
	if got := w.condition(kind); got != want {
		w.t.Errorf("condition %s is %q, want %q", kind, got, want)
	}
}

func queueOptions() queuetest.Options { return queuetest.Options{} }

func onSuccess(s *v1alpha1.QueueJobSpec) { s.Ack = v1alpha1.AckOnSuccess }

func dedup(s *v1alpha1.QueueJobSpec) { s.Message.DeduplicationField = "id" }

func duration(d time.Duration) *metav1.Duration { return &metav1.Duration{Duration: d} }

// limited is a queue that lets no receive hold a message beyond 12 h, as SQS.
type limited struct {
	*queuetest.Fake
	mu       sync.Mutex
	received map[queue.Receipt]time.Time
}

func (l *limited) Receive(ctx context.Context, o queue.ReceiveOptions) ([]queue.Message, error) {
	got, err := l.Fake.Receive(ctx, o)
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, m := range got {
		l.received[m.Receipt] = time.Now()
	}
	return got, err
}

func (l *limited) Extend(ctx context.Context, extensions []queue.Extension) []error {
	errs := make([]error, len(extensions))
	for i, x := range extensions {
		l.mu.Lock()
		held := time.Since(l.received[x.Receipt])
		l.mu.Unlock()
		if held+x.Visibility > 12*time.Hour {
			errs[i] = fmt.Errorf("total visibility timeout is beyond the limit: %w", queue.ErrInvalid)
			continue
		}
		errs[i] = l.Fake.Extend(ctx, extensions[i:i+1])[0]
	}
	return errs
}
