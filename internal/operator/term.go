package operator

import (
	"context"
	"sync"

	"k8s.io/apimachinery/pkg/types"
)

// term is one leadership: what runs in it, runs until it ends.
type term struct {
	ctx context.Context
	wg  sync.WaitGroup // of all that was started

	mu    sync.Mutex
	ended bool
	all   map[types.NamespacedName]*running
}

func newTerm(ctx context.Context) *term {
	return &term{ctx: ctx, all: map[types.NamespacedName]*running{}}
}

// bind returns a context that ends with ctx and with the term.
func (t *term) bind(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(t.ctx, cancel)
	return ctx, func() { stop(); cancel() }
}

func (t *term) get(key types.NamespacedName) *running {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.all[key]
}

// start runs r, unless the term is over.
func (t *term) start(r *running) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ended {
		return
	}
	t.all[r.key] = r
	r.start(t.ctx)
	t.wg.Go(func() { <-r.done })
}

// stop ends what runs of a QueueJob, if anything does, and waits for it.
func (t *term) stop(key types.NamespacedName) {
	t.mu.Lock()
	r := t.all[key]
	delete(t.all, key)
	t.mu.Unlock()
	if r != nil {
		r.stop()
	}
}

// end waits for the end of all that runs, once ctx has ended.
func (t *term) end() {
	t.mu.Lock()
	t.ended = true
	t.mu.Unlock()
	t.wg.Wait()
}

func (t *term) count() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.all)
}

// look returns when the state of all that runs could be looked at.
func (t *term) look() {
	t.mu.Lock()
	all := make([]*running, 0, len(t.all))
	for _, r := range t.all {
		all = append(all, r)
	}
	t.mu.Unlock()
	for _, r := range all {
		r.look()
	}
}
