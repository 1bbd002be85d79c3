package queuejob

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/queuemill/queuemill/internal/executor"
	"github.com/queuemill/queuemill/internal/queue"
	"github.com/queuemill/queuemill/internal/record"
)

const (
	removeParallel = 8
	removeBatch    = 64

	// longestRetention is how long SQS keeps a message at most
	// (MessageRetentionPeriod). A message sent before that is in no queue any
	// more, whatever was or was not confirmed.
	longestRetention = 14 * 24 * time.Hour

	opRemove operation = "remove"
)

// retain removes succeeded records beyond the limit, the oldest first, and what
// a person wants gone. Failed and invalid ones are a person's.
func (r *Runner) retain(ctx context.Context) error {
	t := r.trouble(opRemove)
	defer t.ok()
	for ctx.Err() == nil {
		l := r.removals(time.Now())
		if len(l.names)+len(l.unsure) == 0 {
			t.ok()
			r.wakeRetain.wait(ctx, l.next)
			continue
		}
		if err := r.removeAll(ctx, l); err != nil {
			if !t.wait(ctx, err) {
				return nil
			}
			continue
		}
		t.ok()
	}
	return nil
}

// retainSucceeded queues a succeeded record for its turn; r.mu is held.
func (r *Runner) retainSucceeded(name string, e *entry) {
	if !e.retained {
		e.retained = true
		r.retained = append(r.retained, name)
	}
	r.retainAcked(e)
}

// retainAcked wakes retain when e is to be removed before it looks again by
// itself; r.mu is held.
func (r *Runner) retainAcked(e *entry) {
	c := r.config.Load()
	if !r.ready || !e.retained || r.view.counts[record.Succeeded] <= c.succeededLimit {
		return
	}
	at := e.removable(c.window)
	if e.unasked() {
		at = e.finishedAt.Add(c.window)
	}
	if !at.IsZero() && (r.retainAt.IsZero() || at.Before(r.retainAt)) {
		r.wakeRetain.poke()
	}
}

// removals are what retain does next.
type removals struct {
	names  []string                 // to remove now
	unsure map[string]queue.Receipt // whose message's delete is to be repeated first
	next   time.Time                // when the next may go; zero: not before something happens
}

// later notes that something is to be looked at then; zero: not by itself.
func (l *removals) later(at time.Time) {
	if !at.IsZero() && (l.next.IsZero() || at.Before(l.next)) {
		l.next = at
	}
}

func (r *Runner) removals(now time.Time) removals {
	r.mu.Lock()
	defer r.unlock()
	r.retainAt = time.Time{}
	l := removals{unsure: map[string]queue.Receipt{}}
	if !r.ready {
		return l
	}
	r.excess(&l, now)
	r.pruneDue(&l, now)
	r.retainAt = l.next
	return l
}

// removeAll carries l out.
func (r *Runner) removeAll(ctx context.Context, l removals) error {
	free, err := r.confirm(ctx, l.unsure)
	if err != nil {
		return err
	}
	r.mu.Lock()
	for _, name := range free {
		if _, wanted := r.prunes[name]; wanted {
			l.names = append(l.names, name)
		}
	}
	r.mu.Unlock()
	return r.remove(ctx, l.names)
}

// excess adds the succeeded records beyond the limit; r.mu is held.
func (r *Runner) excess(l *removals, now time.Time) {
	c := r.config.Load()
	n := r.view.counts[record.Succeeded] - c.succeededLimit
	kept := r.retained[:0:0]
	i := 0
	for ; i < len(r.retained) && n > 0 && len(l.names)+len(l.unsure) < removeBatch; i++ {
		name := r.retained[i]
		e := r.view.entries[name]
		if e == nil || e.state != record.Succeeded {
			continue // gone: dropped from the list
		}
		at := e.removable(c.window)
		if now.Sub(e.finishedAt) < c.window {
			l.later(e.finishedAt.Add(c.window)) // and all behind it later
			break
		}
		n--
		kept = append(kept, name)
		switch {
		case e.inHand() || e.prune:
		case !at.IsZero() && !at.After(now):
			l.names = append(l.names, name)
		case e.unasked() && r.mayRepeatDelete(c, e):
			l.unsure[name] = e.receipt
		default:
			l.later(at)
		}
	}
	if len(kept) < i {
		r.retained = append(kept, r.retained[i:]...)
	}
}

