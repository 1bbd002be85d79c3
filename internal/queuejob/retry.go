package queuejob

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/queuemill/queuemill/internal/executor"
	"github.com/queuemill/queuemill/internal/message"
	"github.com/queuemill/queuemill/internal/queue"
	"github.com/queuemill/queuemill/internal/record"
)

var (
	// ErrNotFinished: the job is queued or running and can't be retried yet.
	ErrNotFinished = errors.New("job is unfinished")
	// ErrSucceeded: the job succeeded, there is nothing to retry.
	ErrSucceeded = errors.New("job has succeeded")
)

// RetryError is a retry that can't be: Err is ErrNotFinished, ErrSucceeded or
// executor.ErrNotFound, Hint what to do instead.
type RetryError struct {
	Job  string
	Err  error
	Hint string
}

func (e *RetryError) Error() string { return fmt.Sprintf("retry %s: %v", e.Job, e.Err) }
func (e *RetryError) Unwrap() error { return e.Err }

// Retry asks for a further attempt of a failed job, or for an Invalid message to
// be read anew. The request is durable when Retry returns; it is carried out as
// soon as there is room, before anything is received, also while suspended.
func (r *Runner) Retry(ctx context.Context, name string) error {
	rec, err := r.executor.Get(ctx, name)
	switch {
	case errors.Is(err, executor.ErrNotFound) || err == nil && rec.QueueJob != r.name:
		return &RetryError{name, executor.ErrNotFound, "queuemill jobs " + r.name + " lists what there is"}
	case err != nil:
		return fmt.Errorf("retry %s: %w", name, err)
	case rec.State == record.Succeeded:
		return &RetryError{name, ErrSucceeded, "send the message again if it is to be done again"}
	case !rec.State.Finished():
		return &RetryError{name, ErrNotFinished, "wait until it has finished"}
	}
	yes := true
	if _, err := r.executor.Patch(ctx, name, rec.UID, executor.Patch{RetryRequested: &yes}); err != nil {
		return fmt.Errorf("retry %s: %w", name, err)
	}
	r.mu.Lock()
	if e := r.view.entries[name]; e != nil && e.uid == rec.UID {
		e.retry = true // no need to wait for the watch to say so
		r.wantRetry(name)
	}
	r.unlock()
	r.wakeReceive.poke()
	return nil
}

// wantRetry queues a requested retry; r.mu is held.
func (r *Runner) wantRetry(name string) {
	e := r.view.entries[name]
	if e.retrying {
		return
	}
	e.retrying = true
	r.retries = append(r.retries, name)
	r.interruptReceive()
}

// nextRetry takes the next name whose retry is still wanted, "" when there is
// none; r.mu is held.
func (r *Runner) nextRetry() string {
	for len(r.retries) > 0 {
		name := r.retries[0]
		r.retries = r.retries[1:]
		e := r.view.entries[name]
		if e == nil {
			continue
		}
		e.retrying = false
		if e.retry && e.state.Finished() && !e.inHand() {
			return name
		}
	}
	return ""
}

// startRetry begins a retry; r.mu is held.
func (r *Runner) startRetry(c *config, name string) {
	r.view.take(name)
	r.task(func() {
		t := r.trouble(opExecutor)
		defer t.ok()
		var l *lease // taken back by one try, for the next ones too
		err := r.retry(c, name, &l)
		for err != nil && t.wait(r.ctx, err) {
			err = r.retry(c, name, &l)
		}
		r.mu.Lock()
		if err == nil { // else stopped: the request is durable
			r.view.entries[name].retry = false
		}
		r.handOver(name)
		r.unlock()
	})
}

// retry carries out one request. An error is worth another try; a request that
// can't be carried out is taken back, with an event.
func (r *Runner) retry(c *config, name string, l **lease) error {
	looked := time.Now()
	rec, err := r.executor.Get(r.work, name)
	switch {
	case errors.Is(err, executor.ErrNotFound), errors.Is(err, executor.ErrTerminating):
		r.placed(*l, false)
		return nil
	case err != nil:
		return fmt.Errorf("retry %s: %w", name, err)
	case !rec.RetryRequested || !rec.State.Finished(): // by the try before, or a redelivery
		r.await(*l, &rec)
		r.placed(*l, true)
		return nil
	}
	d := r.deliveryOf(c, &rec)
	switch rec.State {
	case record.Failed:
		return r.retryFailed(d, &rec, l)
	case record.Invalid:
		return r.readAnew(d, &rec, looked)
	default:
		if err := r.refuse(&rec, "it has succeeded meanwhile"); err != nil {
			return err
		}
		r.await(*l, &rec)
		r.placed(*l, true)
		return nil
	}
}

// retryFailed starts the next attempt straight from the record.
func (r *Runner) retryFailed(d *delivery, rec *record.Record, held **lease) error {
	i := slices.IndexFunc(d.items, func(item message.Item) bool { return item.Name == rec.Name })
	if i < 0 && len(d.items) == 1 {
		i = 0 // an edited manifest names it otherwise: a retry keeps the identity
	}
	switch {
	case i < 0:
		return r.refuse(rec, "under the edited manifest its message is read as other jobs")
	case d.items[i].Invalid != nil:
		cause := d.items[i].Invalid
		return r.refuse(rec, fmt.Sprintf("under the edited manifest its message is invalid: %s: %s", cause.Reason, cause.Detail))
	}
	if d.config.ack == onSuccess && *held == nil {
		l, err := r.takeBack(d, rec)
		if err != nil {
			return err
		}
		*held = l
	}
	d.lease = *held
	job := d.job(i)
	job.Name, job.Identity, job.IdempotencyKey = rec.Name, rec.Identity, rec.IdempotencyKey
	job.Message.Items = rec.Message.Items
	job.Attempt = rec.LastAttempt() + 1
	made, err := r.executor.Create(r.work, job)
	var exists *executor.ExistsError
	var refused *executor.InvalidError
	switch {
	case err == nil:
		d.created(&job, &made)
	case errors.As(err, &refused):
		if err := r.refuse(rec, refused.Error()); err != nil {
			return err
		}
		r.await(d.lease, rec)
	case errors.As(err, &exists): // by a redelivery, or before a crash
		r.await(d.lease, &exists.Found)
	case errors.Is(err, executor.ErrNotFound), errors.Is(err, executor.ErrTerminating):
		r.await(d.lease, rec)
	default:
		return fmt.Errorf("create attempt %d of job %s: %w", job.Attempt, rec.Name, err)
	}
	r.placed(d.lease, true)
	return nil
}

