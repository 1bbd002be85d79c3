package executortest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/queuemill/queuemill/internal/executor"
	"github.com/queuemill/queuemill/internal/reason"
	"github.com/queuemill/queuemill/internal/record"
)

var (
	_ executor.Executor = (*Fake)(nil)
	_ executor.Getter   = (*Fake)(nil)
	_ executor.Patcher  = (*Fake)(nil)
)

// Fake is an executor in memory. An attempt starts when it is created (unless
// Hold says otherwise) and runs until Finish or Interrupt ends it. Times are
// time.Now's, so that it works in a synctest bubble. All methods may be called
// at any time, from inside the hooks too.
type Fake struct {
	feed executor.Feed

	mu      sync.Mutex
	jobs    map[string]*fakeJob
	created []executor.Job
	uids    int
	hold    bool
	holdDel bool
	before  func(executor.Job) error
	after   func(executor.Job) error
	failing map[string]error // by operation: "delete", "patch", "list"
	lag     func() time.Duration
}

type fakeJob struct {
	rec         record.Record
	outputs     map[int]*strings.Builder // by attempt
	terminating bool
	changed     chan struct{} // closed and replaced at every change
}

// NewFake is an executor without records.
func NewFake() *Fake {
	return &Fake{jobs: make(map[string]*fakeJob), failing: make(map[string]error)}
}

// FailCreate makes every Create fail with err, nothing being created; nil ends it.
func (f *Fake) FailCreate(err error) {
	if err == nil {
		f.BeforeCreate(nil)
		return
	}
	f.BeforeCreate(func(executor.Job) error { return err })
}

// BeforeCreate is asked before each Create; its error is Create's and nothing
// is created. nil takes it away.
func (f *Fake) BeforeCreate(hook func(executor.Job) error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.before = hook
}

// AfterCreate is asked after each Create that created; its error is what the
// caller gets, as when the answer is lost on the way. nil takes it away.
func (f *Fake) AfterCreate(hook func(executor.Job) error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.after = hook
}

// FailDelete makes every Delete fail with err, nothing being deleted; nil ends it.
func (f *Fake) FailDelete(err error) { f.fail("delete", err) }

// FailPatch makes every Patch fail with err; nil ends it.
func (f *Fake) FailPatch(err error) { f.fail("patch", err) }

// FailList makes every List and Get fail with err; nil ends it.
func (f *Fake) FailList(err error) { f.fail("list", err) }

func (f *Fake) fail(operation string, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.failing[operation] = err
}

// Hold keeps attempts that are created from now on Queued until Start; with
// false new ones start at once again.
func (f *Fake) Hold(hold bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.hold = hold
}

// HoldDeletes makes Delete leave records in the state of being deleted, where
// Create answers ErrTerminating; with false those are gone.
func (f *Fake) HoldDeletes(hold bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.holdDel = hold
	if hold {
		return
	}
	for _, j := range f.jobs {
		if j.terminating {
			f.remove(j)
		}
	}
}

// Stick says why an attempt that Hold kept can't start; a zero cause takes that
// back. It panics when the job is not Queued.
func (f *Fake) Stick(name string, cause reason.Cause) {
	f.mu.Lock()
	defer f.mu.Unlock()
	j := f.job(name, record.Queued)
	rec := j.rec
	if rec.Cause = nil; cause != (reason.Cause{}) {
		rec.Cause = &cause
	}
	f.change(j, rec)
}

// Lag makes every watch tell each event so much later, in order; nil ends it.
func (f *Fake) Lag(lag func() time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.lag = lag
}

// Start starts the attempt that Hold kept. It panics when there is none.
func (f *Fake) Start(name string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	j := f.job(name, record.Queued)
	f.change(j, j.rec.StartAttempt(time.Now()))
}

// Finish ends the running attempt: Succeeded when ok, else Failed with exit
// code 1. It panics when the job does not run.
func (f *Fake) Finish(name string, ok bool) {
	if ok {
		f.Exit(name, 0)
	} else {
		f.Exit(name, 1)
	}
}

