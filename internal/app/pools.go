package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"

	"github.com/queuemill/queuemill/api/v1alpha1"
	"github.com/queuemill/queuemill/internal/executor"
	"github.com/queuemill/queuemill/internal/fleet/process"
	"github.com/queuemill/queuemill/internal/httpapi"
	"github.com/queuemill/queuemill/internal/manifest"
	"github.com/queuemill/queuemill/internal/queue"
	"github.com/queuemill/queuemill/internal/scale"
	"github.com/queuemill/queuemill/internal/sqsserver"
	"github.com/queuemill/queuemill/internal/workerpool"
)

// pools are the WorkerPools of the manifests, a Pool each, whose workers are
// processes of this machine. The workers outlive this process.
type pools struct {
	ctx         context.Context // its end stops all Pools at once
	log         *slog.Logger
	dir         string // a folder for each pool
	queues      *queues
	credentials []sqsserver.Credential // of the SQS endpoint
	metrics     *workerpool.Metrics
	suspensions suspensions
	states      poolStates

	wg sync.WaitGroup // of all Pools

	mu       sync.Mutex
	draining bool
	all      map[string]*pooling // by WorkerPool
}

// pooling is one WorkerPool at work.
type pooling struct {
	object    manifest.Object
	pool      *workerpool.Pool
	fleet     *process.Fleet
	queue     queue.DepthReporter
	queueName string
	leaving   bool               // it is gone from the manifests
	stop      context.CancelFunc // the Pool, not its workers
	stopped   chan struct{}
}

func newPools(ctx context.Context, m *mill, metrics *workerpool.Metrics) *pools {
	return &pools{
		ctx: ctx, log: m.log, dir: filepath.Join(m.o.Data, "pools"), queues: m.queues, credentials: m.o.Credentials,
		metrics: metrics, suspensions: newSuspensions(m.store), states: poolStates{m.store}, all: map[string]*pooling{},
	}
}

// poolKey is where the suspension of a pool is kept: a QueueJob may have its
// name.
func poolKey(name string) string { return "workerpool/" + name }

// apply makes the manifests so. What can't be made so stays as it was and is in
// the error.
func (p *pools) apply(objects []manifest.Object) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.draining {
		return nil
	}
	var errs []error
	wanted := map[string]bool{}
	for _, o := range objects {
		wanted[o.WorkerPool.Name] = true
		if err := p.applyOne(o); err != nil {
			errs = append(errs, fmt.Errorf("%s:%d: %w", o.File, o.Line, err))
		}
	}
	for name, old := range p.all {
		if !wanted[name] && !old.leaving {
			old.leaving = true
			p.log.Info("is gone from the manifests; its workers go when they have nothing in hand", keyWorkerPool, name)
			p.wg.Go(func() { p.retire(name, old) })
		}
	}
	p.tellReaders()
	return errors.Join(errs...)
}

// applyOne starts or updates a pool; p.mu is held.
func (p *pools) applyOne(o manifest.Object) error {
	name := o.WorkerPool.Name
	old := p.all[name]
	switch {
	case old == nil:
		return p.start(o)
	case old.leaving, !reflect.DeepEqual(old.object.WorkerPool.Spec.Queue, o.WorkerPool.Spec.Queue):
		// Another Pool takes over its workers; those for another queue retire.
		old.stop()
		<-old.stopped
		delete(p.all, name)
		return p.start(o)
	case reflect.DeepEqual(old.object.WorkerPool, o.WorkerPool):
		return nil
	}
	if err := old.pool.Update(o.WorkerPool); err != nil {
		return err
	}
	suspended, err := p.suspensions.follow(poolKey(name), o.WorkerPool.Spec.Suspend)
	if err != nil {
		return err
	}
	old.pool.Suspend(suspended)
	old.object = o
	return nil
}

