package operator_test

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	eventsv1 "k8s.io/api/events/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/queuemill/queuemill/api/v1alpha1"
	"github.com/queuemill/queuemill/internal/executor/executortest"
	"github.com/queuemill/queuemill/internal/operator"
	"github.com/queuemill/queuemill/internal/queue"
	"github.com/queuemill/queuemill/internal/queue/queuetest"
	"github.com/queuemill/queuemill/internal/queuejob"
	"github.com/queuemill/queuemill/test/cluster"
)

// world is a namespace of a real API server, with queues and an engine that a
// test holds in its hands.
type world struct {
	t      *testing.T
	client client.WithWatch
	ns     string
	allow  string // file
	engine *engine

	registry *prometheus.Registry // of the latest replica

	mu     sync.Mutex
	queues map[string]*queuetest.Fake
	opened map[string]int   // calls of OpenQueue, by queue
	away   map[string]error // what OpenQueue answers instead
}

// engine is operator.Engine over one fake executor, which outlives operators as
// Jobs do.
type engine struct {
	*executortest.Fake
	mu      sync.Mutex
	verdict error
	checks  atomic.Int32
	leading atomic.Int32
}

func (e *engine) Run(ctx context.Context) error { <-ctx.Done(); return nil }

func (e *engine) Sync(context.Context) error { return nil }

func (e *engine) Lead(ctx context.Context) error {
	e.leading.Add(1)
	defer e.leading.Add(-1)
	<-ctx.Done()
	return nil
}

func (e *engine) Check(context.Context, *v1alpha1.QueueJob) error {
	e.checks.Add(1)
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.verdict
}

func (e *engine) judge(err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.verdict = err
}

func (e *engine) Executor(string, *metav1.OwnerReference) queuejob.Executor { return e.Fake }

func newWorld(t *testing.T) *world {
	t.Helper()
	c, _ := admin(t)
	w := &world{
		t: t, client: c, ns: cluster.Namespace(t, cluster.Shared(t)), allow: filepath.Join(t.TempDir(), "config.yaml"),
		engine: &engine{Fake: executortest.NewFake()},
		queues: map[string]*queuetest.Fake{}, opened: map[string]int{}, away: map[string]error{},
	}
	w.allowing(w.ns, "*")
	return w
}

// allowing writes an allow-list of one line, as a mounted ConfigMap changes.
func (w *world) allowing(namespace, queues string) {
	w.t.Helper()
	text := "allow:\n- {namespaces: [" + namespace + "], queues: [\"" + queues + "\"]}\n"
	next := w.allow + ".next"
	if err := errors.Join(os.WriteFile(next, []byte(text), 0o600), os.Rename(next, w.allow)); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) queue(name string) *queuetest.Fake {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.queues[name] == nil {
		w.queues[name] = queuetest.NewFake(queuetest.Options{Name: name})
	}
	return w.queues[name]
}

func (w *world) open(_ context.Context, qj *v1alpha1.QueueJob) (queue.Queue, error) {
	return w.openByName(qj.Spec.Queue.SQS.Name)
}

func (w *world) openByName(name string) (queue.Queue, error) {
	w.mu.Lock()
	w.opened[name]++
	err := w.away[name]
	w.mu.Unlock()
	if err != nil {
		return nil, err
	}
	return w.queue(name), nil
}

// breakQueue has a queue not be opened, nil: it can be.
func (w *world) breakQueue(name string, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.away[name] = err
}

func (w *world) openings(name string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.opened[name]
}

// operator is one replica that runs until it is stopped.
type replica struct {
	*operator.Operator
	stop func()
}

func (w *world) run(edit func(*operator.Options)) *replica {
	w.t.Helper()
	_, config := admin(w.t)
	log := slog.New(slog.NewTextHandler(w.t.Output(), &slog.HandlerOptions{Level: slog.LevelInfo}))
	access, err := operator.OpenAccess(w.allow, log)
	if err != nil {
		w.t.Fatal(err)
	}
	w.registry = prometheus.NewRegistry()
	o := operator.Options{
		Config: config, Namespaces: []string{w.ns}, Engine: w.engine, OpenQueue: w.open, Access: access,
		Logger: log, Registerer: w.registry,
	}
	if edit != nil {
		edit(&o)
	}
	op, err := operator.New(o)
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- op.Run(ctx) }()
	stop := sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			w.t.Errorf("the operator ended with %v", err)
		}
	})
	w.t.Cleanup(stop)
	return &replica{op, stop}
}

