package operator

import (
	"context"
	"errors"
	"log/slog"
	"reflect"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/queuemill/queuemill/api/v1alpha1"
	"github.com/queuemill/queuemill/internal/fleet/kubernetes"
	"github.com/queuemill/queuemill/internal/queuejob"
	"github.com/queuemill/queuemill/internal/scale"
	"github.com/queuemill/queuemill/internal/workerpool"
)

// poolRun is one WorkerPool that is followed, from the moment it may be until it
// is stopped: by its deletion, by the allow-list, or by the end of the term. Its
// workers outlive it.
type poolRun struct {
	op  *Operator
	key types.NamespacedName
	uid types.UID
	log *slog.Logger

	cancel context.CancelFunc
	done   chan struct{}
	edited chan struct{} // the spec is another one: check it
	wake   chan struct{} // something happened: write the status now
	fold   *fold

	mu      sync.Mutex
	wp      *v1alpha1.WorkerPool // as it is followed, defaults set
	latest  int64                // the generation that was seen last, followed or not
	refused *refusal             // why the latest is not followed; nil: it is
	verdict verdict              // on the template
	pool    *workerpool.Pool     // nil while the queue is being opened
	reopen  context.CancelFunc   // ends the Pool, since another queue is wanted; nil: there is none
	opened  *v1alpha1.WorkerPool // as the last Pool was opened with; nil: none was
	last    *workerpool.Status   // of the Pool, also of one that ended; nil: none was asked
	opening error                // why the queue could not be opened; nil: it could, or is being tried
}

func newPoolRun(op *Operator, wp *v1alpha1.WorkerPool) *poolRun {
	r := &poolRun{
		op: op, key: client.ObjectKeyFromObject(wp), uid: wp.UID, wp: wp, latest: wp.Generation,
		log:  op.log.With(keyNamespace, wp.Namespace, keyWorkerPool, wp.Name),
		done: make(chan struct{}), edited: make(chan struct{}, 1), wake: make(chan struct{}, 1),
	}
	about := reference(v1alpha1.KindWorkerPool, wp)
	r.fold = newFold(func(warning bool, reason queuejob.EventReason, _, note string) {
		op.recorder.tell(happening{about: about, warning: warning, reason: string(reason), action: "Scale", note: note})
	})
	return r
}

func (r *poolRun) start(ctx context.Context) {
	ctx, r.cancel = context.WithCancel(ctx)
	var parts sync.WaitGroup
	for _, part := range []func(context.Context){r.work, r.check, r.report} {
		parts.Go(func() { part(ctx) })
	}
	go func() {
		defer close(r.done)
		parts.Wait()
		r.fold.close()
	}()
}

func (r *poolRun) stop() {
	r.cancel()
	<-r.done
}

func (r *poolRun) ended() <-chan struct{} { return r.done }

func (r *poolRun) look() { r.now() }

// now is how the Pool does, or did; nil: there was none.
func (r *poolRun) now() *workerpool.Status {
	r.mu.Lock()
	pool := r.pool
	r.mu.Unlock()
	var s workerpool.Status
	if pool != nil {
		s = pool.Status() // may take the Pool's locks: r.mu is not held
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if pool != nil {
		r.last = &s
	}
	return r.last
}

// update takes the WorkerPool as it is now, or why it can't be followed: then
// the one before goes on.
func (r *poolRun) update(wp *v1alpha1.WorkerPool, refused *refusal) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.latest == wp.Generation {
		return
	}
	r.latest, r.refused = wp.Generation, refused
	if refused == nil {
		elsewhere := !samePlaces(r.wp, wp)
		r.wp = wp
		switch {
		case r.pool == nil: // opened with this one, or told when it is
		case elsewhere:
			r.reopen()
		default:
			r.change()
		}
		poke(r.edited)
	}
	poke(r.wake)
}

// samePlaces tells whether a Pool of a can go on with b: of the same queue, and
// with the same workers.
func samePlaces(a, b *v1alpha1.WorkerPool) bool {
	return reflect.DeepEqual(a.Spec.Queue, b.Spec.Queue) && reflect.DeepEqual(a.Spec.ScaleTargetRef, b.Spec.ScaleTargetRef)
}

// change makes the Pool follow r.wp; r.mu is held.
func (r *poolRun) change() {
	if err := r.pool.Update(r.wp); err != nil {
		r.refused = &refusal{reason: reasonInvalidSpec, message: err.Error()}
	}
	r.pool.Suspend(r.wp.Spec.Suspend)
}

func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// work opens the queue and keeps the workers, again and again: for another queue
// there is another Pool, which replaces the workers of the one before.
func (r *poolRun) work(ctx context.Context) {
	for failures := 0; ctx.Err() == nil; {
		held, cancel := context.WithCancel(ctx)
		pool, err := r.open(held, cancel)
		if err == nil {
			failures = 0
			err = pool.Run(held)
			r.closed()
		}
		again := held.Err() != nil // asked for
		cancel()
		if ctx.Err() == nil && !again {
			r.log.Warn("does not run; tried again", keyError, err)
			wait(ctx, backoff(failures))
			failures++
		}
	}
}

