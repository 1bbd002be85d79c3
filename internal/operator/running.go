package operator

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/queuemill/queuemill/api/v1alpha1"
	"github.com/queuemill/queuemill/internal/queue"
	"github.com/queuemill/queuemill/internal/queuejob"
)

// Waits before a queue that could not be opened, or a Runner that broke, is
// tried again.
const (
	openFirst = time.Second
	openMost  = 30 * time.Second
)

// running is one QueueJob at work, from the moment it may be until it is
// stopped: by its deletion, by the allow-list, or by the end of the term.
type running struct {
	op  *Operator
	key types.NamespacedName
	uid types.UID
	log *slog.Logger

	cancel  context.CancelFunc
	done    chan struct{}
	edited  chan struct{} // the spec is another one: check it, open its queue
	checked chan struct{} // closed with the first verdict on the template
	fold    *fold

	confidential atomic.Bool // as the spec says: asked where mu may be held

	mu       sync.Mutex
	qj       *v1alpha1.QueueJob // as it is followed, defaults set
	latest   int64              // the generation that was seen last, followed or not
	refused  *refusal           // why the latest is not followed; nil: it is
	verdict  verdict            // on the template
	runner   *queuejob.Runner   // nil while the queue is being opened
	queue    queue.Queue        // the Runner's
	opening  error              // why the queue could not be opened; nil: it could, or is being tried
	changing bool               // drains, since another queue is wanted
	settings string             // of the queue, for a person
}

func newRunning(op *Operator, qj *v1alpha1.QueueJob) *running {
	r := &running{
		op: op, key: client.ObjectKeyFromObject(qj), uid: qj.UID, qj: qj, latest: qj.Generation,
		log:  op.log.With(keyNamespace, qj.Namespace, keyQueueJob, qj.Name),
		done: make(chan struct{}), edited: make(chan struct{}, 1), checked: make(chan struct{}),
	}
	r.confidential.Store(qj.Spec.Message.Confidential)
	about := reference(v1alpha1.KindQueueJob, qj)
	r.fold = newFold(func(warning bool, reason queuejob.EventReason, job, note string) {
		op.recorder.tell(happening{about: about, job: job, warning: warning, reason: string(reason), action: "Run", note: note})
	})
	return r
}

// start runs r until ctx ends or it is stopped.
func (r *running) start(ctx context.Context) {
	ctx, r.cancel = context.WithCancel(ctx)
	var parts sync.WaitGroup
	for _, part := range []func(context.Context){r.work, r.check, r.inspect, r.report} {
		parts.Go(func() { part(ctx) })
	}
	go func() {
		defer close(r.done)
		parts.Wait()
		r.fold.close()
	}()
}

// stop ends r for good: also the messages of jobs that run are given back, since
// nobody of this controller will hold them any more.
func (r *running) stop() {
	r.mu.Lock()
	if r.runner != nil {
		r.runner.LeaveJobs(false)
	}
	r.mu.Unlock()
	r.cancel()
	<-r.done
}

// update takes the QueueJob as it is now, or why it can't be followed: then the
// one before holds for the jobs that run, and nothing is received.
func (r *running) update(qj *v1alpha1.QueueJob, refused *refusal) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.latest == qj.Generation {
		return
	}
	r.latest, r.refused = qj.Generation, refused
	if refused == nil {
		r.qj = qj
		r.confidential.Store(qj.Spec.Message.Confidential)
		if r.runner != nil {
			r.change()
		}
		select {
		case r.edited <- struct{}{}:
		default:
		}
	}
	r.hold()
}

// change makes the Runner follow r.qj; r.mu is held.
func (r *running) change() {
	err := r.runner.Update(r.qj)
	switch {
	case errors.Is(err, queuejob.ErrQueueChanged):
		r.log.Info("reads another queue once its jobs have finished")
		r.changing = true
		r.runner.StopReceiving()
	case err != nil:
		r.refused = &refusal{reason: reasonInvalidSpec, message: err.Error()}
	default:
		r.changing = false
	}
}

// hold tells the Runner whether it is held back; r.mu is held.
func (r *running) hold() {
	if r.runner == nil {
		return
	}
	switch {
	case r.refused != nil:
		r.runner.SetBlocked(r.refused.reason, r.refused.message)
	case r.verdict.status == metav1.ConditionFalse:
		r.runner.SetBlocked(reasonTemplateInvalid, r.verdict.message)
	default:
		r.runner.SetBlocked("", "")
	}
}

