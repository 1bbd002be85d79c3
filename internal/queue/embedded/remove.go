package embedded

import (
	"context"
)

// Delete removes messages and returns when that is on disk, in one commit, with
// an error per handle, in order. A handle of a message that is gone, or that was
// received again since, is no error on a standard queue.
func (q *Queue) Delete(ctx context.Context, handles []string) []error {
	errs := make([]error, len(handles))
	if err := q.begin(); err != nil {
		for i := range errs {
			errs[i] = err
		}
		return errs
	}
	var gone []leavingSlot
	for i, s := range handles {
		var l leavingSlot
		if l, errs[i] = q.lift(s, gone); l.ref != 0 {
			l.at = i
			gone = append(gone, l)
		}
	}
	if len(gone) == 0 {
		q.end()
		q.mu.Unlock()
		return errs
	}
	q.mu.Unlock()
	err := q.drop(gone)
	q.mu.Lock()
	defer q.mu.Unlock()
	defer q.end()
	for _, l := range gone {
		if err != nil {
			errs[l.at] = storeError(err)
			q.index.at(l.ref).busy = false
			q.index.setState(l.ref, l.was)
			continue
		}
		q.index.remove(l.ref)
	}
	q.serve(q.b.clock.now())
	return errs
}

// leavingSlot is a slot on its way out.
type leavingSlot struct {
	ref ref
	seq uint64
	was state
	at  int
}

// lift takes the handle's message out of its list, with mu held; ref 0: there
// is nothing to remove.
func (q *Queue) lift(s string, already []leavingSlot) (leavingSlot, error) {
	h, err := q.parseHandle(s)
	if err != nil {
		return leavingSlot{}, err
	}
	for _, l := range already {
		if l.seq == h.seq {
			return leavingSlot{}, nil
		}
	}
	r := q.settled(h.seq)
	if r == 0 {
		return leavingSlot{}, nil
	}
	m := q.index.at(r)
	if q.fifo {
		q.index.advance(q.b.clock.now())
		if m.nonce != h.nonce || m.state != inFlight {
			return leavingSlot{}, errorf(CodeInvalidParameterValue, "Value %s for parameter ReceiptHandle is invalid. Reason: The receipt handle has expired.", s)
		}
	}
	l := leavingSlot{ref: r, seq: h.seq, was: m.state}
	q.index.leave(r)
	m.busy = true
	return l, nil
}

// settled finds a message that was received, and waits until it is not busy;
// 0: it is gone. With mu held.
func (q *Queue) settled(seq uint64) ref {
	for {
		r, ok := q.index.received[seq]
		if !ok {
			return 0
		}
		if !q.index.at(r).busy {
			return r
		}
		q.idle.Wait()
	}
}

func (q *Queue) drop(gone []leavingSlot) error {
	batch := q.b.db.Pebble().NewBatchWithSize(len(gone) * 64)
	defer batch.Close()
	for _, l := range gone {
		q.dropMessage(batch, l.seq)
	}
	return q.b.db.Commit(batch)
}
