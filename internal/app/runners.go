package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"strings"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/queuemill/queuemill/api/v1alpha1"
	"github.com/queuemill/queuemill/internal/executor"
	"github.com/queuemill/queuemill/internal/httpapi"
	"github.com/queuemill/queuemill/internal/manifest"
	"github.com/queuemill/queuemill/internal/queue"
	"github.com/queuemill/queuemill/internal/queue/sqs"
	"github.com/queuemill/queuemill/internal/queuejob"
	"github.com/queuemill/queuemill/internal/record"
)

// runners are the QueueJobs of the manifests, a Runner each.
type runners struct {
	ctx         context.Context // its end stops all Runners at once
	log         *slog.Logger
	executor    queuejob.Executor
	queues      *queues
	metrics     *queuejob.Metrics
	suspensions suspensions
	bursts      *bursts
	kind        string // of the executor
	leaveJobs   bool   // jobs go on when the Runners stop

	wg sync.WaitGroup // of all Runners

	mu       sync.Mutex
	applied  bool // the manifests were applied once
	draining bool
	all      map[string]*running // by QueueJob
}

// running is one QueueJob at work. A QueueJob that left the manifests, or reads
// another queue now, drains first: leaving is set, and next is what follows.
type running struct {
	object    manifest.Object
	runner    *queuejob.Runner
	queue     queue.Queue
	queueName string
	leaving   bool
	next      *manifest.Object
}

func newRunners(ctx context.Context, m *mill, metrics *queuejob.Metrics) *runners {
	return &runners{
		ctx: ctx, log: m.log, executor: m.executor, queues: m.queues, metrics: metrics,
		suspensions: newSuspensions(m.store), bursts: newBursts(m.log), all: map[string]*running{},
		kind: m.kind, leaveJobs: m.endJobs == nil,
	}
}

// apply makes the manifests so: starts what is new, updates what changed, lets
// what is gone finish. What can't be made so stays as it was and is in the
// error; the others are made so all the same.
func (r *runners) apply(objects []manifest.Object) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.draining {
		return nil
	}
	var errs []error
	wanted := map[string]bool{}
	for _, o := range objects {
		name := o.QueueJob.Name
		wanted[name] = true
		old := r.all[name]
		var err error
		switch {
		case old == nil:
			err = r.start(o)
		case old.leaving:
			old.next = &o
		case !reflect.DeepEqual(old.object.QueueJob.Spec.Queue, o.QueueJob.Spec.Queue):
			r.log.Info("reads another queue once its jobs have finished", keyQueueJob, name)
			old.leaving, old.next = true, &o
			old.runner.StopReceiving()
		case !reflect.DeepEqual(old.object.QueueJob, o.QueueJob):
			err = r.update(old, o)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s:%d: %w", o.File, o.Line, err))
		}
	}
	for name, old := range r.all {
		if wanted[name] {
			continue
		}
		old.next = nil
		if !old.leaving {
			r.log.Info("is gone from the manifests; its jobs finish", keyQueueJob, name)
			old.leaving = true
			old.runner.StopReceiving()
		}
	}
	r.applied = true
	r.tellReaders()
	return errors.Join(errs...)
}

// start runs a QueueJob; r.mu is held.
func (r *runners) start(o manifest.Object) error {
	qj := o.QueueJob
	q, name, _, err := r.queues.open(r.ctx, &qj.ObjectMeta, qj.Spec.Queue.SQS)
	if err != nil {
		return err
	}
	runner, err := queuejob.New(qj, queuejob.Options{
		Queue: q, Executor: r.executor, Logger: r.log, Metrics: r.metrics, OnEvent: r.tell,
	})
	if err != nil {
		return err
	}
	suspended, err := r.suspensions.follow(qj.Name, qj.Spec.Suspend)
	if err != nil {
		return err
	}
	runner.Suspend(suspended)
	runner.LeaveJobs(r.leaveJobs)
	r.all[qj.Name] = &running{object: o, runner: runner, queue: q, queueName: name}
	r.wg.Go(func() {
		if err := runner.Run(r.ctx); err != nil {
			r.log.Error("stopped", keyQueueJob, qj.Name, "error", err)
		}
		r.ended(qj.Name)
	})
	return nil
}