// work opens the queue and runs a Runner on it, again and again: a Runner ends
// by itself when it has drained, since another queue is wanted.
func (r *running) work(ctx context.Context) {
	select {
	case <-r.checked: // nothing is received for a template that is known to be wrong
	case <-ctx.Done():
	}
	for failures := 0; ctx.Err() == nil; {
		runner, err := r.open(ctx)
		if err == nil {
			err = runner.Run(ctx)
			r.closed()
		}
		if err == nil {
			failures = 0
			continue
		}
		if ctx.Err() == nil {
			r.log.Warn("does not run; tried again", keyError, err)
			wait(ctx, backoff(failures))
			failures++
		}
	}
}

// open opens the queue and makes its Runner.
func (r *running) open(ctx context.Context) (*queuejob.Runner, error) {
	r.mu.Lock()
	qj := r.qj
	r.mu.Unlock()
	q, err := r.op.o.OpenQueue(ctx, qj)
	var runner *queuejob.Runner
	if err == nil {
		runner, err = queuejob.New(qj, queuejob.Options{
			Queue: q, Executor: r.op.o.Engine.Executor(qj.Namespace, owner(qj)),
			Logger: r.op.log.With(keyNamespace, qj.Namespace), Metrics: r.op.o.Metrics, OnEvent: r.told,
		})
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.opening = err; err != nil {
		return nil, err
	}
	runner.LeaveJobs(true) // the next leader goes on with them
	r.runner, r.queue, r.changing = runner, q, false
	if r.qj != qj { // edited meanwhile
		r.change()
	}
	r.hold()
	return runner, nil
}

func (r *running) closed() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.runner, r.queue, r.changing = nil, nil, false
	r.settings = ""
}

// told takes what the Runner tells, also while r.mu is held; it must not block.
func (r *running) told(e queuejob.Event) {
	if r.confidential.Load() && e.Job != "" { // a cause's detail may quote what the job said
		e.Message, _, _ = strings.Cut(e.Message, ":")
	}
	r.fold.add(e)
}

// owner makes qj the owner of what has no Job yet.
func owner(qj *v1alpha1.QueueJob) *metav1.OwnerReference {
	return &metav1.OwnerReference{APIVersion: v1alpha1.APIVersion, Kind: v1alpha1.KindQueueJob, Name: qj.Name, UID: qj.UID}
}

// How often the queue is asked for its settings, and how long an answer may take.
const (
	settingsEvery = 5 * time.Minute
	settingsBound = 10 * time.Second
)

// inspect asks the queue for its settings, which a person who wonders about it
// finds in the status. What it answers to the Runner says whether it is healthy.
func (r *running) inspect(ctx context.Context) {
	for ctx.Err() == nil {
		r.mu.Lock()
		reporter, ok := r.queue.(queue.SettingsReporter)
		r.mu.Unlock()
		if !ok {
			wait(ctx, time.Second)
			continue
		}
		bounded, cancel := context.WithTimeout(ctx, settingsBound)
		s, err := reporter.Settings(bounded)
		cancel()
		if err == nil {
			r.mu.Lock()
			r.settings = describe(s)
			r.mu.Unlock()
		}
		wait(ctx, jitter(2*settingsEvery))
	}
}

// describe is a queue's settings as the message of SourceHealthy.
func describe(s queue.Settings) string {
	text := "visibility " + v1alpha1.Human(s.Visibility) + ", retention " + v1alpha1.Human(s.Retention)
	if s.DeadLetterQueue == "" {
		return text + ", no dead-letter queue"
	}
	return fmt.Sprintf("%s, after %d receives to %s", text, s.MaxReceiveCount, s.DeadLetterQueue)
}

func (r *running) ended() <-chan struct{} { return r.done }

// look returns when r's state, and its Runner's, could be looked at.
func (r *running) look() {
	r.mu.Lock()
	runner := r.runner
	r.mu.Unlock()
	if runner != nil {
		runner.Status()
	}
}

// backoff doubles from openFirst to openMost, with jitter.
func backoff(failures int) time.Duration {
	d := openMost
	if failures < 5 {
		d = min(openMost, openFirst<<failures)
	}
	return jitter(d)
}

// jitter is between half of d and d.
func jitter(d time.Duration) time.Duration { return d/2 + rand.N(d/2) }

// wait returns after d, or when ctx ends.
func wait(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
