package process

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"github.com/queuemill/queuemill/internal/executor/process/supervisor"
	"github.com/queuemill/queuemill/internal/reason"
	"github.com/queuemill/queuemill/internal/record"
)

// handle brings the records up to date with what the supervisor tells.
func (e *Executor) handle(events []supervisor.Event) {
	var again []*job
	ended := false
	var rotated uint64
	b := e.store.NewBatch()
	e.writing.Lock()
	e.mu.Lock()
	for i := range events {
		event := &events[i]
		j := e.running[event.ID]
		switch {
		case event.Rotated != 0:
			rotated = event.Rotated
		case event.Grew != 0:
			e.tailGrew(event.ID)
		case j == nil:
		case event.Exit != nil:
			if e.end(j, event.Exit, b) {
				again = append(again, j)
			}
			ended = true
		default:
			j.saved.Record = j.saved.StartAttempt(event.Started)
			e.metrics.started(event.Started.Sub(j.saved.CreatedAt), j.saved.LastAttempt())
			e.publish(j)
		}
	}
	if ended {
		close(e.changed)
		e.changed = make(chan struct{})
	}
	saved := e.save(b)
	e.mu.Unlock()
	e.flush(b, saved)
	e.writing.Unlock()

	if rotated != 0 {
		e.forget(rotated)
	}
	e.mu.Lock()
	for _, j := range again {
		e.schedule(j)
	}
	e.mu.Unlock()
}

// end ends a running attempt and puts the change into b. It tells whether a
// further attempt is to follow by itself. writing and mu are held.
func (e *Executor) end(j *job, x *supervisor.Exit, b *record.Batch) (again bool) {
	delete(e.running, x.ID)
	e.janitor.put(j.scratch)
	j.scratch = nil
	e.tailEnded(x.ID)
	if j.saved.Deleting {
		e.removed(j, b)
		return false
	}
	if x.StartedAt.IsZero() {
		return false // never ran: still Queued
	}
	rec := j.saved.Record
	if rec.State != record.Running {
		rec = rec.StartAttempt(x.StartedAt)
	}
	o := outcome(x, e.templates[j.saved.Template])
	switch {
	case o.Cause == nil || o.Cause.Reason != reason.Interrupted:
		j.saved.Orphaned = 0
		again = o.Cause != nil && e.retriesLeft(j) > 0
	case j.saved.Orphaned >= orphanLimit:
		o.Cause.Detail = fmt.Sprintf("its supervisor was killed under it %d times in a row, as by the job itself; not run again by itself", j.saved.Orphaned)
	default:
		o.Cause.Detail += fmt.Sprintf("; run again as attempt %d", rec.LastAttempt()+1)
		again = true
	}
	j.saved.Record = rec.EndAttempt(o, again)
	e.metrics.ended(&o)
	b.Put(&j.saved)
	e.publish(j)
	return again
}

// interrupted is the end of a run of which nothing more is known.
func interrupted(id supervisor.RunID, started time.Time, logSize int64) *supervisor.Exit {
	now := time.Now()
	if started.IsZero() {
		started = now
	}
	return &supervisor.Exit{ID: id, StartedAt: started, FinishedAt: now, Code: -1, Lost: true, LogSize: logSize}
}

// retriesLeft is how many automatic retries the running attempt, should it
// fail, still has. Interrupted ones don't count.
func (e *Executor) retriesLeft(j *job) int {
	t := e.templates[j.saved.Template]
	if t == nil {
		return 0
	}
	return t.spec.Retries - failures(&j.saved)
}

// failures counts the attempts that failed since a person, or the message,
// asked for one.
func failures(s *record.Saved) int {
	n := 0
	for i := range s.Attempts {
		a := &s.Attempts[i]
		if a.Number >= s.Asked && a.Cause != nil && a.Cause.Reason != reason.Interrupted {
			n++
		}
	}
	return n
}

// outcome says how a run ended in the words of a record.
func outcome(x *supervisor.Exit, t *template) record.Outcome {
	o := record.Outcome{FinishedAt: x.FinishedAt, PeakMemory: x.PeakMemory, LogSize: x.LogSize}
	if x.Code >= 0 {
		o.ExitCode = &x.Code
	}
	how := fmt.Sprintf("exit code %d", x.Code)
	if x.Signal != 0 {
		o.Signal = unix.SignalName(unix.Signal(x.Signal))
		if o.Signal == "" {
			o.Signal = fmt.Sprintf("signal %d", x.Signal)
		}
		how = "ended by " + o.Signal
	}
	switch {
	case x.Lost:
		o.Cause = &reason.Cause{Reason: reason.Interrupted, Detail: "the controller or its supervisor went away while it ran"}
	case x.StartError != "":
		o.Cause = &reason.Cause{Reason: reason.StartError, Detail: x.StartError}
	case x.TimedOut:
		o.Cause = &reason.Cause{Reason: reason.DeadlineExceeded, Detail: "ran longer than its timeout" + timeoutOf(t) + "; " + how}
	case x.Stopped:
		o.Cause = &reason.Cause{Reason: reason.Interrupted, Detail: "stopped together with the controller (" + how + ")"}
	case x.Signal == int(unix.SIGKILL):
		o.Cause = &reason.Cause{Reason: reason.Signal, Detail: how + ", which Queuemill did not send: the kernel does so when memory runs out"}
	case x.Signal != 0:
		o.Cause = &reason.Cause{Reason: reason.Signal, Detail: how}
	case x.Code != 0:
		o.Cause = &reason.Cause{Reason: reason.NonZeroExit, Detail: how}
	}
	return o
}

