package queuejob

import (
	"slices"
	"time"

	"github.com/queuemill/queuemill/internal/executor"
	"github.com/queuemill/queuemill/internal/message"
	"github.com/queuemill/queuemill/internal/queue"
	"github.com/queuemill/queuemill/internal/record"
)

// settleOf settles the message if its lease waits for nothing more; r.mu is held.
func (r *Runner) settleOf(messageID string) {
	if l := r.leases[messageID]; l != nil {
		r.settle(l)
	}
}

// settle deletes the message whose jobs have all succeeded, and gives back the
// one of which a job failed, once none is unfinished; r.mu is held.
func (r *Runner) settle(l *lease) {
	if l.ack != onSuccess || l.placing > 0 || l.settling || r.leases[l.messageID] != l {
		return
	}
	back := l.incomplete
	attempt := 1
	names := make([]string, 0, len(l.items))
	for _, item := range l.items {
		attempt = max(attempt, item.attempt)
		e := r.view.entries[item.name]
		switch {
		case e == nil: // deleted: the message comes back
			back = true
		case e.attempt < item.attempt || !e.state.Finished():
			return
		case e.state == record.Failed:
			back = true
		default:
			names = append(names, item.name)
		}
	}
	l.settling, l.returning = true, back
	if back {
		r.task(func() { r.giveBack(l, giveBackBackoff.Half(attempt-1)) })
	} else {
		r.task(func() { r.acknowledge(l, names) })
	}
}

// acknowledge deletes the message until the queue confirms it, or has no such
// receipt any more: then a redelivery finds the records and tries again.
func (r *Runner) acknowledge(l *lease, names []string) {
	r.mu.Lock()
	l.settling = true
	r.mu.Unlock()
	t := r.trouble(opDelete)
	defer t.ok()
	for {
		err := r.batcher.Delete(r.work, l.receipt)
		if err == nil {
			r.acked(l.messageID, names)
			break
		}
		if gone(err) {
			r.log.Debug("receipt is gone before its delete: a redelivery will be recognised", keyMessageID, l.messageID)
			r.asked(l, names)
			break
		}
		r.metrics.deleteRetries.Inc()
		if !t.wait(r.ctx, err) {
			return // its record stands, and the next start repeats it
		}
	}
	r.release(l)
}

// giveBack makes the message visible after delay.
func (r *Runner) giveBack(l *lease, delay time.Duration) {
	r.mu.Lock()
	l.settling, l.returning = true, true
	r.mu.Unlock()
	t := r.trouble(opExtend)
	defer t.ok()
	for {
		err := r.batcher.Extend(r.work, queue.Extension{Receipt: l.receipt, Visibility: delay})
		if err == nil || gone(err) {
			break
		}
		if !t.wait(r.ctx, err) {
			return
		}
	}
	r.log.Debug("gave message back", keyMessageID, l.messageID, keyDelay, delay)
	r.release(l)
}

// acked notes that the queue confirmed the delete of a message, of whose records
// the names are.
func (r *Runner) acked(messageID string, names []string) {
	now := time.Now()
	yes := true
	for _, name := range names {
		r.mu.Lock()
		e := r.view.entries[name]
		if e == nil || e.messageID != messageID {
			r.mu.Unlock()
			continue
		}
		e.ackedAt, e.receipt = now, ""
		uid := e.uid
		if uid == "" {
			uid = e.awaitUID
		}
		r.retainAcked(e)
		r.mu.Unlock()
		// Only spares the repetition at the next start: an error costs nothing.
		if _, err := r.executor.Patch(r.work, name, uid, executor.Patch{Acked: &yes}); err != nil {
			r.log.Debug("delete was not noted", keyJob, name, keyError, err)
		}
	}
}

// asked notes that the receipt of l confirms nothing any more.
func (r *Runner) asked(l *lease, names []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, name := range names {
		if e := r.view.entries[name]; e != nil && e.receipt == l.receipt {
			e.asked = true
		}
	}
}

// held is one message as its records tell after a restart.
type held struct {
	lease *lease
	names []string // of its records
	items int      // how many there should be
	state record.State
	ended time.Time // the latest finish
}

// catchUp goes on where an earlier run ended, before anything is received: from
// the stored receipts it deletes the messages that need no job any more,
// extends those whose jobs are unfinished, and gives back those of failed jobs.
func (r *Runner) catchUp() {
	r.mu.Lock()
	now := time.Now()
	c := r.config.Load()
	var deletes []*held
	for _, h := range r.heldMessages(c, now) {
		switch {
		case len(h.names) < h.items:
			h.lease.placing++
			r.task(func() { r.complete(c, h) })
		case c.ack == onCreate, h.state == record.Succeeded, h.state == record.Invalid:
			h.lease.settling = true
			deletes = append(deletes, h)
		case h.state == record.Failed && now.Sub(h.ended) > giveBackBackoff.Cap+h.lease.visibility:
			continue // given back, or come back by itself, long ago
		}
		r.leases[h.lease.messageID] = h.lease
		r.settle(h.lease)
	}
	r.sortRetained()
	r.unlock()

	r.deleteAll(deletes)
	if due, _ := r.dueLeases(now); len(due) > 0 {
		if err := r.extend(due); err != nil {
			r.log.Warn("extending from stored receipts", keyError, err)
		}
	}

	r.mu.Lock()
	r.ready = true
	r.event(false, EventStarted, "", "caught up with the records")
	r.noteFull()
	r.unlock()
	r.wakeLease.poke()
	r.wakeReceive.poke()
	r.wakeRetain.poke()
}