func (r *poolRun) open(ctx context.Context, cancel context.CancelFunc) (*workerpool.Pool, error) {
	r.mu.Lock()
	wp := r.wp
	state := stateOf(&wp.Status)
	if r.last != nil {
		state = r.last.State
	}
	if was := r.opened; was != nil && !reflect.DeepEqual(was.Spec.ScaleTargetRef, wp.Spec.ScaleTargetRef) {
		state = scale.State{} // it was about other workers
	}
	r.mu.Unlock()
	pool, err := r.openPool(ctx, wp, state)
	r.mu.Lock()
	defer r.mu.Unlock()
	defer poke(r.wake)
	if r.opening = err; err != nil {
		return nil, err
	}
	if !samePlaces(r.wp, wp) { // edited meanwhile
		cancel()
		return nil, context.Canceled
	}
	r.pool, r.reopen, r.opened = pool, cancel, wp
	if r.wp != wp {
		r.change()
	}
	return pool, nil
}

func (r *poolRun) openPool(ctx context.Context, wp *v1alpha1.WorkerPool, state scale.State) (*workerpool.Pool, error) {
	o := workerpool.Options{State: state, Metrics: r.op.o.PoolMetrics, OnEvent: r.told, Logger: r.op.log.With(keyNamespace, wp.Namespace)}
	var err error
	if wp.Spec.ScaleTargetRef != nil {
		o.Queue, o.Target, err = r.op.o.Pools.OpenTarget(ctx, wp, func(ctx context.Context) (string, error) { return pools{r.op}.older(ctx, wp) })
	} else {
		o.Queue, o.Fleet, err = r.op.o.Pools.Open(ctx, wp)
	}
	if err != nil {
		return nil, err
	}
	return workerpool.New(wp, o)
}

func (r *poolRun) closed() {
	r.now()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.pool, r.reopen = nil, nil
}

// told takes what the Pool tells; it must not block.
func (r *poolRun) told(e workerpool.Event) {
	r.fold.add(queuejob.Event{Warning: e.Warning, Reason: queuejob.EventReason(e.Reason), Message: e.Message})
	poke(r.wake)
}

// stateOf is what was decided last, as the status keeps it: so cooldowns hold
// over a change of the controller.
func stateOf(s *v1alpha1.WorkerPoolStatus) scale.State {
	at := func(t *metav1.MicroTime) time.Time {
		if t == nil {
			return time.Time{}
		}
		return t.Time
	}
	return scale.State{
		Desired: s.Desired, Decided: s.Decision != nil,
		LastOut: at(s.LastScaleOutTime), LastIn: at(s.LastScaleInTime), IdleSince: at(s.IdleSince),
	}
}

// check has the template dry-run: at each edit, every few minutes, and more
// often while it is not known to be valid.
func (r *poolRun) check(ctx context.Context) {
	for ctx.Err() == nil {
		r.mu.Lock()
		wp := r.wp
		r.mu.Unlock()
		var again time.Duration
		if wp.Spec.ScaleTargetRef != nil {
			again = r.letGo(ctx, wp)
		} else {
			again = r.checkTemplate(ctx, wp)
		}
		timer := time.NewTimer(again)
		select {
		case <-timer.C:
		case <-r.edited:
		case <-ctx.Done():
		}
		timer.Stop()
	}
}

// checkTemplate returns when to do so again.
func (r *poolRun) checkTemplate(ctx context.Context, wp *v1alpha1.WorkerPool) time.Duration {
	bounded, cancel := context.WithTimeout(ctx, checkBound)
	defer cancel()
	err := r.op.o.Pools.Check(bounded, wp)
	if ctx.Err() == nil && r.judged(judgePod(err)) {
		return jitter(2 * checkValid)
	}
	return jitter(2 * checkInvalid)
}

func judgePod(err error) verdict {
	var invalid *kubernetes.TemplateError
	switch {
	case err == nil:
		return verdict{metav1.ConditionTrue, "DryRun", "the API server takes a pod of it"}
	case errors.As(err, &invalid):
		return verdict{metav1.ConditionFalse, reasonTemplateInvalid, err.Error()}
	}
	return verdict{metav1.ConditionUnknown, "NotTold", err.Error()}
}

// judged takes a verdict, tells what changed by it, and says whether the template
// is valid.
func (r *poolRun) judged(v verdict) bool {
	r.mu.Lock()
	was := r.verdict.status
	r.verdict = v
	wp := r.wp
	r.mu.Unlock()
	poke(r.wake)
	r.op.metrics.checked(v)
	switch {
	case was == v.status:
	case v.status == metav1.ConditionFalse:
		pools{r.op}.tell(wp, true, reasonTemplateInvalid, "DryRun", v.message)
	case v.status == metav1.ConditionTrue && was == metav1.ConditionFalse:
		pools{r.op}.tell(wp, false, "TemplateValid", "DryRun", v.message)
	}
	return v.status == metav1.ConditionTrue
}
