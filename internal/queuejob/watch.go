package queuejob

import (
	"context"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/queuemill/queuemill/internal/executor"
	"github.com/queuemill/queuemill/internal/reason"
	"github.com/queuemill/queuemill/internal/record"
)

// watch keeps the view: watch, list, and again after an error.
func (r *Runner) watch(ctx context.Context) error {
	t := r.trouble(opExecutor)
	defer t.ok()
	for {
		err := r.watchOnce(ctx, t)
		if ctx.Err() != nil {
			return nil
		}
		if err == nil {
			err = fmt.Errorf("watch of %s ended", r.name)
		}
		if !t.wait(ctx, err) {
			return nil
		}
	}
}

// watchOnce watches until an error. The list comes after the watch has begun,
// so no change is missed; what the watch shows meanwhile is the newer.
func (r *Runner) watchOnce(ctx context.Context, t *trouble) error {
	r.mu.Lock()
	r.view.touched = map[string]struct{}{}
	r.unlock()

	g, ctx := errgroup.WithContext(ctx)
	ready := make(chan struct{})
	g.Go(func() error {
		err := r.executor.Watch(ctx, r.name, sync.OnceFunc(func() { close(ready) }), r.observe)
		if err == nil {
			err = fmt.Errorf("watch of %s ended", r.name)
		}
		return err
	})
	g.Go(func() error {
		select {
		case <-ready:
		case <-ctx.Done():
			return nil
		}
		began := time.Now()
		records, err := r.executor.List(ctx, r.name)
		if err != nil {
			return fmt.Errorf("list jobs of %s: %w", r.name, err)
		}
		r.install(records, began)
		t.ok()
		if !r.synced() {
			r.catchUp()
		}
		return nil
	})
	return g.Wait()
}

// install takes in a list that was begun at the given time.
func (r *Runner) install(records []record.Record, began time.Time) {
	r.mu.Lock()
	defer r.unlock()
	listed := make(map[string]struct{}, len(records))
	for i := range records {
		name := records[i].Name
		listed[name] = struct{}{}
		if _, newer := r.view.touched[name]; !newer {
			r.take(executor.Event{Record: records[i]})
		}
	}
	for name, e := range r.view.entries {
		_, newer := r.view.touched[name]
		if _, ok := listed[name]; !ok && !newer && e.state != "" {
			r.take(executor.Event{Record: record.Record{Name: name, UID: e.uid}, Deleted: true})
		}
	}
	r.view.touched = nil
	r.forget(began)
}

// observe takes in one event of the watch. It does not block.
func (r *Runner) observe(ev executor.Event) {
	r.mu.Lock()
	defer r.unlock()
	if r.view.touched != nil {
		r.view.touched[ev.Record.Name] = struct{}{}
	}
	r.take(ev)
}

// take applies an event and starts what follows from it; r.mu is held.
func (r *Runner) take(ev executor.Event) {
	var attempt int
	var stuckFor reason.Reason
	if e := r.view.entries[ev.Record.Name]; e != nil {
		attempt = e.attempt
		if e.isStuck() {
			stuckFor = e.reason
		}
	}
	c := r.view.apply(ev)
	if c.entry == nil {
		return
	}
	defer r.wakeReceive.poke()
	r.noteFull()
	if c.deleted {
		r.deleted(&c)
		r.settleOf(c.entry.messageID)
		return
	}
	r.noteStuck(&c, stuckFor)
	r.measure(&c)
	if c.finished(attempt) {
		r.finished(&c)
	}
	r.settleOf(c.entry.messageID)
	if c.entry.retry && c.entry.state.Finished() {
		r.wantRetry(c.name)
	}
	if c.entry.state == record.Succeeded {
		r.retainSucceeded(c.name, c.entry)
	}
	r.notePrune(c.name, c.entry)
}

// forget gives room back that jobs take which were created before the given time
// and never shown; r.mu is held.
func (r *Runner) forget(before time.Time) {
	for _, id := range r.view.forget(before) {
		r.settleOf(id)
	}
}

// handOver takes names out of hand; r.mu is held.
func (r *Runner) handOver(names ...string) {
	for _, name := range names {
		e := r.view.put(name)
		r.settleOf(e.messageID)
		r.retainAcked(e)
		r.notePrune(name, e)
		if e.retry && e.state.Finished() {
			r.wantRetry(name) // it was asked for while the name was in hand
		}
	}
	r.wakeReceive.poke()
}

// measure notes how long a job waited for its start.
func (r *Runner) measure(c *change) {
	e := c.entry
	if !c.known || c.record.StartedAt.IsZero() || e.startsSeen >= e.attempt {
		return
	}
	if e.attempt == 1 && !e.sentAt.IsZero() {
		r.metrics.waiting.Observe(seconds(e.sentAt, c.record.StartedAt))
	}
	e.startsSeen = e.attempt
}

// finished follows a job's end; r.mu is held.
func (r *Runner) finished(c *change) {
	now := time.Now()
	e := c.entry
	if e.state == record.Invalid {
		return // counted where it was made
	}
	r.metrics.finish(e.state, e.reason)
	if !c.record.StartedAt.IsZero() {
		r.metrics.running.Observe(seconds(c.record.StartedAt, c.record.FinishedAt))
	}
	switch {
	case e.state == record.Succeeded:
		if r.breaker.Succeeded(now) {
			r.event(false, EventBreakerClosed, c.name, "a job succeeded: receiving goes on")
		}
	case e.reason != reason.Deleted && e.reason != reason.Interrupted:
		detail := string(e.reason)
		if c.record.Cause != nil && c.record.Cause.Detail != "" {
			detail += ": " + c.record.Cause.Detail
		}
		r.event(true, EventFailed, c.name, detail)
		if r.breaker.Failed(now) {
			r.event(true, EventBreakerOpen, c.name, "too many failures: nothing is received until "+r.breaker.Until.Format(time.TimeOnly))
			r.interruptReceive()
		}
	}
}

// deleted follows the end of a record; r.mu is held.
func (r *Runner) deleted(c *change) {
	if !c.entry.unfinished() {
		return
	}
	r.breaker.Trial = false
	what := "deleted while unfinished: gone, since its message was acknowledged at its create"
	if l := r.leases[c.entry.messageID]; l != nil && l.ack == onSuccess {
		what = "deleted while unfinished: its message is given back"
	}
	r.event(true, EventDeleted, c.name, what)
}

// noteFull tells once when the history of failures becomes full; r.mu is held.
func (r *Runner) noteFull() {
	full := r.full()
	if full && !r.wasFull {
		r.event(true, EventRecordsFull, "", r.fullMessage())
		r.interruptReceive()
	}
	r.wasFull = full
}

// seconds between two times, never below zero: the clocks may be two machines'.
func seconds(from, to time.Time) float64 { return max(0, to.Sub(from).Seconds()) }
