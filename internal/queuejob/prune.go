package queuejob

import (
	"context"
	"slices"
	"time"

	"github.com/queuemill/queuemill/internal/queue"
	"github.com/queuemill/queuemill/internal/record"
)

// PruneOptions say which records a person wants removed.
type PruneOptions struct {
	States    []record.State // finished ones; empty: all finished states
	OlderThan time.Duration  // finished at least so long ago
	DryRun    bool           // only name them
}

// Prune removes finished records for a person and returns the names of those
// that are (with DryRun: would be) removed, the oldest first. What finished
// within the deduplication window stays, and so does a record whose message the
// queue may deliver again and start a second time: Prune asks for the delete of
// that message once more, and when it is confirmed the record may go a window
// later. Under OnSuccess the message of a failed job goes with its record.
func (r *Runner) Prune(ctx context.Context, o PruneOptions) ([]string, error) {
	names, unsure := r.prunable(o, time.Now())
	if o.DryRun {
		return append(names, r.free(unsure)...), nil
	}
	free, err := r.confirm(ctx, unsure)
	if err != nil {
		return nil, err
	}
	names = append(names, free...)
	if err := r.remove(ctx, names); err != nil {
		return names, err
	}
	r.wakeReceive.poke()
	return names, nil
}

// notePrune has e's record removed as soon as the rules let it, when a person
// asked for that by the record's annotation; r.mu is held.
func (r *Runner) notePrune(name string, e *entry) {
	if !e.prune || !e.state.Finished() {
		delete(r.prunes, name)
		return
	}
	r.prunes[name] = struct{}{}
	r.wakeRetain.poke()
}

// pruneDue adds what a person asked for; the rules are Prune's. r.mu is held.
func (r *Runner) pruneDue(l *removals, now time.Time) {
	c := r.config.Load()
	for name := range r.prunes {
		e := r.view.entries[name]
		if e == nil || !e.prune || !e.state.Finished() {
			delete(r.prunes, name)
			continue
		}
		at := e.removable(c.window)
		ends := e.finishedAt.Add(c.window)
		switch {
		case e.inHand(), e.retry: // the end of that is noted
		case ends.After(now):
			l.later(ends)
		case !at.IsZero() && !at.After(now):
			l.names = append(l.names, name)
		case e.unasked() && r.mayPrune(c, e):
			l.unsure[name] = e.receipt
		default:
			l.later(at)
		}
	}
}

// mayPrune is mayRepeatDelete for a person, who may take a failed job's message
// out of the queue with its record; r.mu is held.
func (r *Runner) mayPrune(c *config, e *entry) bool {
	return e.state == record.Failed && r.leases[e.messageID] == nil || r.mayRepeatDelete(c, e)
}

// prunable are the records that may go, and those that may when the delete of
// their message is repeated and confirmed, with its receipt.
func (r *Runner) prunable(o PruneOptions, now time.Time) (names []string, unsure map[string]queue.Receipt) {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := r.config.Load()
	unsure = map[string]queue.Receipt{}
	for name, e := range r.view.entries {
		if !e.state.Finished() || e.inHand() || e.retry || !o.states(e.state) ||
			now.Sub(e.finishedAt) < max(o.OlderThan, c.window) {
			continue
		}
		at := e.removable(c.window)
		switch {
		case !at.IsZero() && !at.After(now):
			names = append(names, name)
		case !e.acked() && e.receipt != "" && r.mayPrune(c, e):
			unsure[name] = e.receipt
		}
	}
	slices.SortFunc(names, func(a, b string) int {
		return r.view.entries[a].finishedAt.Compare(r.view.entries[b].finishedAt)
	})
	return names, unsure
}

// free are the names that confirm would let go at once.
func (r *Runner) free(unsure map[string]queue.Receipt) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := r.config.Load()
	return slices.DeleteFunc(keys(unsure), func(name string) bool {
		e := r.view.entries[name]
		return e == nil || !e.toBeTriedAgain(c)
	})
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
	for _, name := range append(names, r.free(unsure)...) {
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

func keys[V any](m map[string]V) []string {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