// unasked tells whether e's message may be in the queue for all that is known,
// and the queue was not asked since: its create was another controller's, say.
func (e *entry) unasked() bool { return !e.acked() && e.receipt != "" && !e.asked }

// toBeTriedAgain tells whether a redelivery of e's message is to start the next
// attempt anyway, record or not: there is nothing for the record to prevent.
func (e *entry) toBeTriedAgain(c *config) bool {
	return e.state == record.Failed && c.ack == onSuccess
}

// mayRepeatDelete tells whether the message of e, which has finished, may be
// deleted by its stored receipt: nobody here has it in hand, and none of its
// records needs it any more; r.mu is held.
func (r *Runner) mayRepeatDelete(c *config, e *entry) bool {
	if r.leases[e.messageID] != nil {
		return false
	}
	if e.items <= 1 {
		return true
	}
	siblings := r.view.siblings(e.messageID)
	for _, name := range siblings {
		s := r.view.entries[name]
		if !s.state.Finished() || s.inHand() || c.ack == onSuccess && s.state == record.Failed {
			return false
		}
	}
	return len(siblings) >= e.items
}

// removable is when the record of e may be removed: after the window since its
// finish and since the confirmed delete of its message. Without that
// confirmation, when the queue can't hold the message any more; zero when even
// that is unknown.
func (e *entry) removable(window time.Duration) time.Time {
	at := e.finishedAt.Add(window)
	switch {
	case e.acked():
		if a := e.ackedAt.Add(window); a.After(at) {
			at = a
		}
	case e.sentAt.IsZero():
		return time.Time{}
	default:
		if a := e.sentAt.Add(longestRetention); a.After(at) {
			at = a
		}
	}
	return at
}

// remove deletes records, each by the UID it means.
func (r *Runner) remove(ctx context.Context, names []string) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(removeParallel)
	for _, name := range names {
		r.mu.Lock()
		e := r.view.entries[name]
		uid := ""
		if e != nil {
			uid = e.uid
		}
		r.mu.Unlock()
		if uid == "" {
			continue
		}
		g.Go(func() error {
			err := r.executor.Delete(ctx, name, uid)
			if err != nil && !errors.Is(err, executor.ErrNotFound) {
				return fmt.Errorf("remove record %s: %w", name, err)
			}
			r.mu.Lock()
			r.take(executor.Event{Record: record.Record{Name: name, UID: uid}, Deleted: true})
			r.unlock()
			return nil
		})
	}
	return g.Wait()
}

// confirm repeats deletes and returns the names whose records a person may have
// removed at once. The others stay another window though the delete is confirmed
// now: somebody may have received the message meanwhile, or wait for the answer
// of a receive, and would start it again if no record told of it.
func (r *Runner) confirm(ctx context.Context, unsure map[string]queue.Receipt) ([]string, error) {
	if len(unsure) == 0 {
		return nil, nil
	}
	asked := keys(unsure)
	receipts := make([]queue.Receipt, len(asked))
	for i, name := range asked {
		receipts[i] = unsure[name]
	}
	answers := r.queue.Delete(ctx, receipts)
	c := r.config.Load()
	var names []string
	for i, name := range asked {
		r.mu.Lock()
		e := r.view.entries[name]
		switch err := answers[i]; {
		case e == nil || e.receipt != unsure[name]: // gone, or come again meanwhile
		case err == nil:
			e.ackedAt, e.receipt = time.Now(), ""
			if e.toBeTriedAgain(c) {
				names = append(names, name)
			}
		case gone(err) && e.toBeTriedAgain(c):
			names = append(names, name)
		case !gone(err):
			r.mu.Unlock()
			return nil, fmt.Errorf("confirm the delete of the message of %s: %w", name, err)
		default:
			e.asked = true
			if e.prune {
				r.event(true, EventPruneRefused, name, "stays for now: its message can't be deleted and may be in the queue still; it goes when that is settled")
			}
		}
		r.unlock()
	}
	return names, nil
}
