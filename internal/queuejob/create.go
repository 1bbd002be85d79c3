package queuejob

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/queuemill/queuemill/internal/executor"
	"github.com/queuemill/queuemill/internal/message"
	"github.com/queuemill/queuemill/internal/queue"
	"github.com/queuemill/queuemill/internal/reason"
	"github.com/queuemill/queuemill/internal/record"
)

// itemParallel is how many records of one message are created at a time.
const itemParallel = 8

// delivery is one message in hand, from its receive until all its records are
// durable.
type delivery struct {
	r        *Runner
	config   *config // the manifest it was received under
	message  *queue.Message
	items    []message.Item
	received time.Time
	lease    *lease
	taken    []string // names in hand
}

// outcome is what became of one item. Of a message's outcomes the highest
// decides what becomes of the message.
type outcome int

const (
	done    outcome = iota // its record is durable and nothing is to be waited for
	waits                  // its job is unfinished, under OnSuccess the message waits for it
	left                   // its record is being deleted: only a redelivery can do it
	lapsed                 // the lease was lost before a job existed: its redelivery does it
	pending                // stopped before it was decided; the message is given back
)

// run places all items, and then acknowledges or holds the message.
func (d *delivery) run() {
	r := d.r
	verdict := done // of a message without items
	for _, o := range d.placeAll() {
		verdict = max(verdict, o)
	}

	r.mu.Lock()
	r.placing--
	r.handOver(d.taken...)
	if verdict == done {
		r.breaker.Trial = false // nothing was started that could decide
	}
	r.unlock()

	switch {
	case verdict == pending:
		return // the lease is given back with all others
	case verdict == lapsed:
		r.release(d.lease)
	case verdict == left && d.config.ack == onCreate:
		r.giveBack(d.lease, giveBackBackoff.Half(0))
	case verdict == done, d.config.ack == onCreate:
		r.acknowledge(d.lease, d.names())
	default:
		r.placed(d.lease, verdict != left)
	}
}

func (d *delivery) names() []string {
	names := make([]string, len(d.items))
	for i := range d.items {
		names[i] = d.items[i].Name
	}
	return names
}

func (d *delivery) placeAll() []outcome {
	outcomes := make([]outcome, len(d.items))
	if len(d.items) == 1 {
		outcomes[0] = d.place(0)
		return outcomes
	}
	var g errgroup.Group
	g.SetLimit(itemParallel)
	for i := range d.items {
		g.Go(func() error {
			outcomes[i] = d.place(i)
			return nil
		})
	}
	_ = g.Wait() // place gives no errors
	return outcomes
}

// place sees to it that the item has its one record, however often it is tried.
// What is not the message's fault is tried again for as long as it takes.
func (d *delivery) place(i int) outcome {
	r := d.r
	t := r.trouble(opExecutor)
	defer t.ok()
	job := d.job(i)
	look := d.message.ReceiveCount > 1
	for {
		o, err := d.try(i, &job, look)
		if err == nil {
			return o
		}
		if !t.wait(r.ctx, err) {
			return pending
		}
		d.mend(i, &job)
		look = true // the failed try may have created it
	}
}

// mend follows an edited manifest while a create is tried again: it may be the
// edit that lets it succeed. The identity stays the one the message was read with.
func (d *delivery) mend(i int, job *executor.Job) {
	c := d.r.config.Load()
	if c.spec == job.Spec || job.Invalid != nil || job.Name != d.items[i].Name {
		return
	}
	m := d.message
	items := c.reader.Read(message.Input{ID: m.ID, Body: m.Body, Attributes: m.Attributes})
	if len(items) != len(d.items) || items[i].Name != job.Name {
		return
	}
	item := &items[i]
	job.Spec, job.Confidential = c.spec, c.spec.Message.Confidential
	job.Payload, job.Attributes, job.Env, job.Invalid = item.Payload, item.Attributes, item.Env, item.Invalid
}

// try creates until the item is placed, or an error says that now is not the
// time. With look it finds the highest attempt first, live, and creates that one:
// the answer says what there is, and whether it is being deleted. Nothing is
// created for a message that is not held any more: whoever has it now may have
// created, and even removed, its record.
func (d *delivery) try(i int, job *executor.Job, look bool) (outcome, error) {
	r := d.r
	if look {
		rec, err := r.executor.Get(r.work, job.Name)
		switch {
		case errors.Is(err, executor.ErrTerminating):
			return left, nil
		case err != nil && !errors.Is(err, executor.ErrNotFound):
			return pending, fmt.Errorf("look at job %s: %w", job.Name, err)
		}
		job.Attempt = max(1, rec.LastAttempt())
	}
	for r.ctx.Err() == nil {
		if r.lost(d.lease) {
			return lapsed, nil
		}
		rec, err := r.executor.Create(r.work, *job)
		var exists *executor.ExistsError
		var refused *executor.InvalidError
		switch {
		case err == nil:
			return d.created(job, &rec), nil
		case errors.As(err, &exists):
			if o, again, err := d.judge(i, job, &exists.Found); !again {
				return o, err
			}
		case errors.As(err, &refused) && job.Invalid == nil:
			if job.Attempt > 1 {
				return d.refused(job, refused)
			}
			job.Invalid = &refused.Cause
			job.Payload, job.Attributes, job.Env = "", nil, nil
		case errors.Is(err, executor.ErrTerminating):
			return left, nil
		case errors.Is(err, executor.ErrNotFound) && job.Attempt > 1:
			job.Attempt = 1 // its record was removed meanwhile
		default:
			return pending, fmt.Errorf("create job %s: %w", job.Name, err)
		}
	}
	return pending, r.ctx.Err()
}