// Exit ends the running attempt with an exit code.
func (f *Fake) Exit(name string, code int) {
	o := record.Outcome{ExitCode: &code}
	if code != 0 {
		o.Cause = &reason.Cause{Reason: reason.NonZeroExit, Detail: "exit code " + strconv.Itoa(code)}
	}
	f.End(name, o)
}

// End ends the running attempt as o says; its FinishedAt is now when zero.
func (f *Fake) End(name string, o record.Outcome) {
	f.mu.Lock()
	defer f.mu.Unlock()
	j := f.job(name, record.Running)
	f.change(j, j.rec.EndAttempt(f.finishNow(j, o), false))
}

// Interrupt ends the running attempt as a restart of the controller does, and
// starts the next.
func (f *Fake) Interrupt(name string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	j := f.job(name, record.Running)
	cause := &reason.Cause{Reason: reason.Interrupted, Detail: "the controller went away; run again"}
	rec := j.rec.EndAttempt(f.finishNow(j, record.Outcome{Cause: cause}), true)
	f.change(j, rec)
	f.change(j, rec.QueueAttempt(rec.LastAttempt()+1))
	if !f.hold {
		f.change(j, j.rec.StartAttempt(time.Now()))
	}
}

func (f *Fake) finishNow(j *fakeJob, o record.Outcome) record.Outcome {
	if o.FinishedAt.IsZero() {
		o.FinishedAt = time.Now()
	}
	if out := j.outputs[j.rec.LastAttempt()]; out != nil {
		o.LogSize = int64(out.Len())
	}
	return o
}

// Output adds to the output of the latest attempt.
func (f *Fake) Output(name, text string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	j := f.job(name, "")
	n := j.rec.LastAttempt()
	if j.outputs[n] == nil {
		j.outputs[n] = &strings.Builder{}
	}
	j.outputs[n].WriteString(text)
	j.wake()
}

// Created are the jobs of all Creates that created, in order.
func (f *Fake) Created() []executor.Job {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.created)
}

