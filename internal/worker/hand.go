package worker

import (
	"context"
	"errors"
	"time"

	"github.com/queuemill/queuemill/internal/message"
	"github.com/queuemill/queuemill/internal/queue"
)

const (
	// holdLimit is how long SQS lets one receive hold a message at most
	// (SQS: ChangeMessageVisibility); holdMargin before it nothing is extended.
	holdLimit  = 12 * time.Hour
	holdMargin = 5 * time.Minute

	// extendTimeout is how long one call to extend may take at most; less where the
	// visibility is short, so that a connection that hangs leaves time for others.
	extendTimeout = 30 * time.Second
)

// lastHour is until when a message can be held at most, to the second that
// visibility is counted in.
func (h *hand) lastHour() time.Time { return h.received.Add(holdLimit - holdMargin) }

// heldOut tells whether the message can't be held any longer than it is.
func (h *hand) heldOut() bool { return h.until.After(h.lastHour().Add(-2 * time.Second)) }

// hand is the hold on one message, from its receive until it is settled. Guarded
// by Worker.mu but for what never changes.
//
//	held ─┬─ its work has ended ─▶ settling ─▶ settled
//	      └─ lost: the work goes on; the queue delivers it again, or has
type hand struct {
	message  queue.Message
	items    []message.Item
	received time.Time

	extended  time.Time // when it was received or last extended
	until     time.Time // when it is visible again
	returning bool      // being given back: not extended any more
	lost      bool      // the receipt is worth nothing any more, or let go
}

// hold takes a message in hand; w.mu is held.
func (w *Worker) hold(m *queue.Message, items []message.Item, now time.Time) *hand {
	h := &hand{message: *m, items: items, received: now, extended: now, until: now.Add(w.f.Visibility)}
	w.hands[h] = struct{}{}
	w.working++
	if w.leaseAt.IsZero() {
		w.leaseAt = now.Add(w.heartbeat())
		w.wakeLease.poke()
	}
	return h
}

func (w *Worker) heartbeat() time.Duration {
	if w.f.Heartbeat > 0 {
		return w.f.Heartbeat
	}
	return w.f.Visibility / 2
}

// release lets go of a message that is settled; w.mu is held.
func (w *Worker) release(h *hand, now time.Time) {
	delete(w.hands, h)
	w.lastActive = now
	if w.stopping || len(w.hands) == 0 || w.f.MaxMessages > 0 || len(w.hands)-w.working == unsettledMax {
		w.wakeReceive.poke()
	}
}

// over tells whether the message is, for all that is known, somebody else's.
func (w *Worker) over(h *hand) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return h.lost || time.Now().After(h.until)
}

// lease extends what is in hand, all that is due in one call.
func (w *Worker) lease(ctx context.Context) error {
	for {
		w.mu.Lock()
		due, next := w.due(time.Now())
		w.mu.Unlock()
		if len(due) > 0 {
			w.extend(due)
			continue
		}
		if next.IsZero() {
			next = time.Now().Add(time.Hour) // a message in hand wakes it
		}
		w.wakeLease.wait(ctx, next)
		if ctx.Err() != nil {
			return nil
		}
	}
}

// due are the messages to extend now, those soon due among them so that one call
// serves many, and when the next are due (zero: there are none). w.mu is held.
func (w *Worker) due(now time.Time) (due []*hand, next time.Time) {
	every := w.heartbeat()
	retry := w.extends.tries > 0 && now.Before(w.extends.next)
	for h := range w.hands {
		if h.lost || h.returning {
			continue
		}
		if now.After(h.until) {
			why := "the queue did not answer until its visibility timeout was over: another worker may have it"
			if h.heldOut() {
				why = "it was held for nearly 12 h, the queue's limit: it is delivered again"
			}
			w.lose(h, why)
			continue
		}
		at := h.extended.Add(every)
		switch {
		case h.heldOut():
			at = h.until.Add(time.Millisecond)
		case at.After(now.Add(every / 4)):
		case retry:
			at = w.extends.next
		default:
			due = append(due, h)
			continue
		}
		if next.IsZero() || at.Before(next) {
			next = at
		}
	}
	w.leaseAt = next
	return due, next
}

// lose notes that a message is in hand no more while it is worked on; w.mu is
// held.
func (w *Worker) lose(h *hand, why string) {
	h.lost = true
	w.metrics.lost.Inc()
	w.log.Warn("a message left the hand while it was worked on", keyMessageID, h.message.ID, keyAttempt, h.message.ReceiveCount, keyReason, why)
}

func (w *Worker) extend(hands []*hand) {
	extensions := make([]queue.Extension, len(hands))
	called := time.Now()
	for i, h := range hands {
		// Less than a second is left of the 12 h: it is heldOut after this.
		most := max(h.lastHour().Sub(called).Truncate(time.Second), time.Second)
		extensions[i] = queue.Extension{Receipt: h.message.Receipt, Visibility: min(w.f.Visibility, most)}
	}
	ctx, cancel := context.WithTimeout(w.calls, min(extendTimeout, max(w.f.Visibility/6, time.Second)))
	defer cancel()
	answers := w.queue.Extend(ctx, extensions)

	w.mu.Lock()
	defer w.mu.Unlock()
	var failed error
	for i, h := range hands {
		switch err := answers[i]; {
		case err == nil:
			h.extended, h.until = called, called.Add(extensions[i].Visibility)
		case !gone(err):
			failed = err
		case !h.returning && !h.lost:
			if _, held := w.hands[h]; held {
				w.lose(h, err.Error())
			}
		}
	}
	if failed == nil {
		w.extends = trouble{}
		return
	}
	if w.extends.fail(failed, time.Now()) {
		w.log.Warn("visibility can't be extended; the work goes on", keyCount, len(hands), keyError, failed)
	}
}

// gone tells whether a call about a receipt failed for good.
func gone(err error) bool {
	return errors.Is(err, queue.ErrReceiptInvalid) || errors.Is(err, queue.ErrInvalid)
}