func (r *runners) update(old *running, o manifest.Object) error {
	if err := old.runner.Update(o.QueueJob); err != nil {
		return err
	}
	suspended, err := r.suspensions.follow(o.QueueJob.Name, o.QueueJob.Spec.Suspend)
	if err != nil {
		return err
	}
	old.runner.Suspend(suspended)
	old.object = o
	return nil
}

// ended follows a Runner's end: with the QueueJob's next manifest, or with what
// its deletionPolicy says.
func (r *runners) ended(name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	old := r.all[name]
	if r.draining || r.ctx.Err() != nil || !old.leaving {
		return
	}
	delete(r.all, name)
	if old.next != nil {
		if err := r.start(*old.next); err != nil {
			r.log.Error("can't follow its manifest", keyQueueJob, name, "error", err)
		}
	} else if old.object.QueueJob.Spec.DeletionPolicy == v1alpha1.DeletionDelete {
		if err := r.deleteJobs(name); err != nil {
			r.log.Error("delete the jobs of a QueueJob that is gone", keyQueueJob, name, "error", err)
		}
	}
	r.tellReaders()
}

func (r *runners) deleteJobs(queueJob string) error {
	all, err := r.executor.List(r.ctx, queueJob)
	if err != nil {
		return err
	}
	var errs []error
	for _, rec := range all {
		if err := r.executor.Delete(r.ctx, rec.Name, rec.UID); err != nil && !errors.Is(err, executor.ErrNotFound) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// tellReaders is called when all changed; r.mu is held.
func (r *runners) tellReaders() {
	readers := map[string][]string{}
	for name, one := range r.all {
		readers[one.queueName] = append(readers[one.queueName], name)
	}
	for _, names := range readers {
		slices.Sort(names)
	}
	r.queues.setReaders(readers)
}

// tell logs what a person should know.
func (r *runners) tell(e queuejob.Event) {
	level := slog.LevelInfo
	if e.Warning {
		level = slog.LevelWarn
	}
	text := e.Message
	switch e.Reason {
	case queuejob.EventInvalid: // its own text quotes the message
		text = "a message is invalid; describe says why"
	case queuejob.EventFailed:
		text = "job failed: " + text
	}
	attrs := []any{keyQueueJob, e.QueueJob, "reason", string(e.Reason)}
	if e.Job != "" {
		attrs = append(attrs, "job", e.Job)
	}
	r.log.Log(r.ctx, r.bursts.level(e, level), text, attrs...)
}

const keyQueueJob = "queuejob"

// drain stops receiving for good.
func (r *runners) drain() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.draining = true
	for _, one := range r.all {
		one.runner.StopReceiving()
	}
}

// wait returns when all Runners have ended.
func (r *runners) wait() {
	r.wg.Wait()
	r.bursts.flush()
}

// working tells whether the manifests were applied.
func (r *runners) working() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.applied
}

// get is the QueueJob at work, executor.ErrNotFound when there is none.
func (r *runners) get(name string) (*running, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if one := r.all[name]; one != nil {
		return one, nil
	}
	return nil, executor.ErrNotFound
}

// suspend is durable when it returns.
func (r *runners) suspend(name string, suspend bool) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	one := r.all[name]
	if one == nil {
		return executor.ErrNotFound
	}
	word := suspension{Suspended: suspend, Manifest: one.object.QueueJob.Spec.Suspend}
	if err := r.suspensions.set(name, word); err != nil {
		return err
	}
	one.runner.Suspend(suspend)
	return nil
}