// Names are the records' names in state s (of all with ""), sorted.
func (f *Fake) Names(s record.State) []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var names []string
	for name, j := range f.jobs {
		if s == "" || j.rec.State == s {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// job finds a record that a test names; want "" is any state.
func (f *Fake) job(name string, want record.State) *fakeJob {
	j := f.jobs[name]
	if j == nil {
		panic("executortest: no job " + name)
	}
	if want != "" && j.rec.State != want {
		panic(fmt.Sprintf("executortest: job %s is %s, not %s", name, j.rec.State, want))
	}
	return j
}

func (j *fakeJob) wake() {
	close(j.changed)
	j.changed = make(chan struct{})
}

func (f *Fake) change(j *fakeJob, rec record.Record) {
	j.rec = rec
	j.wake()
	f.feed.Publish(executor.Event{Record: rec.Summary()})
}

func (f *Fake) remove(j *fakeJob) {
	delete(f.jobs, j.rec.Name)
	j.wake()
	f.feed.Publish(executor.Event{Record: j.rec.Summary(), Deleted: true})
}

// Create implements executor.Executor.
func (f *Fake) Create(ctx context.Context, job executor.Job) (record.Record, error) {
	if err := ctx.Err(); err != nil {
		return record.Record{}, err
	}
	f.mu.Lock()
	before, after := f.before, f.after
	f.mu.Unlock()
	if before != nil {
		if err := before(job); err != nil {
			return record.Record{}, err
		}
	}
	rec, err := f.create(job)
	if err == nil && after != nil {
		if err := after(job); err != nil {
			return record.Record{}, err
		}
	}
	return rec, err
}

func (f *Fake) create(job executor.Job) (record.Record, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	old := f.jobs[job.Name]
	var found *record.Record
	if old != nil {
		if old.terminating {
			return record.Record{}, fmt.Errorf("create job %s: %w", job.Name, executor.ErrTerminating)
		}
		found = &old.rec
	}
	f.uids++
	rec, err := executor.NextRecord(found, job, "uid-"+strconv.Itoa(f.uids), time.Now())
	if err != nil {
		return record.Record{}, err
	}
	j := old
	if j == nil {
		j = &fakeJob{outputs: make(map[int]*strings.Builder), changed: make(chan struct{})}
		f.jobs[job.Name] = j
	}
	f.created = append(f.created, job)
	f.change(j, rec)
	if rec.State == record.Queued && !f.hold {
		f.change(j, rec.StartAttempt(time.Now()))
	}
	return j.rec.Summary(), nil
}

// List implements executor.Executor.
func (f *Fake) List(ctx context.Context, queueJob string) ([]record.Record, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := errors.Join(ctx.Err(), f.failing["list"]); err != nil {
		return nil, err
	}
	var list []record.Record
	for _, j := range f.jobs {
		if queueJob == "" || j.rec.QueueJob == queueJob {
			list = append(list, j.rec.Summary())
		}
	}
	slices.SortFunc(list, func(a, b record.Record) int { return strings.Compare(a.Name, b.Name) })
	return list, nil
}

// Watch implements executor.Executor.
func (f *Fake) Watch(ctx context.Context, queueJob string, ready func(), handle func(executor.Event)) error {
	return f.feed.Watch(ctx, queueJob, ready, func(ev executor.Event) {
		f.mu.Lock()
		lag := f.lag
		f.mu.Unlock()
		if lag != nil {
			select {
			case <-time.After(lag()):
			case <-ctx.Done():
				return
			}
		}
		handle(ev)
	})
}

// Get implements executor.Getter.
func (f *Fake) Get(ctx context.Context, name string) (record.Record, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := errors.Join(ctx.Err(), f.failing["list"]); err != nil {
		return record.Record{}, err
	}
	j := f.jobs[name]
	if j == nil {
		return record.Record{}, executor.ErrNotFound
	}
	return j.rec, nil
}

// Patch implements executor.Patcher.
func (f *Fake) Patch(ctx context.Context, name, uid string, p executor.Patch) (record.Record, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := errors.Join(ctx.Err(), f.failing["patch"]); err != nil {
		return record.Record{}, err
	}
	j := f.jobs[name]
	if j == nil || uid != "" && uid != j.rec.UID {
		return record.Record{}, executor.ErrNotFound
	}
	f.change(j, p.Apply(j.rec))
	return j.rec.Summary(), nil
}

// Delete implements executor.Executor.
func (f *Fake) Delete(ctx context.Context, name, uid string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := errors.Join(ctx.Err(), f.failing["delete"]); err != nil {
		return err
	}
	j := f.jobs[name]
	if j == nil || uid != "" && uid != j.rec.UID {
		return executor.ErrNotFound
	}
	if f.holdDel {
		j.terminating = true
		return nil
	}
	f.remove(j)
	return nil
}

// Logs implements executor.Executor.
func (f *Fake) Logs(ctx context.Context, name string, o executor.LogOptions) (io.ReadCloser, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	j := f.jobs[name]
	if j == nil || j.rec.LastAttempt() == 0 || o.Attempt > j.rec.LastAttempt() || o.Attempt < 0 {
		return nil, executor.ErrNotFound
	}
	n := o.Attempt
	if n == 0 {
		n = j.rec.LastAttempt()
	}
	return &fakeLog{ctx: ctx, fake: f, job: j, attempt: n, follow: o.Follow}, nil
}

// fakeLog reads one attempt's output, and waits for more where it follows.
type fakeLog struct {
	ctx     context.Context
	fake    *Fake
	job     *fakeJob
	attempt int
	follow  bool
	offset  int
}

func (l *fakeLog) Read(p []byte) (int, error) {
	for {
		l.fake.mu.Lock()
		var text string
		if out := l.job.outputs[l.attempt]; out != nil {
			text = out.String()
		}
		ended := l.fake.jobs[l.job.rec.Name] != l.job || l.attempt < l.job.rec.LastAttempt() || l.job.rec.AttemptEnded()
		changed := l.job.changed
		l.fake.mu.Unlock()

		if l.offset < len(text) {
			n := copy(p, text[l.offset:])
			l.offset += n
			return n, nil
		}
		if ended || !l.follow {
			return 0, io.EOF
		}
		select {
		case <-l.ctx.Done():
			return 0, l.ctx.Err()
		case <-changed:
		}
	}
}

func (l *fakeLog) Close() error { return nil }
