package operator_test

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/queuemill/queuemill/api/v1alpha1"
	"github.com/queuemill/queuemill/internal/fleet"
	"github.com/queuemill/queuemill/internal/operator"
	"github.com/queuemill/queuemill/internal/queue"
)

// pools is operator.PoolEngine over workers in a test's hands, which outlive
// operators as pods do.
type pools struct {
	w *world

	mu      sync.Mutex
	verdict error
	fleets  map[string]*crew // by UID of the pool
}

func newPools(w *world) *pools { return &pools{w: w, fleets: map[string]*crew{}} }

func (p *pools) Check(context.Context, *v1alpha1.WorkerPool) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.verdict
}

func (p *pools) judge(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.verdict = err
}

func (p *pools) Workers(wp *v1alpha1.WorkerPool) fleet.Fleet { return p.crew(wp) }

func (p *pools) Open(_ context.Context, wp *v1alpha1.WorkerPool) (queue.DepthReporter, fleet.Fleet, error) {
	q, err := p.w.openByName(wp.Spec.Queue.SQS.Name)
	if err != nil {
		return nil, nil, err
	}
	return q.(queue.DepthReporter), p.crew(wp), nil
}

func (p *pools) crew(wp *v1alpha1.WorkerPool) *crew {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.fleets[string(wp.UID)] == nil {
		p.fleets[string(wp.UID)] = &crew{}
	}
	return p.fleets[string(wp.UID)]
}

// crew is the workers of one pool: ready at once, as busy as the test says.
type crew struct {
	mu      sync.Mutex
	made    int
	workers []fleet.Worker
	wrong   []string // removals that nobody agreed to
}

func (c *crew) List(context.Context) ([]fleet.Worker, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := slices.Clone(c.workers)
	for i := range all {
		report := *all[i].Report
		all[i].Report = &report
	}
	return all, nil
}

func (c *crew) Start(_ context.Context, wp *v1alpha1.WorkerPool, n int) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for range n {
		c.made++
		name := fmt.Sprintf("worker-%d", c.made)
		c.workers = append(c.workers, fleet.Worker{
			Name: name, UID: name, Template: v1alpha1.WorkerTemplateHash(&wp.Spec), State: fleet.Ready, Report: &fleet.Report{ID: name},
		})
	}
	return nil
}

func (c *crew) at(w fleet.Worker) int {
	return slices.IndexFunc(c.workers, func(x fleet.Worker) bool { return x.UID == w.UID })
}

func (c *crew) Drain(_ context.Context, w fleet.Worker, on bool) (*fleet.Report, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	i := c.at(w)
	if i < 0 {
		return nil, fleet.ErrNotFound
	}
	c.workers[i].Report.Draining = on
	c.workers[i].State = map[bool]fleet.State{true: fleet.Retiring, false: fleet.Ready}[on]
	report := *c.workers[i].Report
	return &report, nil
}

func (c *crew) Remove(_ context.Context, w fleet.Worker) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	i := c.at(w)
	if i < 0 {
		return fleet.ErrNotFound
	}
	if !c.workers[i].Report.Agreed() {
		c.wrong = append(c.wrong, w.Name)
	}
	c.workers = slices.Delete(c.workers, i, i+1)
	return nil
}

func (c *crew) Watch(ctx context.Context, _ func()) error { <-ctx.Done(); return nil }

// busy gives every worker n messages.
func (c *crew) busy(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range c.workers {
		c.workers[i].Report.InHand = n
	}
}

func (c *crew) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.workers)
}

const validPool = `
apiVersion: queuemill.dev/v1alpha1
kind: WorkerPool
spec:
  scaling: {backlogPerWorker: 1, scaleInCooldown: 0s, interval: 50ms}
  kubernetes: {template: {spec: {containers: [{name: main, image: i, command: [work]}]}}}
`

// runPools is a replica that serves WorkerPools too.
func (w *world) runPools(p *pools) *replica {
	w.t.Helper()
	return w.run(func(o *operator.Options) { o.Pools = p })
}

// applyPool makes a WorkerPool that reads the queue of its name.
func (w *world) applyPool(name string, edit func(*v1alpha1.WorkerPool)) *v1alpha1.WorkerPool {
	w.t.Helper()
	var wp v1alpha1.WorkerPool
	if err := yaml.UnmarshalStrict([]byte(validPool), &wp); err != nil {
		w.t.Fatal(err)
	}
	wp.Namespace, wp.Name = w.ns, name
	wp.Spec.Queue.SQS = &v1alpha1.SQSSource{Name: name}
	if edit != nil {
		edit(&wp)
	}
	if err := w.client.Create(w.t.Context(), &wp); err != nil {
		w.t.Fatal(err)
	}
	return &wp
}

func (w *world) pool(name string) *v1alpha1.WorkerPool {
	w.t.Helper()
	var wp v1alpha1.WorkerPool
	if err := w.client.Get(w.t.Context(), client.ObjectKey{Namespace: w.ns, Name: name}, &wp); err != nil {
		w.t.Fatal(err)
	}
	return &wp
}

func (w *world) editPool(name string, edit func(*v1alpha1.WorkerPool)) {
	w.t.Helper()
	wp := w.pool(name)
	base := wp.DeepCopy()
	edit(wp)
	if err := w.client.Patch(w.t.Context(), wp, client.MergeFrom(base)); err != nil {
		w.t.Fatal(err)
	}
}

// awaitPool waits until a pool's condition is so, at its present generation.
func (w *world) awaitPool(name, kind string, status metav1.ConditionStatus, reason string) metav1.Condition {
	w.t.Helper()
	var last metav1.Condition
	defer func() {
		if w.t.Failed() {
			w.t.Logf("the last %s: %+v", kind, last)
		}
	}()
	await(w.t, name+" is "+kind+"="+string(status)+" "+reason, func(context.Context) bool {
		wp := w.pool(name)
		c := meta.FindStatusCondition(wp.Status.Conditions, kind)
		if c == nil {
			return false
		}
		last = *c
		return c.Status == status && c.Reason == reason && wp.Status.ObservedGeneration == wp.Generation
	})
	return last
}