func timeoutOf(t *template) string {
	if t == nil || t.timeout == 0 {
		return ""
	}
	return " of " + t.timeout.String()
}

// save adds to b what an earlier write could not bring to the store and returns
// the names of all in b that must not be forgotten. mu is held.
func (e *Executor) save(b *record.Batch) []string {
	for name := range e.unsaved {
		if j := e.jobs[name]; j != nil && !j.fresh {
			b.Put(&j.saved)
		} else {
			b.Delete(name)
		}
	}
	return b.Names()
}

// flush writes b. What can't be written (the disk is full) is kept for the next
// time; the journal has it meanwhile. writing is held.
func (e *Executor) flush(b *record.Batch, names []string) {
	if b.Empty() {
		b.Cancel()
		return
	}
	err := b.CommitNoSync()
	e.mu.Lock()
	clear(e.unsaved)
	if err != nil {
		for _, name := range names {
			e.unsaved[name] = struct{}{}
		}
	}
	e.mu.Unlock()
	if err != nil {
		e.log.Error("ends of jobs can't be written; they are kept in the journal", "error", err)
	}
	e.syncer.mark()
}

// forget removes the journal's files before generation, once the records they
// tell of are durable.
func (e *Executor) forget(generation uint64) {
	e.mu.Lock()
	unsaved := len(e.unsaved)
	e.mu.Unlock()
	if unsaved > 0 {
		return
	}
	err := e.store.Sync()
	if err == nil {
		err = supervisor.RemoveHistory(e.dir, generation)
	}
	if err != nil {
		e.log.Error("earlier journals can't be removed", "error", err)
	}
}

// schedule lets a Queued job's next attempt begin when it is due. mu is held.
func (e *Executor) schedule(j *job) {
	if e.stopping || e.link == nil || j.timer != nil || j.busy != nil || j.saved.State != record.Queued {
		return // resume finds it
	}
	name, uid := j.saved.Name, j.saved.UID
	j.timer = time.AfterFunc(e.due(j), func() {
		e.mu.Lock()
		j.timer = nil
		if e.stopping {
			e.mu.Unlock()
			return
		}
		e.wg.Add(1)
		e.mu.Unlock()
		defer e.wg.Done()
		e.again(name, uid)
	})
}

// due is how long a Queued job waits for its next attempt.
func (e *Executor) due(j *job) time.Duration {
	if len(j.saved.Attempts) == 0 || !j.saved.AttemptEnded() {
		return 0
	}
	last := &j.saved.Attempts[len(j.saved.Attempts)-1]
	t := e.templates[j.saved.Template]
	if t == nil || last.Cause == nil || last.Cause.Reason == reason.Interrupted {
		return 0
	}
	wait := t.wait(failures(&j.saved))
	return min(wait, time.Until(last.FinishedAt.Add(wait))) // the clock may have been set back
}

// storePause is how long an attempt waits that could not be begun for want of
// disk, or of its turn.
const storePause = time.Second

// A job whose supervisor died under it may be why, or ran beside the one that
// is. One that saw suspectAfter deaths in a row is a suspect, and suspects run
// one at a time, so that only the one to blame sees orphanLimit.
const (
	suspectAfter = 2
	orphanLimit  = 5
)

// mustWait tells whether j is a suspect while another one runs; else, when it is
// one, it takes the turn. mu is held.
func (e *Executor) mustWait(j *job) bool {
	if j.saved.Orphaned < suspectAfter {
		return false
	}
	s := e.suspect
	if s != nil && s != j && (s.busy != nil || e.running[s.runID()] == s) {
		return true
	}
	e.suspect = j
	return false
}

// again begins the next attempt of a Queued job, from what the store has.
func (e *Executor) again(name, uid string) {
	j, err := e.lock(context.Background(), name, uid)
	if err != nil {
		return // deleted meanwhile
	}
	_, runs := e.running[j.runID()]
	if runs || j.saved.State != record.Queued || j.saved.Deleting || e.available() != nil {
		e.mu.Unlock()
		e.writing.Unlock()
		return
	}
	if e.mustWait(j) {
		if j.timer == nil {
			j.timer = time.AfterFunc(storePause, func() { e.retryBegin(j) })
		}
		e.mu.Unlock()
		e.writing.Unlock()
		return
	}
	saved := j.saved
	write := func() error { return nil } // never started: goes on as it is
	if saved.AttemptEnded() {
		saved.Record = saved.QueueAttempt(saved.LastAttempt() + 1)
		write = func() error {
			b := e.store.NewBatch()
			b.Put(&saved)
			return b.CommitFreeing()
		}
	}
	t := e.templates[saved.Template]
	j.busy = make(chan struct{})
	e.mu.Unlock()
	e.writing.Unlock()

	content, err := e.store.Content(uid)
	if err == nil && t == nil {
		err = fmt.Errorf("its template %s is not in the store", saved.Template)
	}
	if err != nil {
		e.settle(j, saved, nil, nil, nil, err)
	} else {
		err = e.begin(j, saved, t, &content, write)
	}
	if err != nil {
		e.log.Error("attempt can't be started; tried again", "job", name, "error", err)
		e.mu.Lock()
		if !e.stopping && j.timer == nil {
			j.timer = time.AfterFunc(storePause, func() { e.retryBegin(j) })
		}
		e.mu.Unlock()
	}
}

func (e *Executor) retryBegin(j *job) {
	e.mu.Lock()
	defer e.mu.Unlock()
	j.timer = nil
	e.schedule(j)
}