// suspendedByPerson are the QueueJobs that are suspended though their manifest
// does not say so.
func (r *runners) suspendedByPerson() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var names []string
	for name, one := range r.all {
		suspended, byPerson, err := r.suspensions.effective(name, one.object.QueueJob.Spec.Suspend)
		if err == nil && suspended && byPerson {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// example is a message for the first QueueJob: the fields it wants.
func (r *runners) example() string {
	views := r.views()
	if len(views) == 0 {
		return `{"hello": "world"}`
	}
	one, err := r.get(views[0].Name)
	if err != nil {
		return ""
	}
	return exampleBody(&one.object.QueueJob.Spec.Message)
}

func exampleBody(spec *v1alpha1.MessageSpec) string {
	if !slices.Contains(spec.Format, v1alpha1.FormatJSON) {
		return "hello"
	}
	var fields []string
	for _, env := range spec.Env {
		if strings.ContainsAny(env.FieldPath, ".[") {
			continue
		}
		value := "…"
		if env.Default != nil {
			value = *env.Default
		}
		fields = append(fields, fmt.Sprintf("%q: %q", env.FieldPath, value))
	}
	return "{" + strings.Join(fields, ", ") + "}"
}

// foreign tells whether a queue is on another machine, where a look costs
// money and counts are approximate.
func (r *runners) foreign() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, one := range r.all {
		if _, ok := one.queue.(*sqs.Queue); ok {
			return true
		}
	}
	return false
}

// idle tells whether the queues are empty and the jobs finished. The queues are
// asked first: a message that has left its queue has its job. What is suspended
// or full receives nothing, so its queue does not count. Nothing is idle before
// the manifests say what there is to do.
func (r *runners) idle(ctx context.Context) bool {
	if !r.working() {
		return false
	}
	r.mu.Lock()
	all := make([]*running, 0, len(r.all))
	for _, one := range r.all {
		all = append(all, one)
	}
	r.mu.Unlock()
	for _, one := range all {
		if stuck(one.runner.Status()) {
			continue
		}
		reporter, ok := one.queue.(queue.DepthReporter)
		if !ok {
			continue
		}
		if d, err := reporter.Depth(ctx); err != nil || d.Total() > 0 {
			return false
		}
	}
	for _, one := range all {
		if !one.runner.Idle() {
			return false
		}
	}
	return true
}

// held says of each QueueJob that receives nothing why, and how many messages
// are left for it.
func (r *runners) held(ctx context.Context) []string {
	r.mu.Lock()
	all := make([]*running, 0, len(r.all))
	for _, one := range r.all {
		all = append(all, one)
	}
	r.mu.Unlock()
	var held []string
	for _, one := range all {
		s := one.runner.Status()
		reporter, ok := one.queue.(queue.DepthReporter)
		if !ok || !stuck(s) {
			continue
		}
		d, err := reporter.Depth(ctx)
		if err != nil || d.Total() == 0 {
			continue
		}
		why := "has a full history of failures"
		if isTrue(s, queuejob.ConditionSuspended) {
			why = "is suspended"
		}
		held = append(held, fmt.Sprintf("%d waiting in the queue %s: %s %s", d.Total(), one.queueName, one.object.QueueJob.Name, why))
	}
	slices.Sort(held)
	return held
}

func stuck(s queuejob.Status) bool {
	return isTrue(s, queuejob.ConditionSuspended) || isTrue(s, queuejob.ConditionRecordsFull)
}

func isTrue(s queuejob.Status, condition string) bool {
	for _, c := range s.Conditions {
		if c.Type == condition && c.Status == metav1.ConditionTrue {
			return true
		}
	}
	return false
}

// views are all QueueJobs by name.
func (r *runners) views() []httpapi.QueueJob {
	r.mu.Lock()
	defer r.mu.Unlock()
	views := []httpapi.QueueJob{}
	for _, one := range r.all {
		views = append(views, one.view(r.kind))
	}
	slices.SortFunc(views, func(a, b httpapi.QueueJob) int { return cmp.Compare(a.Name, b.Name) })
	return views
}

func (one *running) view(kind string) httpapi.QueueJob {
	qj, s := one.object.QueueJob, one.runner.Status()
	v := httpapi.QueueJob{
		Name: qj.Name, Queue: one.queueName, Executor: kind, Ack: string(qj.Spec.Ack), MaxActive: s.MaxActive,
		Jobs: httpapi.Counts{
			Queued: s.Jobs[record.Queued], Running: s.Jobs[record.Running], Succeeded: s.Jobs[record.Succeeded],
			Failed: s.Jobs[record.Failed], Invalid: s.Jobs[record.Invalid],
		},
		InHand: s.InHand, Duplicates: s.Duplicates, LastSeen: s.LastMessage,
		Conditions: []httpapi.Condition{}, File: one.object.File,
	}
	for _, c := range s.Conditions {
		is := c.Status == metav1.ConditionTrue
		v.Suspended = v.Suspended || is && c.Type == queuejob.ConditionSuspended
		v.Conditions = append(v.Conditions, httpapi.Condition{Type: c.Type, Status: is, Reason: c.Reason, Message: c.Message})
	}
	return v
}
