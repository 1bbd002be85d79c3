package queuejob

import (
	"time"

	"github.com/queuemill/queuemill/internal/executor"
	"github.com/queuemill/queuemill/internal/queue"
	"github.com/queuemill/queuemill/internal/reason"
	"github.com/queuemill/queuemill/internal/record"
)

// entry is what a Runner knows of one name: the record as last seen by list or
// watch, and whether it is in hand. Small: there is one per record kept.
type entry struct {
	uid        string
	state      record.State // empty before the record was seen
	reason     reason.Reason
	attempt    int // the highest seen
	finishedAt time.Time
	retry      bool // a person wants a further attempt
	prune      bool // a person wants the record gone

	messageID string
	receipt   queue.Receipt // the latest known; empty once the delete was confirmed
	items     int           // records of its message, 1 at least
	sentAt    time.Time
	ackedAt   time.Time // when the delete was confirmed; zero: not that we know
	asked     bool      // the delete was repeated from receipt before a removal, and not confirmed

	startsSeen int // attempts whose start was measured

	dispatches int       // deliveries and retries of this name under way
	awaiting   int       // a created attempt that the watch has not shown yet; 0: none
	awaitUID   string    // of its record
	awaitSince time.Time // when its create was answered; in view.unseen while awaiting
	retained   bool      // in Runner.retained
	retrying   bool      // in Runner.retries
}

// inHand tells whether the name takes room although no unfinished record of it
// may have been seen yet.
func (e *entry) inHand() bool { return e.dispatches > 0 || e.awaiting > 0 }

func (e *entry) unfinished() bool { return e.state != "" && !e.state.Finished() }

func (e *entry) acked() bool { return !e.ackedAt.IsZero() }

// view is all that a Runner knows of its records, derived from what the executor
// lists and shows. Guarded by Runner.mu.
type view struct {
	entries map[string]*entry
	active  map[string]struct{} // names that take room: unfinished or in hand
	unseen  map[string]struct{} // names with a created attempt that was not shown yet
	counts  map[record.State]int
	stuck   map[reason.Reason]int // queued and can't start

	// touched, while a list is under way, are the names that the watch has shown
	// since: what it showed is newer than what the list says.
	touched map[string]struct{}
}

func newView() view {
	return view{
		entries: map[string]*entry{},
		active:  map[string]struct{}{},
		unseen:  map[string]struct{}{},
		counts:  map[record.State]int{},
		stuck:   map[reason.Reason]int{},
	}
}

// change is what one event did to the view.
type change struct {
	name    string
	entry   *entry // as it is now; of a deleted record, as it was
	before  record.State
	record  *record.Record // as shown
	deleted bool
	known   bool // the name was known before: seen, or in hand
}

// finished tells whether the event ended a job (or its attempts anew) that this
// Runner saw unfinished or had in hand.
func (c *change) finished(attemptBefore int) bool {
	return !c.deleted && c.known && c.record.State.Finished() &&
		(!c.before.Finished() || c.record.LastAttempt() > attemptBefore)
}

// take puts a name in hand; put takes one such hold back.
func (v *view) take(name string) {
	e := v.entries[name]
	if e == nil {
		e = &entry{items: 1}
		v.entries[name] = e
	}
	e.dispatches++
	v.refresh(name, e)
}

func (v *view) put(name string) *entry {
	e := v.entries[name]
	e.dispatches--
	v.refresh(name, e)
	return e
}

// created notes the answer to a create: the name stays in hand until the watch
// has caught up with it.
func (v *view) created(name string, r *record.Record, now time.Time) {
	e := v.entries[name]
	e.messageID = r.Message.ID
	if r.State == record.Invalid || e.uid == r.UID && e.attempt >= r.LastAttempt() {
		return
	}
	e.awaiting, e.awaitUID, e.awaitSince = r.LastAttempt(), r.UID, now
	v.refresh(name, e)
}

