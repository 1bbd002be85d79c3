package queuejob

import (
	"context"
	"errors"
	"fmt"
	"slices"
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

// PruneOptions say which records a person wants removed.
type PruneOptions struct {
	States    []record.State // finished ones; empty: all finished states
	OlderThan time.Duration  // finished at least so long ago
	DryRun    bool           // only name them
}

// retain removes succeeded records beyond the limit, the oldest first. Failed
// and invalid ones are a person's.
func (r *Runner) retain(ctx context.Context) error {
	t := r.trouble(opRemove)
	defer t.ok()
	for ctx.Err() == nil {
		names, next := r.excess(time.Now())
		if len(names) == 0 {
			t.ok()
			r.wakeRetain.wait(ctx, next)
			continue
		}
		if err := r.remove(ctx, names); err != nil {
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
	if !at.IsZero() && (r.retainAt.IsZero() || at.Before(r.retainAt)) {
		r.wakeRetain.poke()
	}
}

// excess are the records to remove now, and when the next may go (zero: not
// before something happens).
func (r *Runner) excess(now time.Time) (names []string, next time.Time) {
	r.mu.Lock()
	defer r.unlock()
	r.retainAt = time.Time{}
	if !r.ready {
		return nil, time.Time{}
	}
	c := r.config.Load()
	n := r.view.counts[record.Succeeded] - c.succeededLimit
	kept := r.retained[:0:0]
	i := 0
	for ; i < len(r.retained) && n > 0 && len(names) < removeBatch; i++ {
		name := r.retained[i]
		e := r.view.entries[name]
		if e == nil || e.state != record.Succeeded {
			continue // gone: dropped from the list
		}
		at := e.removable(c.window)
		if now.Sub(e.finishedAt) < c.window {
			next = e.finishedAt.Add(c.window) // and all behind it later
			break
		}
		n--
		kept = append(kept, name)
		switch {
		case at.IsZero() || e.inHand():
		case at.After(now):
			if next.IsZero() || at.Before(next) {
				next = at
			}
		default:
			names = append(names, name)
		}
	}
	if len(kept) < i {
		r.retained = append(kept, r.retained[i:]...)
	}
	r.retainAt = next
	return names, next
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

// Prune removes finished records for a person and returns the names of those
// that are (with DryRun: would be) removed, the oldest first. What finished
// within the deduplication window stays, and so does a record whose message the
// queue may deliver again and start a second time; under OnSuccess the message
// of a failed job goes with its record.
func (r *Runner) Prune(ctx context.Context, o PruneOptions) ([]string, error) {
	names, unsure := r.prunable(o, time.Now())
	if o.DryRun {
		return append(names, keys(unsure)...), nil
	}
	confirmed, err := r.confirm(ctx, unsure)
	if err != nil {
		return nil, err
	}
	names = append(names, confirmed...)
	if err := r.remove(ctx, names); err != nil {
		return names, err
	}
	r.wakeReceive.poke()
	return names, nil
}

// prunable are the records that may go, and those that may when the delete of
// their message is repeated and confirmed, with its receipt.
func (r *Runner) prunable(o PruneOptions, now time.Time) (names []string, unsure map[string]queue.Receipt) {
	r.mu.Lock()
	defer r.mu.Unlock()
	window := r.config.Load().window
	unsure = map[string]queue.Receipt{}
	for name, e := range r.view.entries {
		if !e.state.Finished() || e.inHand() || e.retry || !o.states(e.state) ||
			now.Sub(e.finishedAt) < max(o.OlderThan, window) {
			continue
		}
		at := e.removable(window)
		switch {
		case !at.IsZero() && !at.After(now):
			names = append(names, name)
		case !e.acked() && e.receipt != "" && r.leases[e.messageID] == nil:
			unsure[name] = e.receipt
		}
	}
	slices.SortFunc(names, func(a, b string) int {
		return r.view.entries[a].finishedAt.Compare(r.view.entries[b].finishedAt)
	})
	return names, unsure
}

// Kept is what Prune leaves though a person asked for it.
type Kept struct {
	InWindow    int       // finished within the deduplication window
	WindowEnds  time.Time // of the last of them
	MaybeQueued int       // the queue may deliver their message again, or they wait to be retried
}

// Kept tells what Prune with the same options leaves at this moment.
func (r *Runner) Kept(o PruneOptions) Kept {
	now := time.Now()
	names, unsure := r.prunable(o, now)
	goes := make(map[string]bool, len(names)+len(unsure))
	for _, name := range append(names, keys(unsure)...) {
		goes[name] = true
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	window := r.config.Load().window
	var kept Kept
	for name, e := range r.view.entries {
		if goes[name] || !e.state.Finished() || !o.states(e.state) || now.Sub(e.finishedAt) < o.OlderThan {
			continue
		}
		ends := e.finishedAt.Add(window)
		if e.acked() {
			ends = e.removable(window)
		}
		if !ends.After(now) {
			kept.MaybeQueued++
			continue
		}
		kept.InWindow++
		if ends.After(kept.WindowEnds) {
			kept.WindowEnds = ends
		}
	}
	return kept
}

// states tells whether records in state s are meant.
func (o *PruneOptions) states(s record.State) bool {
	return len(o.States) == 0 || slices.Contains(o.States, s)
}

// confirm repeats deletes and returns the names whose message is out of the
// queue, or under OnSuccess the queue's own business again: a failed job's
// message that was given back is redelivered, or dead, as the queue decides.
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
	var names []string
	for i, name := range asked {
		r.mu.Lock()
		e := r.view.entries[name]
		switch err := answers[i]; {
		case e == nil:
		case err == nil:
			e.ackedAt, e.receipt = time.Now(), ""
			names = append(names, name)
		case gone(err) && e.state == record.Failed && r.config.Load().ack == onSuccess:
			names = append(names, name)
		case !gone(err):
			r.mu.Unlock()
			return nil, fmt.Errorf("confirm the delete of the message of %s: %w", name, err)
		}
		r.mu.Unlock()
	}
	return names, nil
}

func keys[V any](m map[string]V) []string {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