// apply makes a QueueJob that reads the queue of its name.
func (w *world) apply(name string, edit func(*v1alpha1.QueueJob)) *v1alpha1.QueueJob {
	w.t.Helper()
	var qj v1alpha1.QueueJob
	if err := yaml.Unmarshal([]byte(valid), &qj); err != nil {
		w.t.Fatal(err)
	}
	qj.Namespace, qj.Name = w.ns, name
	qj.Spec.Queue.SQS = &v1alpha1.SQSSource{Name: name}
	qj.Spec.Message = v1alpha1.MessageSpec{}
	if edit != nil {
		edit(&qj)
	}
	if err := w.client.Create(w.t.Context(), &qj); err != nil {
		w.t.Fatal(err)
	}
	return &qj
}

// edit changes a QueueJob.
func (w *world) edit(name string, edit func(*v1alpha1.QueueJob)) {
	w.t.Helper()
	qj := w.get(name)
	base := qj.DeepCopy()
	edit(qj)
	if err := w.client.Patch(w.t.Context(), qj, client.MergeFrom(base)); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) get(name string) *v1alpha1.QueueJob {
	w.t.Helper()
	var qj v1alpha1.QueueJob
	if err := w.client.Get(w.t.Context(), client.ObjectKey{Namespace: w.ns, Name: name}, &qj); err != nil {
		w.t.Fatal(err)
	}
	return &qj
}

// send puts messages into the queue of a name, all at once for who counts them.
func (w *world) send(name string, bodies ...string) {
	w.t.Helper()
	batch := make([]queue.Outgoing, len(bodies))
	for i, body := range bodies {
		batch[i].Body = body
	}
	for _, r := range w.queue(name).Send(w.t.Context(), batch) {
		if r.Err != nil {
			w.t.Fatal(r.Err)
		}
	}
}

// awaitCondition waits until a condition is so, and returns it.
func (w *world) awaitCondition(name, kind string, status metav1.ConditionStatus, reason string) metav1.Condition {
	w.t.Helper()
	var last metav1.Condition
	defer func() {
		if w.t.Failed() {
			w.t.Logf("the last %s: %+v", kind, last)
		}
	}()
	await(w.t, name+" is "+kind+"="+string(status)+" "+reason, func(context.Context) bool {
		qj := w.get(name)
		c := meta.FindStatusCondition(qj.Status.Conditions, kind)
		if c == nil {
			return false
		}
		last = *c
		return c.Status == status && c.Reason == reason && qj.Status.ObservedGeneration == qj.Generation
	})
	return last
}

func (w *world) awaitReceiving(name string) {
	w.t.Helper()
	w.awaitCondition(name, queuejob.ConditionReady, metav1.ConditionTrue, "Receiving")
}

// runs is how many QueueJobs the latest replica says that it runs.
func (w *world) runs() float64 {
	w.t.Helper()
	all, err := w.registry.Gather()
	if err != nil {
		w.t.Fatal(err)
	}
	for _, family := range all {
		if family.GetName() == "queuemill_controller_queuejobs_running" {
			return family.Metric[0].GetGauge().GetValue()
		}
	}
	w.t.Fatal("there is no such metric")
	return 0
}

// jobs waits until there are n jobs.
func (w *world) awaitJobs(n int) {
	w.t.Helper()
	await(w.t, "jobs are made", func(context.Context) bool { return len(w.engine.Created()) >= n })
	if got := len(w.engine.Created()); got != n {
		w.t.Errorf("%d jobs, want %d", got, n)
	}
}

// awaitEvent waits for an event about a QueueJob.
func (w *world) awaitEvent(name, reason string) eventsv1.Event {
	w.t.Helper()
	return w.awaitEventOf(v1alpha1.KindQueueJob, name, reason)
}

// awaitPoolEvent waits for one about a WorkerPool.
func (w *world) awaitPoolEvent(name, reason string) eventsv1.Event {
	w.t.Helper()
	return w.awaitEventOf(v1alpha1.KindWorkerPool, name, reason)
}

func (w *world) awaitEventOf(kind, name, reason string) eventsv1.Event {
	w.t.Helper()
	var found eventsv1.Event
	await(w.t, "an event "+reason, func(ctx context.Context) bool {
		for _, e := range w.eventsOf(ctx, kind, name) {
			if e.Reason == reason {
				found = e
				return true
			}
		}
		return false
	})
	return found
}

func (w *world) events(ctx context.Context, name string) []eventsv1.Event {
	w.t.Helper()
	return w.eventsOf(ctx, v1alpha1.KindQueueJob, name)
}

func (w *world) eventsOf(ctx context.Context, kind, name string) (about []eventsv1.Event) {
	var all eventsv1.EventList
	if err := w.client.List(ctx, &all, client.InNamespace(w.ns)); err != nil {
		w.t.Fatal(err)
	}
	for _, e := range all.Items {
		if e.Regarding.Name == name && e.Regarding.Kind == kind {
			about = append(about, e)
		}
	}
	return about
}
