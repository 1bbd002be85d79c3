package queuejob

import (
	"context"
	"fmt"
	"time"

	"github.com/queuemill/queuemill/api/v1alpha1"
	"github.com/queuemill/queuemill/internal/queue"
	"github.com/queuemill/queuemill/internal/record"
)

const (
	// leaseLimit is how long SQS lets one receive hold a message at most
	// (SQS: ChangeMessageVisibility); leaseMargin before it the message is let
	// go, to come back and be adopted.
	leaseLimit  = 12 * time.Hour
	leaseMargin = 5 * time.Minute

	extendTimeout = 30 * time.Second
)

// lease is the hold on one message: from its receive until it is deleted or
// given back. Under OnSuccess it waits for the jobs in items. Guarded by
// Runner.mu but for what never changes.
//
//	held ─┬─ all its jobs succeeded ─▶ deleting ─▶ released
//	      ├─ one failed, none runs ──▶ returning ─▶ released
//	      └─ lost ── the jobs go on; a redelivery has a lease of its own
type lease struct {
	messageID  string
	receipt    queue.Receipt
	ack        v1alpha1.AckMode // of the manifest it was received under
	visibility time.Duration    // per extension
	received   time.Time

	until      time.Time // when the message is visible again
	items      []awaited
	placing    int  // who still sees to the records of its items: its delivery, retries
	incomplete bool // … but for those that only a redelivery can create
	settling   bool // being deleted or given back
	returning  bool // being given back: not extended any more
	lost       bool // the receipt is worth nothing any more, or let go
	recovered  bool // from a record of an earlier run, and not extended since
}

// awaited is a job that a lease waits for.
type awaited struct {
	name    string
	attempt int
}

// hold begins the lease of a message just received, in the place of an earlier
// one of the same message; r.mu is held.
func (r *Runner) hold(c *config, m *queue.Message, received time.Time) *lease {
	l := &lease{
		messageID: m.ID, receipt: m.Receipt, ack: c.ack, visibility: c.visibility(),
		received: received, until: received.Add(c.visibility()), placing: 1,
	}
	r.leases[m.ID] = l
	if due := l.due(); r.leaseAt.IsZero() || due.Before(r.leaseAt) {
		r.wakeLease.poke()
	}
	return l
}

// due is when l wants to be extended: long before it ends.
func (l *lease) due() time.Time { return l.until.Add(-l.visibility / 2) }

// await makes l wait for the attempt that rec shows. A nil lease waits for none.
func (r *Runner) await(l *lease, rec *record.Record) {
	r.mu.Lock()
	defer r.unlock()
	r.view.created(rec.Name, rec, time.Now())
	if l == nil {
		return
	}
	for i := range l.items {
		if l.items[i].name == rec.Name {
			l.items[i].attempt = rec.LastAttempt()
			return
		}
	}
	l.items = append(l.items, awaited{rec.Name, rec.LastAttempt()})
}

// placed says that one who placed items of l is done: they have their records,
// all or all but those that only a redelivery can create.
func (r *Runner) placed(l *lease, all bool) {
	if l == nil {
		return
	}
	r.mu.Lock()
	l.placing--
	l.incomplete = l.incomplete || !all
	r.settle(l)
	r.unlock()
}

// release ends a lease.
func (r *Runner) release(l *lease) {
	if l == nil {
		return
	}
	r.mu.Lock()
	if r.leases[l.messageID] == l {
		delete(r.leases, l.messageID)
	}
	if len(r.prunes) > 0 {
		r.wakeRetain.poke()
	}
	r.mu.Unlock()
}