// judge decides about an item whose name has a record already (DESIGN "Identity,
// which makes once true"). again: job was changed and is to be created.
func (d *delivery) judge(i int, job *executor.Job, found *record.Record) (o outcome, again bool, err error) {
	r, m := d.r, d.message
	switch {
	case found.Message.ID != m.ID && found.Message.Body == m.Body:
		r.duplicate(found.Name, m.ID, found.Message.ID)
		return done, false, nil
	case found.Message.ID != m.ID:
		d.collide(i, job, found)
		return 0, true, nil
	case found.State == record.Succeeded, found.State == record.Invalid, d.config.ack == onCreate:
		if r.isAcked(found) {
			r.duplicate(found.Name, m.ID, found.Message.ID)
		}
		return done, false, nil
	case found.State == record.Failed && job.Invalid != nil: // under an edited manifest
		o, err = d.refused(job, &executor.InvalidError{Cause: *job.Invalid})
		return o, false, err
	case found.State == record.Failed:
		job.Attempt = found.LastAttempt() + 1
		return 0, true, nil
	}
	receipt := m.Receipt
	_, err = r.executor.Patch(r.work, found.Name, found.UID, executor.Patch{Receipt: &receipt})
	switch {
	case errors.Is(err, executor.ErrNotFound), errors.Is(err, executor.ErrTerminating): // deleted meanwhile
		return left, false, nil
	case err != nil:
		return pending, false, fmt.Errorf("adopt receipt for job %s: %w", found.Name, err)
	}
	r.log.Debug("adopted a redelivered message", keyJob, found.Name, keyMessageID, m.ID)
	r.await(d.lease, found)
	return waits, false, nil
}

// refused leaves a Failed record as it is when its message can't have a further
// attempt: it is given back, and the queue decides when it has tried often enough.
func (d *delivery) refused(job *executor.Job, why *executor.InvalidError) (outcome, error) {
	r := d.r
	r.mu.Lock()
	r.event(true, EventInvalid, job.Name, fmt.Sprintf("no further attempt: %v", why))
	r.unlock()
	return left, nil
}

// created notes a fresh record.
func (d *delivery) created(job *executor.Job, rec *record.Record) outcome {
	r := d.r
	now := time.Now()
	if job.Invalid != nil {
		r.invalid(job, rec)
		return done
	}
	r.mu.Lock()
	r.view.created(job.Name, rec, now)
	r.unlock()
	r.metrics.created.Inc()
	if job.Attempt == 1 && !d.received.IsZero() {
		r.metrics.dispatch.Observe(now.Sub(d.received).Seconds())
	}
	r.log.Debug("created job", keyJob, job.Name, keyAttempt, job.Attempt, keyMessageID, d.message.ID)
	if d.config.ack == onSuccess {
		r.await(d.lease, rec)
	}
	return waits
}

// job is the item's first attempt.
func (d *delivery) job(i int) executor.Job {
	item, m := &d.items[i], d.message
	return executor.Job{
		Name:           item.Name,
		Attempt:        1,
		Namespace:      d.r.namespace,
		QueueJob:       d.r.name,
		Identity:       item.Identity,
		IdempotencyKey: item.IdempotencyKey,
		Message: record.Message{
			ID: m.ID, Body: m.Body, Size: len(m.Body), Attributes: m.Attributes,
			Receipt: m.Receipt, SentAt: m.SentAt, GroupID: m.GroupID, Items: len(d.items),
		},
		Payload:      item.Payload,
		Attributes:   item.Attributes,
		Confidential: d.config.spec.Message.Confidential,
		Env:          item.Env,
		Spec:         d.config.spec,
		Invalid:      item.Invalid,
	}
}

// collide makes job the Invalid record of a message whose key another message
// with another body has; the message's own ID names it.
func (d *delivery) collide(i int, job *executor.Job, found *record.Record) {
	identity := collisionIdentity(d.message.ID, i)
	job.Name, job.Identity = message.RecordName(d.r.namespace, d.r.name, identity)
	job.IdempotencyKey = message.IdempotencyKey(d.r.namespace, d.r.name, identity)
	d.items[i].Name = job.Name
	job.Attempt, job.Payload, job.Attributes, job.Env = 1, "", nil, nil
	job.Invalid = &reason.Cause{
		Reason: reason.IdentityCollision,
		Detail: fmt.Sprintf("job %s has the same deduplication key and came from message %s, whose body is another", found.Name, found.Message.ID),
	}
}

// collisionIdentity names a message's i-th record where its key can't.
func collisionIdentity(messageID string, i int) string {
	if i == 0 {
		return messageID
	}
	return fmt.Sprintf("%s#%d", messageID, i)
}

// duplicate counts and tells of a message that is another one's twin, or comes
// again after the queue had confirmed its delete.
func (r *Runner) duplicate(job, messageID, original string) {
	what := "is a duplicate of " + original
	if messageID == original {
		what = "was delivered again after its delete"
	}
	r.metrics.duplicates.Inc()
	r.log.Debug("duplicate message acknowledged", keyJob, job, keyMessageID, messageID)
	r.mu.Lock()
	r.duplicates++
	r.event(false, EventDuplicate, job, fmt.Sprintf("message %s %s: acknowledged, nothing started", messageID, what))
	r.unlock()
}

// invalid counts and tells of a message that became an Invalid record.
func (r *Runner) invalid(job *executor.Job, rec *record.Record) {
	r.metrics.invalidated(job.Invalid.Reason)
	r.log.Debug("message is invalid", keyJob, job.Name, keyReason, job.Invalid.Reason)
	r.mu.Lock()
	r.event(true, EventInvalid, rec.Name, fmt.Sprintf("%s: %s", job.Invalid.Reason, job.Invalid.Detail))
	r.unlock()
}