// start runs a pool; p.mu is held.
func (p *pools) start(o manifest.Object) error {
	wp := o.WorkerPool
	q, queueName, url, err := p.open(wp)
	if err != nil {
		return err
	}
	workers, err := process.Open(process.Options{
		Dir: filepath.Join(p.dir, wp.Name), QueueURL: url, Env: p.environment(url, wp), Logger: p.log.With(keyWorkerPool, wp.Name),
	})
	if err != nil {
		return fmt.Errorf("workerpool %s: %w", wp.Name, err)
	}
	state, err := p.states.get(wp.Name)
	if err != nil {
		return err
	}
	pool, err := workerpool.New(wp, workerpool.Options{
		Queue: q, Fleet: workers, State: state, Logger: p.log, Metrics: p.metrics,
		Keep: func(s scale.State) {
			if err := p.states.set(wp.Name, s); err != nil {
				p.log.Warn("a restart begins anew", keyWorkerPool, wp.Name, "error", err)
			}
		},
	})
	if err != nil {
		return err
	}
	suspended, err := p.suspensions.follow(poolKey(wp.Name), wp.Spec.Suspend)
	if err != nil {
		return err
	}
	pool.Suspend(suspended)
	ctx, stop := context.WithCancel(p.ctx)
	one := &pooling{object: o, pool: pool, fleet: workers, queue: q, queueName: queueName, stop: stop, stopped: make(chan struct{})}
	p.all[wp.Name] = one
	p.wg.Go(func() {
		defer close(one.stopped)
		if err := pool.Run(ctx); err != nil {
			p.log.Error("stopped", keyWorkerPool, wp.Name, "error", err)
		}
	})
	return nil
}

// open returns the queue of a pool, its name here, and the URL that its workers
// call; empty: they find it by the manifest.
func (p *pools) open(wp *v1alpha1.WorkerPool) (reporter queue.DepthReporter, name, url string, err error) {
	q, name, url, err := p.queues.open(p.ctx, &wp.ObjectMeta, wp.Spec.Queue.SQS)
	if err != nil {
		return nil, "", "", err
	}
	reporter, ok := q.(queue.DepthReporter)
	if !ok {
		return nil, "", "", fmt.Errorf("workerpool %s: its queue does not tell how much it holds", wp.Name)
	}
	return reporter, name, url, nil
}

// environment is what workers need to call the queue: for an embedded one a key
// of the SQS endpoint, for another what this process has for AWS.
func (p *pools) environment(url string, wp *v1alpha1.WorkerPool) []string {
	if url == "" {
		var env []string
		for _, v := range os.Environ() {
			if strings.HasPrefix(v, "AWS_") {
				env = append(env, v)
			}
		}
		return env
	}
	key := sqsserver.Credential{AccessKeyID: "queuemill", SecretAccessKey: "queuemill"}
	if len(p.credentials) > 0 {
		key = p.credentials[0]
	}
	env := []string{
		"AWS_ACCESS_KEY_ID=" + key.AccessKeyID, "AWS_SECRET_ACCESS_KEY=" + key.SecretAccessKey,
		"AWS_REGION=" + cmp.Or(wp.Spec.Queue.SQS.Region, p.queues.broker.DefaultRegion()),
		"AWS_EC2_METADATA_DISABLED=true",
	}
	if key.SessionToken != "" {
		env = append(env, "AWS_SESSION_TOKEN="+key.SessionToken)
	}
	return env
}

// retire lets the workers of a pool go that is gone from the manifests.
func (p *pools) retire(name string, old *pooling) {
	ctx, cancel := context.WithCancel(p.ctx)
	defer cancel()
	go func() { // a manifest that comes back takes the workers over
		select {
		case <-old.stopped:
			cancel()
		case <-ctx.Done():
		}
	}()
	err := old.pool.Retire(ctx)
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil || p.all[name] != old {
		return
	}
	old.stop()
	<-old.stopped // it keeps nothing any more
	if err := p.states.forget(name); err != nil {
		p.log.Warn("something of a pool is left", keyWorkerPool, name, "error", err)
	}
	delete(p.all, name)
	p.tellReaders()
}

// tellReaders is called when all changed; p.mu is held.
func (p *pools) tellReaders() {
	readers := map[string][]string{}
	for name, one := range p.all {
		readers[one.queueName] = append(readers[one.queueName], name)
	}
	for _, names := range readers {
		slices.Sort(names)
	}
	p.queues.setPools(readers)
}

const keyWorkerPool = "workerpool"

// drain lets all workers go, each when it has nothing in hand, and starts none.
func (p *pools) drain() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.draining {
		return
	}
	p.draining = true
	for name, one := range p.all {
		if one.leaving {
			continue
		}
		p.wg.Go(func() {
			if err := one.pool.Retire(p.ctx); err != nil && p.ctx.Err() == nil {
				p.log.Error("retire workers", keyWorkerPool, name, "error", err)
			}
			one.stop()
		})
	}
}