// lost tells whether the message of l is in hand no more, or for all that is
// known here: somebody else may have it, or have done with it. A lease from an
// earlier run's record is not known to be lost until its first extension.
func (r *Runner) lost(l *lease) bool {
	if l == nil {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return l.lost || !l.recovered && time.Now().After(l.until)
}

// lease extends what is held, all that is due in one call.
func (r *Runner) lease(ctx context.Context) error {
	t := r.trouble(opExtend)
	defer t.ok()
	for ctx.Err() == nil {
		due, next := r.dueLeases(time.Now())
		if len(due) == 0 {
			t.ok()
			r.wakeLease.wait(ctx, next)
			continue
		}
		if err := r.extend(due); err != nil {
			if !t.wait(ctx, err) {
				return nil
			}
			continue
		}
		t.ok()
	}
	return nil
}

// dueLeases are the leases to extend now, those soon due among them so that one
// call serves many, and when the next are due (zero: there are none).
func (r *Runner) dueLeases(now time.Time) (due []*lease, next time.Time) {
	r.mu.Lock()
	defer r.unlock()
	for _, l := range r.leases {
		switch {
		case l.lost, l.returning:
		case !l.due().After(now.Add(l.visibility / 8)):
			if now.Add(l.visibility).After(l.received.Add(leaseLimit - leaseMargin)) {
				r.letGo(l)
				continue
			}
			due = append(due, l)
		case next.IsZero() || l.due().Before(next):
			next = l.due()
		}
	}
	r.leaseAt = next
	return due, next
}

// letGo stops extending a message that the queue holds no longer; r.mu is held.
func (r *Runner) letGo(l *lease) {
	l.lost = true
	r.log.Info("message is held for nearly 12 h, the queue's limit: it will come back and be adopted", keyMessageID, l.messageID)
}

// extend extends leases; the error is one that is worth another try.
func (r *Runner) extend(leases []*lease) error {
	extensions := make([]queue.Extension, len(leases))
	for i, l := range leases {
		extensions[i] = queue.Extension{Receipt: l.receipt, Visibility: l.visibility}
	}
	ctx, cancel := context.WithTimeout(r.work, extendTimeout)
	defer cancel()
	called := time.Now()
	answers := r.queue.Extend(ctx, extensions)

	r.mu.Lock()
	defer r.unlock()
	var failed error
	lost, returned := 0, 0
	for i, l := range leases {
		switch err := answers[i]; {
		case err == nil:
			l.until, l.recovered = called.Add(l.visibility), false
		case !gone(err):
			failed = fmt.Errorf("extend %d messages: %w", len(leases), err)
		default:
			l.lost = true
			switch {
			case r.leases[l.messageID] != l || l.settling: // done with
			case l.recovered:
				returned++
			default:
				lost++
				r.log.Debug("lease lost", keyMessageID, l.messageID, keyError, err)
			}
		}
	}
	if returned > 0 { // by the end of the earlier run, or while nothing ran
		r.log.Info("messages of unfinished jobs are in the queue again since the last run; their redelivery is adopted", keyCount, returned)
	}
	if lost > 0 {
		r.metrics.leasesLost.Add(float64(lost))
		r.event(true, EventLeaseLost, "", fmt.Sprintf("%d messages of unfinished jobs are held no more: the jobs go on, and a redelivery is adopted", lost))
	}
	return failed
}

// giveBackAll gives back at once what a stopped Runner still holds. What is
// being deleted is not: its record says so at the next start. With LeaveJobs the
// messages of unfinished jobs are held once more for as long as it goes.
func (r *Runner) giveBackAll(ctx context.Context) {
	r.mu.Lock()
	var extensions []queue.Extension
	left := 0
	for _, l := range r.leases {
		switch {
		case l.lost, l.settling && !l.returning:
		case r.leaveJobs && len(l.items) > 0 && !l.returning:
			extensions = append(extensions, queue.Extension{Receipt: l.receipt, Visibility: l.visibility})
			left++
		default:
			extensions = append(extensions, queue.Extension{Receipt: l.receipt})
		}
	}
	clear(r.leases)
	r.mu.Unlock()
	if len(extensions) == 0 {
		return
	}
	for _, err := range r.queue.Extend(ctx, extensions) {
		if err != nil && !gone(err) {
			r.log.Warn("messages could not be given back: they come back when their visibility timeout ends", keyCount, len(extensions), keyError, err)
			return
		}
	}
	if n := len(extensions) - left; n > 0 {
		r.log.Info("gave messages back", keyCount, n)
	}
	if left > 0 {
		r.log.Info("left the messages of unfinished jobs in flight", keyCount, left)
	}
}
