package operator

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	eventsclient "k8s.io/client-go/kubernetes/typed/events/v1"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/metrics/server"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/queuemill/queuemill/api/v1alpha1"
	"github.com/queuemill/queuemill/internal/queue"
	"github.com/queuemill/queuemill/internal/queuejob"
	"github.com/queuemill/queuemill/internal/workerpool"
)

// Keys of log lines.
const (
	keyNamespace  = "namespace"
	keyQueueJob   = "queuejob"
	keyWorkerPool = "workerpool"
	keyError      = "error"
)

// stopBound is how long a Runner that is told to stop may take: what its
// giving back takes, and some.
const stopBound = 10 * time.Second

// workers reconcile at the same time: one that deletes many Jobs, or waits for
// a Runner's end, holds up no other QueueJob.
const workers = 8

// Engine is where jobs run, and where their records are.
type Engine interface {
	Run(ctx context.Context) error
	Sync(ctx context.Context) error
	Lead(ctx context.Context) error
	Check(ctx context.Context, qj *v1alpha1.QueueJob) error
	Executor(namespace string, owner *metav1.OwnerReference) queuejob.Executor
}

// Options of an Operator.
type Options struct {
	Config     *rest.Config
	Namespaces []string // that are served; nil: all
	Engine     Engine

	// OpenQueue returns the queue that a QueueJob reads. It may make requests:
	// it is called only for what the Access allows.
	OpenQueue func(ctx context.Context, qj *v1alpha1.QueueJob) (queue.Queue, error)

	// Pools runs the workers of WorkerPools; nil: none are served, nor watched.
	Pools PoolEngine

	Access *AccessFile // nil: every queue is allowed

	// LeaseNamespace is where the Lease is that replicas compete for; empty:
	// this is the only one and leads at once.
	LeaseNamespace string

	Logger     *slog.Logger          // nil: none
	Registerer prometheus.Registerer // nil: none
	Metrics    *queuejob.Metrics     // nil: none

	PoolMetrics *workerpool.Metrics // nil: none
}

// Operator serves QueueJobs. Its methods may be called at any time.
type Operator struct {
	o        Options
	log      *slog.Logger
	metrics  *metrics
	manager  manager.Manager
	client   client.Client // reads from the cache, writes to the API server
	recorder *recorder
	election *election // nil: leads always

	again      chan event.GenericEvent // QueueJobs to be reconciled
	poolsAgain chan event.GenericEvent // and WorkerPools

	term   atomic.Pointer[term] // nil: follows
	synced atomic.Bool
}

// ErrNoCRD says that the API server does not know a kind that is served.
var ErrNoCRD = errors.New("the API server does not know")

// New prepares an Operator. ErrNoCRD where the custom resource is not installed.
func New(o Options) (*Operator, error) {
	log := cmp.Or(o.Logger, slog.New(slog.DiscardHandler))
	op := &Operator{o: o, log: log, again: make(chan event.GenericEvent), poolsAgain: make(chan event.GenericEvent)}
	op.metrics = newMetrics(o.Registerer, op.running, op.runningPools)
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		return nil, err
	}
	options := ctrl.Options{
		Scheme:  scheme,
		Logger:  logr.FromSlogHandler(log.Handler()),
		Metrics: server.Options{BindAddress: "0"}, // the app serves them, with the others
		Cache:   cache.Options{DefaultTransform: cache.TransformStripManagedFields(), ReaderFailOnMissingInformer: true},
	}
	if len(o.Namespaces) > 0 {
		options.Cache.DefaultNamespaces = map[string]cache.Config{}
		for _, ns := range o.Namespaces {
			options.Cache.DefaultNamespaces[ns] = cache.Config{}
		}
	}
	mgr, err := ctrl.NewManager(o.Config, options)
	if err != nil {
		return nil, fmt.Errorf("connect to the cluster: %w", err)
	}
	for _, kind := range op.kinds() {
		if _, err := mgr.GetRESTMapper().RESTMapping(v1alpha1.GroupVersion.WithKind(kind).GroupKind(), v1alpha1.GroupVersion.Version); err != nil {
			if apimeta.IsNoMatchError(err) {
				return nil, fmt.Errorf("%w %ss of %s", ErrNoCRD, kind, v1alpha1.APIVersion)
			}
			return nil, fmt.Errorf("connect to the cluster: %w", err)
		}
	}
	op.manager, op.client = mgr, mgr.GetClient()
	if err := op.parts(mgr); err != nil {
		return nil, err
	}
	return op, nil
}

// parts makes what stands on the manager.
func (op *Operator) parts(mgr manager.Manager) error {
	events, err := eventsclient.NewForConfigAndClient(op.o.Config, mgr.GetHTTPClient())
	if err != nil {
		return fmt.Errorf("open events: %w", err)
	}
	instance, err := os.Hostname()
	if err != nil {
		instance = "queuemill"
	}
	op.recorder = newRecorder(events, instance, op.log, op.metrics)
	if op.o.LeaseNamespace != "" {
		if op.election, err = newElection(op.o.Config, op.o.LeaseNamespace, op.log, op.metrics); err != nil {
			return err
		}
	}
	if err := reconciles(mgr, &v1alpha1.QueueJob{}, op.again, op); err != nil {
		return fmt.Errorf("watch QueueJobs: %w", err)
	}
	if op.o.Pools == nil {
		return nil
	}
	if err := reconciles(mgr, &v1alpha1.WorkerPool{}, op.poolsAgain, pools{op}); err != nil {
		return fmt.Errorf("watch WorkerPools: %w", err)
	}
	return nil
}