// wait returns when all Pools have ended.
func (p *pools) wait() { p.wg.Wait() }

// end ends all workers: each finishes what it has in hand or gives it back at
// its drain timeout. When ctx ends, those still there are killed.
func (p *pools) end(ctx context.Context) error {
	p.mu.Lock()
	p.draining = true
	all := make([]*pooling, 0, len(p.all))
	for _, one := range p.all {
		all = append(all, one)
	}
	p.mu.Unlock()
	errs := make([]error, len(all))
	var wg sync.WaitGroup
	for i, one := range all {
		wg.Go(func() {
			one.stop()
			<-one.stopped // it starts nothing any more
			errs[i] = one.fleet.Stop(ctx)
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// suspend is durable when it returns.
func (p *pools) suspend(name string, suspend bool) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	one := p.all[name]
	if one == nil {
		return executor.ErrNotFound
	}
	word := suspension{Suspended: suspend, Manifest: one.object.WorkerPool.Spec.Suspend}
	if err := p.suspensions.set(poolKey(name), word); err != nil {
		return err
	}
	one.pool.Suspend(suspend)
	return nil
}

// list are all pools by name, as they are now.
func (p *pools) list() []pooling {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := make([]pooling, 0, len(p.all))
	for _, one := range p.all {
		all = append(all, *one)
	}
	slices.SortFunc(all, func(a, b pooling) int { return cmp.Compare(a.object.WorkerPool.Name, b.object.WorkerPool.Name) })
	return all
}

// idle tells whether the queues of all pools are empty, in flight included. What
// is suspended works on nothing, so its queue does not count.
func (p *pools) idle(ctx context.Context) bool {
	for _, one := range p.list() {
		if one.pool.Status().Suspended {
			continue
		}
		if d, err := one.queue.Depth(ctx); err != nil || d.Total() > 0 {
			return false
		}
	}
	return true
}

// suspendedByPerson are the pools that are suspended though their manifest does
// not say so, as they are to be named.
func (p *pools) suspendedByPerson() (names []string) {
	for _, one := range p.list() {
		key := poolKey(one.object.WorkerPool.Name)
		suspended, byPerson, err := p.suspensions.effective(key, one.object.WorkerPool.Spec.Suspend)
		if err == nil && suspended && byPerson {
			names = append(names, key)
		}
	}
	return names
}

// held says of each suspended pool how many messages are left for it.
func (p *pools) held(ctx context.Context) (held []string) {
	for _, one := range p.list() {
		if !one.pool.Status().Suspended {
			continue
		}
		if d, err := one.queue.Depth(ctx); err == nil && d.Total() > 0 {
			held = append(held, fmt.Sprintf("%d waiting in the queue %s: workerpool %s is suspended", d.Total(), one.queueName, one.object.WorkerPool.Name))
		}
	}
	return held
}

// present is how many workers there are. Which of them are busy was seen at the
// last look, and may be otherwise by now.
func (p *pools) present() (n int) {
	for _, one := range p.list() {
		w := one.pool.Status().Workers
		n += w.Starting + w.Ready + w.Retiring
	}
	return n
}

// busy is how many workers have work in hand.
func (p *pools) busy() (n int) {
	for _, one := range p.list() {
		n += one.pool.Status().Workers.Busy
	}
	return n
}

// ListPools is httpapi.Pools's.
func (p *pools) ListPools(context.Context) ([]httpapi.WorkerPool, error) {
	views := []httpapi.WorkerPool{}
	for _, one := range p.list() {
		views = append(views, one.view())
	}
	return views, nil
}

// SuspendPool is httpapi.Pools's.
func (p *pools) SuspendPool(_ context.Context, name string, suspend bool) error {
	return p.suspend(name, suspend)
}

func (one *pooling) view() httpapi.WorkerPool {
	wp, s := one.object.WorkerPool, one.pool.Status()
	v := httpapi.OfManifest(wp)
	v.Queue, v.File, v.Suspended, v.Leaving = one.queueName, one.object.File, s.Suspended, one.leaving
	v.Desired, v.Workers, v.Messages, v.Decision, v.Trouble = s.Desired, s.Workers, s.Queue, s.Decision, s.Trouble
	if s.Source != nil {
		v.SourceError = s.Source.Error()
	}
	return v
}