// heldMessages are the messages whose delete is not known to be confirmed; r.mu
// is held.
func (r *Runner) heldMessages(c *config, now time.Time) map[string]*held {
	messages := map[string]*held{}
	for name, e := range r.view.entries {
		if e.state == "" || e.acked() || e.receipt == "" || e.inHand() {
			continue
		}
		h := messages[e.messageID]
		if h == nil {
			h = &held{state: record.Succeeded, items: e.items, lease: &lease{
				messageID: e.messageID, receipt: e.receipt, ack: c.ack, visibility: c.visibility(),
				received: now, until: now, recovered: true,
			}}
			messages[e.messageID] = h
		}
		h.names = append(h.names, name)
		h.lease.items = append(h.lease.items, awaited{name, e.attempt})
		if e.finishedAt.After(h.ended) {
			h.ended = e.finishedAt
		}
		// The receipt of what was touched last is the message's latest.
		switch {
		case e.unfinished():
			h.state, h.lease.receipt = e.state, e.receipt
		case e.state == record.Failed && h.state.Finished():
			h.state, h.lease.receipt = e.state, e.receipt
		}
	}
	return messages
}

// deleteAll deletes in as few calls as the queue needs; what fails is repeated.
func (r *Runner) deleteAll(messages []*held) {
	if len(messages) == 0 {
		return
	}
	receipts := make([]queue.Receipt, len(messages))
	for i, h := range messages {
		receipts[i] = h.lease.receipt
	}
	for i, err := range r.queue.Delete(r.work, receipts) {
		h := messages[i]
		switch {
		case err == nil:
			r.acked(h.lease.messageID, h.names)
			r.release(h.lease)
		case gone(err):
			r.release(h.lease)
		default:
			r.mu.Lock()
			r.task(func() { r.acknowledge(h.lease, h.names) })
			r.mu.Unlock()
		}
	}
}

// complete goes on with a message of which a crash left some records uncreated:
// its body is in the others. Only if the queue says that the message is still
// held: else it comes back by itself, or was deleted since and what is missing
// are records that were removed after they had been done.
func (r *Runner) complete(c *config, h *held) {
	if !r.takeHold(h.lease) {
		r.release(h.lease)
		return
	}
	t := r.trouble(opExecutor)
	defer t.ok()
	for {
		rec, err := r.executor.Get(r.work, h.names[0])
		if err == nil {
			d := r.deliveryOf(c, &rec)
			d.lease = h.lease
			d.message.Receipt = h.lease.receipt
			d.message.ReceiveCount = 2 // some of it exists: look first
			r.mu.Lock()
			r.placing++
			h.lease.items = nil
			for i := range d.items {
				r.view.take(d.items[i].Name)
				d.taken = append(d.taken, d.items[i].Name)
			}
			r.mu.Unlock()
			t.ok()
			d.run()
			return
		}
		if !t.wait(r.ctx, err) {
			return
		}
	}
}

// takeHold extends a lease that an earlier run began, until the queue answers;
// false when the message is not held, or the Runner stops.
func (r *Runner) takeHold(l *lease) bool {
	t := r.trouble(opExtend)
	defer t.ok()
	for {
		called := time.Now()
		err := r.batcher.Extend(r.work, queue.Extension{Receipt: l.receipt, Visibility: l.visibility})
		if err == nil {
			r.mu.Lock()
			l.until, l.recovered = called.Add(l.visibility), false
			r.mu.Unlock()
			return true
		}
		if gone(err) || !t.wait(r.ctx, err) {
			return false
		}
	}
}

// deliveryOf is the message of a record as if it was delivered again.
func (r *Runner) deliveryOf(c *config, rec *record.Record) *delivery {
	m := &queue.Message{
		ID: rec.Message.ID, Body: rec.Message.Body, Attributes: rec.Message.Attributes,
		Receipt: rec.Message.Receipt, SentAt: rec.Message.SentAt, GroupID: rec.Message.GroupID,
		ReceiveCount: 1,
	}
	return &delivery{
		r: r, config: c, message: m,
		items: c.reader.Read(message.Input{ID: m.ID, Body: m.Body, Attributes: m.Attributes}),
	}
}

// sortRetained puts what the first list showed into order; r.mu is held.
func (r *Runner) sortRetained() {
	slices.SortStableFunc(r.retained, func(a, b string) int {
		return r.view.entries[a].finishedAt.Compare(r.view.entries[b].finishedAt)
	})
}