// apply takes in what the watch (or a list) shows.
func (v *view) apply(ev executor.Event) change {
	r := &ev.Record
	e := v.entries[r.Name]
	c := change{name: r.Name, entry: e, record: r, deleted: ev.Deleted, known: e != nil}
	switch {
	case e == nil && ev.Deleted, ev.Deleted && e.uid != r.UID && e.awaitUID != r.UID:
		return change{} // of a record that is known to be gone, or another one's
	case e == nil:
		e = &entry{}
		v.entries[r.Name] = e
		c.entry = e
	}
	c.before = e.state
	v.count(e, -1)
	if ev.Deleted {
		c.entry = &entry{}
		*c.entry = *e
		if e.awaitUID == r.UID {
			e.awaiting = 0
		}
		if e.uid == r.UID {
			e.uid, e.state, e.attempt, e.retry, e.prune, e.retained = "", "", 0, false, false, false
			e.ackedAt, e.receipt, e.asked = time.Time{}, "", false
		}
	} else {
		v.fill(e, r)
	}
	v.count(e, 1)
	v.refresh(r.Name, e)
	return c
}

// fill copies what is kept of r.
func (v *view) fill(e *entry, r *record.Record) {
	known := e.uid == r.UID
	if !known {
		e.uid, e.startsSeen, e.retained, e.asked = r.UID, 0, false, false
		if r.UID != e.awaitUID {
			e.ackedAt = time.Time{}
		}
	}
	e.state, e.attempt, e.finishedAt, e.retry = r.State, r.LastAttempt(), r.FinishedAt, r.RetryRequested
	e.prune = r.PruneRequested
	e.reason = ""
	if r.Cause != nil {
		e.reason = r.Cause.Reason
	}
	e.messageID, e.sentAt, e.items = r.Message.ID, r.Message.SentAt, max(1, r.Message.Items)
	if r.Acked && !e.acked() {
		switch {
		case known: // another controller's delete, just now
			e.ackedAt = time.Now()
		case r.FinishedAt.IsZero():
			e.ackedAt = r.CreatedAt
		default:
			e.ackedAt = r.FinishedAt
		}
	}
	if e.receipt != r.Message.Receipt {
		e.receipt, e.asked = r.Message.Receipt, false
	}
	if e.acked() {
		e.receipt = ""
	}
	if e.awaiting > 0 && r.UID == e.awaitUID && e.attempt >= e.awaiting {
		e.awaiting = 0
	}
}

func (v *view) count(e *entry, by int) {
	if e.state != "" {
		v.counts[e.state] += by
	}
	if e.isStuck() {
		v.stuck[e.reason] += by
	}
}

// refresh derives from e whether its name takes room, and forgets a name of
// which nothing is left.
func (v *view) refresh(name string, e *entry) {
	if e.unfinished() || e.inHand() {
		v.active[name] = struct{}{}
	} else {
		delete(v.active, name)
	}
	if e.awaiting > 0 {
		v.unseen[name] = struct{}{}
	} else {
		delete(v.unseen, name)
	}
	if e.state == "" && !e.inHand() {
		delete(v.entries, name)
	}
}

// forget drops what is awaited since before the given time: the list is
// believed, and a record that came and went between two looks is never shown.
// It returns the messages of what was forgotten.
func (v *view) forget(before time.Time) (messageIDs []string) {
	for name := range v.unseen {
		if e := v.entries[name]; e.awaitSince.Before(before) {
			e.awaiting = 0
			messageIDs = append(messageIDs, e.messageID)
			v.refresh(name, e)
		}
	}
	return messageIDs
}

// siblings are the names of a message's records. It looks at every entry:
// for messages of several records only.
func (v *view) siblings(messageID string) []string {
	var names []string
	for name, e := range v.entries {
		if e.state != "" && e.messageID == messageID {
			names = append(names, name)
		}
	}
	return names
}