// reconciles has r called for the objects of a kind that change, and for those
// that are sent to again.
func reconciles(mgr manager.Manager, kind client.Object, again chan event.GenericEvent, r reconcile.Reconciler) error {
	anyName := true // several Operators in one process are several controllers
	return ctrl.NewControllerManagedBy(mgr).
		For(kind).
		WatchesRawSource(source.Channel(again, &handler.EnqueueRequestForObject{})).
		WithOptions(controller.Options{MaxConcurrentReconciles: workers, SkipNameValidation: &anyName}).
		Complete(r)
}

// kinds are those that are served.
func (op *Operator) kinds() []string {
	if op.o.Pools == nil {
		return []string{v1alpha1.KindQueueJob}
	}
	return []string{v1alpha1.KindQueueJob, v1alpha1.KindWorkerPool}
}

// Run serves until ctx ends, and then stops in order: first what leads, then
// what it stands on. It is called once.
func (op *Operator) Run(ctx context.Context) error {
	below, stopBelow := context.WithCancel(context.WithoutCancel(ctx))
	defer stopBelow()
	g, below := errgroup.WithContext(below)
	part := func(what string, run func(context.Context) error) {
		g.Go(func() error {
			if err := run(below); err != nil && below.Err() == nil {
				return fmt.Errorf("%s: %w", what, err)
			}
			return nil
		})
	}
	part("watch jobs", op.o.Engine.Run)
	part("watch QueueJobs", op.manager.Start)
	g.Go(func() error { op.recorder.run(below); return nil })
	if op.o.Access != nil {
		g.Go(func() error { op.o.Access.follow(below, op.everythingAgain); return nil })
	}

	above, stopAbove := context.WithCancel(ctx)
	defer stopAbove()
	defer context.AfterFunc(below, stopAbove)() // nothing leads when a part below has failed
	err := op.sync(above)
	if err == nil {
		err = op.leadings(above)
	}
	if above.Err() != nil && errors.Is(err, above.Err()) {
		err = nil
	}
	stopBelow()
	return errors.Join(g.Wait(), err)
}

// sync waits for the first complete lists.
func (op *Operator) sync(ctx context.Context) error {
	if !op.manager.GetCache().WaitForCacheSync(ctx) {
		return cmp.Or(ctx.Err(), errors.New("watch QueueJobs: the cache did not fill"))
	}
	if err := op.o.Engine.Sync(ctx); err != nil {
		return fmt.Errorf("list jobs: %w", err)
	}
	op.synced.Store(true)
	return nil
}

func (op *Operator) leadings(ctx context.Context) error {
	if op.election == nil {
		op.metrics.leading.Set(1)
		defer op.metrics.leading.Set(0)
		return op.lead(ctx)
	}
	return op.election.run(ctx, op.lead)
}

// lead runs the QueueJobs until ctx ends and all of them have stopped.
func (op *Operator) lead(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	t := newTerm(ctx)
	op.term.Store(t)
	g.Go(func() error {
		if err := op.o.Engine.Lead(ctx); err != nil && ctx.Err() == nil {
			return fmt.Errorf("follow jobs: %w", err)
		}
		return nil
	})
	op.everythingAgain()
	<-ctx.Done()
	op.term.CompareAndSwap(t, nil)
	t.end()
	return g.Wait()
}

// everythingAgain has every QueueJob and WorkerPool reconciled.
func (op *Operator) everythingAgain() {
	t := op.term.Load()
	if t == nil {
		return
	}
	var all v1alpha1.QueueJobList
	if err := op.client.List(t.ctx, &all); err != nil {
		op.log.Error("list QueueJobs", keyError, err)
		return
	}
	for i := range all.Items {
		if !op.send(t, op.again, &all.Items[i]) {
			return
		}
	}
	if op.o.Pools == nil {
		return
	}
	if err := (pools{op}).everythingAgain(t); err != nil {
		op.log.Error("list WorkerPools", keyError, err)
	}
}

// send has an object reconciled, and says whether the term goes on.
func (op *Operator) send(t *term, again chan<- event.GenericEvent, object client.Object) bool {
	select {
	case again <- event.GenericEvent{Object: object}:
		return true
	case <-t.ctx.Done():
		return false
	}
}

// running is how many QueueJobs this process runs.
func (op *Operator) running() float64 {
	if t := op.term.Load(); t != nil {
		return float64(t.jobs.count())
	}
	return 0
}

// runningPools is how many WorkerPools this process runs.
func (op *Operator) runningPools() float64 {
	if t := op.term.Load(); t != nil {
		return float64(t.pools.count())
	}
	return 0
}

// Ready says why this process can't serve yet, nil when it can.
func (op *Operator) Ready() error {
	if !op.synced.Load() {
		return errors.New("the caches are not filled yet")
	}
	return nil
}

// Healthy says what is stuck, nil when nothing is. It returns within ctx.
func (op *Operator) Healthy(ctx context.Context) error {
	if op.election != nil {
		if err := op.election.check(); err != nil {
			return err
		}
	}
	looked := make(chan struct{})
	go func() {
		defer close(looked)
		if t := op.term.Load(); t != nil {
			t.look()
		}
	}()
	select {
	case <-looked:
		return nil
	case <-ctx.Done():
		return errors.New("a QueueJob or WorkerPool is stuck: its state can't be looked at")
	}
}
