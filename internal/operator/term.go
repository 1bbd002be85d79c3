package operator

import (
	"context"
	"sync"

	"k8s.io/apimachinery/pkg/types"
)

// term is one leadership: what runs in it, runs until it ends.
type term struct {
	ctx   context.Context
	jobs  roll[*running]
	pools roll[*poolRun]
}

func newTerm(ctx context.Context) *term {
	return &term{ctx: ctx, jobs: newRoll[*running](), pools: newRoll[*poolRun]()}
}

// bind returns a context that ends with ctx and with the term.
func (t *term) bind(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(t.ctx, cancel)
	return ctx, func() { stop(); cancel() }
}

// end waits for the end of all that runs, once ctx has ended.
func (t *term) end() {
	t.jobs.end()
	t.pools.end()
}

// look returns when the state of all that runs could be looked at.
func (t *term) look() {
	t.jobs.look()
	t.pools.look()
}

// member is one object at work.
type member interface {
	start(ctx context.Context)
	stop() // and waits for its end
	ended() <-chan struct{}
	look() // returns when its state could be looked at
}

// roll is the members of one kind.
type roll[M member] struct {
	wg sync.WaitGroup // of all that was started

	mu   sync.Mutex
	over bool
	all  map[types.NamespacedName]M
}

func newRoll[M member]() roll[M] { return roll[M]{all: map[types.NamespacedName]M{}} }

// get returns the zero M where nothing runs.
func (r *roll[M]) get(key types.NamespacedName) M {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.all[key]
}

// start runs m until ctx ends, unless the term is over.
func (r *roll[M]) start(ctx context.Context, key types.NamespacedName, m M) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.over {
		return
	}
	r.all[key] = m
	m.start(ctx)
	r.wg.Go(func() { <-m.ended() })
}

// stop ends what runs of an object, if anything does, and waits for it.
func (r *roll[M]) stop(key types.NamespacedName) {
	r.mu.Lock()
	m, runs := r.all[key]
	delete(r.all, key)
	r.mu.Unlock()
	if runs {
		m.stop()
	}
}

func (r *roll[M]) end() {
	r.mu.Lock()
	r.over = true
	r.mu.Unlock()
	r.wg.Wait()
}

func (r *roll[M]) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.all)
}

func (r *roll[M]) look() {
	r.mu.Lock()
	all := make([]M, 0, len(r.all))
	for _, m := range r.all {
		all = append(all, m)
	}
	r.mu.Unlock()
	for _, m := range all {
		m.look()
	}
}