// takeBack takes a message that was given back in hand again while it is still
// invisible, so that the attempt has it and no redelivery is needed. When the
// queue has it back for good the lease is a lost one: the redelivery, if there
// is one, is adopted. Nil when the message is deleted.
func (r *Runner) takeBack(d *delivery, rec *record.Record) (*lease, error) {
	if r.isAcked(rec) || rec.Message.Receipt == "" {
		return nil, nil
	}
	r.mu.Lock()
	l := r.join(rec.Message.ID)
	r.mu.Unlock()
	if l != nil {
		return l, nil
	}
	visibility := d.config.visibility()
	called := time.Now()
	err := r.batcher.Extend(r.work, queue.Extension{Receipt: rec.Message.Receipt, Visibility: visibility})
	if err != nil && !gone(err) {
		return nil, fmt.Errorf("take back the message of job %s: %w", rec.Name, err)
	}
	r.mu.Lock()
	defer r.unlock()
	if l := r.join(rec.Message.ID); l != nil {
		return l, nil
	}
	l = r.hold(d.config, d.message, called)
	l.lost = err != nil
	if rec.Message.Items > 1 {
		siblings := r.view.siblings(rec.Message.ID)
		l.incomplete = len(siblings) < rec.Message.Items
		for _, name := range siblings {
			l.items = append(l.items, awaited{name, r.view.entries[name].attempt})
		}
	}
	return l, nil
}

// join takes part in a lease that is held: siblings run, or are being placed. Nil
// when there is none; r.mu is held.
func (r *Runner) join(messageID string) *lease {
	l := r.leases[messageID]
	if l == nil || l.settling {
		return nil
	}
	l.placing++
	return l
}

// isAcked tells whether the delete of the record's message was confirmed.
func (r *Runner) isAcked(rec *record.Record) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	e := r.view.entries[rec.Name]
	return rec.Acked || e != nil && e.uid == rec.UID && e.acked()
}

// readAnew reads an Invalid message under the present manifest and lets what it
// becomes take the place of the record, which stood when it was looked at.
func (r *Runner) readAnew(d *delivery, rec *record.Record, looked time.Time) error {
	places := r.placesOf(d, rec)
	if places == nil {
		return r.refuse(rec, "under the edited manifest its message is read as other jobs")
	}
	kept := false
	acked := r.isAcked(rec)
	for _, i := range places {
		if time.Since(looked) > d.config.visibility() {
			// Another controller may have done it and removed its record since: no
			// lease tells, as it does for a message.
			return fmt.Errorf("read %s anew: its record was looked at too long ago", rec.Name)
		}
		job := d.job(i)
		job.ReplaceInvalid = job.Name == rec.Name
		name := job.Name // try may change it
		r.mu.Lock()
		r.view.take(name)
		r.mu.Unlock()
		o, err := d.try(i, &job, false)
		r.mu.Lock()
		r.handOver(name)
		r.unlock()
		switch {
		case err != nil:
			return err
		case o == left:
			return fmt.Errorf("read %s anew: %w", rec.Name, executor.ErrTerminating)
		}
		if acked {
			r.acked(rec.Message.ID, []string{job.Name})
		}
		if job.Name == rec.Name {
			kept = true
			if job.Invalid != nil {
				if err := r.refuse(rec, fmt.Sprintf("it is still invalid: %s: %s", job.Invalid.Reason, job.Invalid.Detail)); err != nil {
					return err
				}
			}
		}
	}
	if kept {
		return nil
	}
	if err := r.executor.Delete(r.work, rec.Name, rec.UID); err != nil && !errors.Is(err, executor.ErrNotFound) {
		return fmt.Errorf("remove the invalid record %s: %w", rec.Name, err)
	}
	return nil
}

// placesOf are the items of d that an Invalid record stands for: all that its
// message becomes, or the one of a message of several. The others of those had
// records of their own, which may be done and removed. Nil: it can't be told.
func (r *Runner) placesOf(d *delivery, rec *record.Record) []int {
	places := make([]int, 0, len(d.items))
	for i := range d.items {
		collided, _ := message.RecordName(r.namespace, r.name, collisionIdentity(d.message.ID, i))
		if rec.Message.Items <= 1 || d.items[i].Name == rec.Name || collided == rec.Name {
			places = append(places, i)
		}
	}
	if rec.Message.Items > 1 && len(places) != 1 {
		return nil
	}
	return places
}

// refuse takes a request back that can't be carried out.
func (r *Runner) refuse(rec *record.Record, why string) error {
	no := false
	_, err := r.executor.Patch(r.work, rec.Name, rec.UID, executor.Patch{RetryRequested: &no})
	if err != nil && !errors.Is(err, executor.ErrNotFound) {
		return fmt.Errorf("take back the retry of %s: %w", rec.Name, err)
	}
	r.mu.Lock()
	r.event(true, EventRetryRefused, rec.Name, why)
	r.unlock()
	return nil
}
