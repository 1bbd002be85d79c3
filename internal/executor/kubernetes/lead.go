package kubernetes

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

const (
	// gatherers is how many failures are looked into side by side.
	gatherers = 8
	// holdAtMost is how long the end of a failed job is held back until it is
	// known why; then it is told with what its Job alone says.
	holdAtMost = 5 * time.Second
	// gatherAgain is how long to wait before a finding that could not be written
	// is gathered and written again.
	gatherAgain = 5 * time.Second
	// lookEvery is how often Lead looks for Jobs that can't start.
	lookEvery = 2 * time.Second
)

// Lead gathers why Jobs failed, or can't start, and writes it on them, until ctx
// ends; then it returns nil. Only the leader does so.
//
//	failing ─▶ gathered, kept here        while pods still end
//	failed ──▶ gathered, written, told    pods, their events and the end of the log, in one patch
//	Queued ──▶ noticed, told ─▶ written   once per cause, when it lasts
func (c *Cluster) Lead(ctx context.Context) error {
	if err := c.Sync(ctx); err != nil {
		return nil //nolint:nilerr // ctx has ended
	}
	l := &leader{
		c: c, t: c.tracker, wake: make(chan struct{}, 1), warnings: warnings{client: c.client},
		queued: make(map[types.UID]phase), early: make(map[types.UID]*earlyFinding), stuck: make(map[types.UID]*stuck),
	}
	l.t.lead(l.note)
	defer l.t.lead(nil)
	var wg sync.WaitGroup
	for range gatherers {
		wg.Go(func() { l.work(ctx) })
	}
	wg.Go(func() { l.watchStuck(ctx) })
	wg.Go(func() { l.adoptSecrets(ctx) })
	wg.Wait()
	return nil
}

// leader is what Lead holds: nothing that a further leader needs.
type leader struct {
	c    *Cluster
	t    *tracker
	wake chan struct{} // capacity 1

	warnings warnings

	mu     sync.Mutex
	queue  []*object
	queued map[types.UID]phase         // as they were when they were put into the queue
	early  map[types.UID]*earlyFinding // of Jobs that fail while their pods still end

	stuck map[types.UID]*stuck // of watchStuck alone
}

// earlyFinding is what was gathered before the pods had ended.
type earlyFinding struct {
	done    chan struct{} // closed when it is there
	finding *finding
}

// note is asked of every Job that changes; the tracker's mu is held.
func (l *leader) note(o *object) (hold bool) {
	if o.deleting || o.condition == nil || o.why != nil && !o.why.Stuck {
		return false
	}
	copied := *o
	l.put(&copied)
	return o.phase == failed
}

func (l *leader) put(o *object) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if at, there := l.queued[o.uid]; there && at == o.phase {
		return
	}
	l.queued[o.uid] = o.phase
	if o.phase != failed {
		l.early[o.uid] = &earlyFinding{done: make(chan struct{})}
	}
	l.queue = append(l.queue, o)
	l.poke()
}

// done forgets a Job.
func (l *leader) done(uid types.UID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.queued, uid)
	delete(l.early, uid)
}

// tidy forgets Jobs that are gone. The tracker's lock comes before l's.
func (l *leader) tidy() {
	l.mu.Lock()
	known := slices.Collect(maps.Keys(l.queued))
	l.mu.Unlock()
	for _, uid := range known {
		if !l.t.hasJob(uid) {
			l.done(uid)
		}
	}
}

func (l *leader) poke() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// take is the next Job to look into, nil when there is none.
func (l *leader) take() *object {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.queue) == 0 {
		return nil
	}
	o := l.queue[0]
	l.queue[0] = nil
	l.queue = l.queue[1:]
	if len(l.queue) > 0 {
		l.poke()
	}
	return o
}

func (l *leader) work(ctx context.Context) {
	for {
		o := l.take()
		if o == nil {
			select {
			case <-l.wake:
				continue
			case <-ctx.Done():
				return
			}
		}
		if ctx.Err() != nil {
			return
		}
		l.lookInto(ctx, o)
	}
}

// lookInto gathers why o fails, and writes it once it has failed.
func (l *leader) lookInto(ctx context.Context, o *object) {
	l.mu.Lock()
	early := l.early[o.uid]
	l.mu.Unlock()
	if o.phase != failed {
		if early != nil {
			early.finding = l.gather(ctx, o, nil)
			close(early.done)
		}
		return
	}
	var before *finding
	if early != nil {
		select { // it was begun before this, and its calls are bounded
		case <-early.done:
			before = early.finding
		case <-ctx.Done():
			return
		}
	}
	f := l.gather(ctx, o, before)
	// Told before it is written: what is told needs no writing, and the write
	// may take its time.
	l.t.found(o.uid, f)
	err := l.write(ctx, o, f)
	l.done(o.uid)
	if err == nil || ctx.Err() != nil {
		return
	}
	l.c.log.Warn("the reason of a failure could not be written", keyNamespace, o.namespace, keyJob, o.name, keyError, err)
	time.AfterFunc(gatherAgain, func() {
		if ctx.Err() == nil {
			l.put(o)
		}
	})
}

// adoptSecrets repeats what a controller that died may have left undone: each
// Job owns its Secret. Where it does already, nothing changes.
func (l *leader) adoptSecrets(ctx context.Context) {
	for _, o := range l.t.withSecrets() {
		if ctx.Err() != nil {
			return
		}
		l.c.Executor(o.namespace, nil).adoptSecret(ctx, o)
	}
}
