package worker

import (
	"errors"
	"time"

	"github.com/queuemill/queuemill/internal/queue"
)

// settle ends the hold on a message as its work ended, and repeats that until
// the queue has answered, the message is somebody else's, or a hard stop is
// over. It returns the delay with which it was given back.
func (w *Worker) settle(h *hand, r Result) (delay time.Duration) {
	switch r.Kind {
	case Done:
		w.remove(h)
	case Rejected:
		if w.reject(h, r.Reason) {
			w.remove(h)
		} else {
			delay = w.backoff(h)
			w.giveBack(h, delay)
		}
	case NotNow:
		if delay = r.Delay; delay <= 0 {
			delay = w.backoff(h)
		}
		w.giveBack(h, delay)
	case Failed:
		delay = w.backoff(h)
		w.giveBack(h, delay)
	case Interrupted:
		w.giveBack(h, 0)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.settles, h)
	w.counts.done++
	w.release(h, time.Now())
	return delay
}

// backoff is 2^receives seconds, jittered, capped.
func (w *Worker) backoff(h *hand) time.Duration {
	return failureBackoff.Half(max(h.message.ReceiveCount, 1) - 1)
}

func (w *Worker) remove(h *hand) {
	err := w.repeat(h, func() error { return w.batcher.Delete(w.calls, h.message.Receipt) })
	if err != nil {
		w.metrics.unconfirmed.Inc()
		w.log.Warn("the delete of a message that is done is not confirmed: it may be delivered again", keyMessageID, h.message.ID, keyError, err)
	}
}

func (w *Worker) giveBack(h *hand, delay time.Duration) {
	if w.over(h) {
		return // it is visible, or in another hand, which an old receipt must not touch
	}
	// A longer delay than what is left of the 12 h is refused.
	delay = max(0, min(delay, time.Until(h.received.Add(holdLimit-time.Minute)).Truncate(time.Second)))
	w.mu.Lock()
	h.returning = true
	w.mu.Unlock()
	err := w.repeat(h, func() error {
		return w.batcher.Extend(w.calls, queue.Extension{Receipt: h.message.Receipt, Visibility: delay})
	})
	switch {
	case err == nil:
		w.log.Debug("gave message back", keyMessageID, h.message.ID, keyDelay, delay)
	case !gone(err):
		w.log.Warn("a message could not be given back: it comes back when its visibility timeout ends", keyMessageID, h.message.ID, keyError, err)
	}
}

// reject puts a message into the dead-letter queue. False: it can't be; it is
// kept, and said to be in trouble.
func (w *Worker) reject(h *hand, why string) bool {
	err := errNoRejecter
	if w.rejecter != nil {
		var denied error // waiting for the right would hold up everything else
		err = w.repeat(h, func() error {
			err := w.rejecter.Reject(w.calls, h.message, why)
			if denied = nil; errors.Is(err, queue.ErrDenied) {
				denied, err = err, nil
			}
			return err
		})
		err = errors.Join(err, denied)
	}
	if none := errors.Is(err, queue.ErrNotFound) || errors.Is(err, queue.ErrDenied) || errors.Is(err, errNoRejecter); none || err == nil {
		w.mu.Lock()
		w.unrejected = err
		w.mu.Unlock()
	}
	if err == nil {
		return true
	}
	w.metrics.unrejected.Inc()
	w.log.Error("a rejected message is kept, since it can't be put into a dead-letter queue",
		keyMessageID, h.message.ID, keyAttempt, h.message.ReceiveCount, keyReason, why, keyError, err)
	return false
}

var (
	errNoRejecter = errors.New("the queue has none")
	errOver       = errors.New("its visibility timeout is over")
)

// repeat makes a call to the queue until it is answered, for good or bad. Its
// errors are those that repeating does not help, and errOver. A right that is
// missing may come, and until then nothing is received: what is done and can't be
// deleted would only be done again.
func (w *Worker) repeat(h *hand, call func() error) error {
	var t trouble
	for {
		err := call()
		if err == nil || gone(err) || errors.Is(err, queue.ErrNotFound) || w.calls.Err() != nil {
			return err
		}
		if w.over(h) {
			return errors.Join(errOver, err)
		}
		first := t.fail(err, time.Now())
		w.mu.Lock()
		if first && len(w.settles) == 0 {
			w.polls.interrupt()
			w.log.Warn("messages can't be settled: trying again, and receiving nothing until then", keyError, err)
		}
		w.settles[h] = t
		w.mu.Unlock()
		timer := time.NewTimer(time.Until(t.next))
		select {
		case <-timer.C:
		case <-w.calls.Done():
			timer.Stop()
			return err
		}
	}
}
