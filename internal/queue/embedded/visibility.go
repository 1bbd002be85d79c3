package embedded

import (
	"context"
	"time"
)

// ChangeVisibility sets when received messages are visible again, with an error
// per change, in order. It counts for the receive that the handle is of.
func (q *Queue) ChangeVisibility(ctx context.Context, changes []VisibilityChange) []error {
	errs := make([]error, len(changes))
	if err := q.begin(); err != nil {
		for i := range errs {
			errs[i] = err
		}
		return errs
	}
	now := q.b.clock.now()
	q.index.advance(now)
	var set []takenSlot
	var at []int
	for i, c := range changes {
		var r ref
		if r, errs[i] = q.changeable(now, c, set); r == 0 {
			continue
		}
		m := q.snapshot(r)
		m.due = now.add(c.Timeout)
		set, at = append(set, m), append(at, i)
		q.index.at(r).busy = true
	}
	if len(set) == 0 {
		q.end()
		q.mu.Unlock()
		return errs
	}
	q.mu.Unlock()
	err := q.putStates(set)
	q.mu.Lock()
	defer q.mu.Unlock()
	defer q.end()
	for i := range set {
		m := q.index.at(set[i].ref)
		m.busy = false
		if err != nil {
			errs[at[i]] = storeError(err)
			continue
		}
		q.index.leave(set[i].ref)
		m.due = set[i].due
		q.index.setState(set[i].ref, inFlight)
	}
	now = q.b.clock.now()
	q.index.advance(now)
	q.serve(now)
	return errs
}

func (q *Queue) putStates(l []takenSlot) error {
	batch := q.b.db.Pebble().NewBatchWithSize(len(l) * 96)
	defer batch.Close()
	for i := range l {
		q.putState(batch, &l[i].slot, l[i].group)
	}
	return q.b.db.CommitNoSync(batch)
}

// changeable finds the message whose visibility c may change, with mu held.
func (q *Queue) changeable(now instant, c VisibilityChange, already []takenSlot) (ref, error) {
	h, err := q.parseHandle(c.Handle)
	if err != nil {
		return 0, err
	}
	if c.Timeout < 0 || c.Timeout > maxVisibility {
		return 0, errorf(CodeInvalidParameterValue, "Value %d for parameter VisibilityTimeout is invalid. Reason: Must be between 0 and 43200.", int(c.Timeout/time.Second))
	}
	for i := range already {
		if already[i].seq == h.seq {
			already[i].due = now.add(c.Timeout)
			return 0, nil
		}
	}
	r := q.settled(h.seq)
	if r == 0 || q.index.at(r).nonce != h.nonce {
		return 0, errorf(CodeInvalidParameterValue, "Value %s for parameter ReceiptHandle is invalid. Reason: Message does not exist or is not available for visibility timeout change.", c.Handle)
	}
	m := q.index.at(r)
	if m.state != inFlight {
		return 0, errorf(CodeMessageNotInflight, "The message referred to isn't in flight.")
	}
	if now.add(c.Timeout) > m.received.add(maxVisibility) {
		return 0, errorf(CodeInvalidParameterValue, "Value %d for parameter VisibilityTimeout is invalid. Reason: Total VisibilityTimeout for the message is beyond the limit [43200 seconds].", int(c.Timeout/time.Second))
	}
	return r, nil
}
