package embedded

import "context"

// Delete removes messages and returns when that is on disk, in one commit, with
// an error per handle, in order. A handle of a message that is gone, or that was
// received again since, is no error on a standard queue.
func (q *Queue) Delete(ctx context.Context, handles []string) []error {
	errs := make([]error, len(handles))
	if err := q.begin(); err != nil {
		return fillErrors(errs, err)
	}
	parsed := make([]handle, len(handles))
	for i, s := range handles {
		parsed[i], errs[i] = q.parseHandle(s)
	}
	q.awaitSettled(parsed)
	now := q.b.clock.now()
	q.index.advance(now)
	gone := make([]leavingSlot, 0, len(handles))
	for i, h := range parsed {
		if errs[i] != nil {
			continue
		}
		var l leavingSlot
		if l, errs[i] = q.lift(h, now); l.ref != 0 {
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
	q.serve(q.b.clock.moment())
	return errs
}

func fillErrors(errs []error, err error) []error {
	for i := range errs {
		errs[i] = err
	}
	return errs
}

// leavingSlot is a slot on its way out.
type leavingSlot struct {
	ref  ref
	seq  uint64
	size uint32
	was  state
	at   int
}

// awaitSettled waits until no other operation is writing any of the messages.
// Only after it may one make messages busy, all at once: two operations that
// each waited with a busy message in hand could wait for each other. With mu held.
func (q *Queue) awaitSettled(handles []handle) {
	for i := 0; i < len(handles); i++ {
		if r, ok := q.index.received[handles[i].seq]; ok && q.index.at(r).busy {
			q.idle.Wait()
			i = -1
		}
	}
}

// lift takes the handle's message out of its list, with mu held. Ref 0: there is
// nothing to remove.
func (q *Queue) lift(h handle, now instant) (leavingSlot, error) {
	r, ok := q.index.received[h.seq]
	if !ok {
		return leavingSlot{}, nil
	}
	m := q.index.at(r)
	if m.busy { // the same message a second time in this call
		return leavingSlot{}, nil
	}
	if q.fifo && (m.nonce != h.nonce || m.state != inFlight) {
		return leavingSlot{}, staleReceipt(h, "The receipt handle has expired.")
	}
	l := leavingSlot{ref: r, seq: h.seq, size: m.size, was: m.state}
	if l.was == inFlight {
		q.index.worked(m, now)
	}
	q.index.leave(r)
	m.busy = true
	return l, nil
}

func (q *Queue) drop(gone []leavingSlot) error {
	batch := q.b.db.Pebble().NewBatchWithSize(len(gone) * 64)
	defer batch.Close()
	for _, l := range gone {
		q.dropMessage(batch, l.seq, l.size)
	}
	return q.b.db.CommitFreeing(batch)
}
