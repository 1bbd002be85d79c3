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
		return fillErrors(errs, err)
	}
	parsed := make([]handle, len(changes))
	for i, c := range changes {
		if parsed[i], errs[i] = q.parseHandle(c.Handle); errs[i] == nil && (c.Timeout < 0 || c.Timeout > maxVisibility) {
			errs[i] = errorf(CodeInvalidParameterValue, "Value %d for parameter VisibilityTimeout is invalid. Reason: Must be between 0 and 43200.", int(c.Timeout/time.Second))
		}
	}
	q.awaitSettled(parsed)
	now := q.b.clock.now()
	q.index.advance(now)
	var set []takenSlot
	var at []int
	for i, c := range changes {
		if errs[i] != nil {
			continue
		}
		r, err := q.changeable(now, parsed[i], c.Timeout)
		if err != nil {
			errs[i] = err
			continue
		}
		m := q.snapshot(r)
		m.due = now.add(c.Timeout)
		set, at = append(set, m), append(at, i)
	}
	for i := range set {
		q.index.at(set[i].ref).busy = true
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
	q.serve(q.b.clock.moment())
	return errs
}

// changeable finds the message whose visibility the handle may change, with mu held.
func (q *Queue) changeable(now instant, h handle, timeout time.Duration) (ref, error) {
	r, ok := q.index.received[h.seq]
	if !ok || q.index.at(r).nonce != h.nonce {
		return 0, staleReceipt(h, "Message does not exist or is not available for visibility timeout change.")
	}
	m := q.index.at(r)
	if m.state != inFlight {
		return 0, errorf(CodeMessageNotInflight, "The message referred to isn't in flight.")
	}
	if now.add(timeout) > m.received.add(maxVisibility) {
		return 0, errorf(CodeInvalidParameterValue, "Value %d for parameter VisibilityTimeout is invalid. Reason: Total VisibilityTimeout for the message is beyond the limit [43200 seconds].", int(timeout/time.Second))
	}
	return r, nil
}
