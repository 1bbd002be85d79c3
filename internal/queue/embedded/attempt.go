package embedded

import "time"

// attemptWindow is how long a ReceiveRequestAttemptId is known.
const attemptWindow = 5 * time.Minute

// attempt is what a receive with a ReceiveRequestAttemptId returned.
type attempt struct {
	until instant
	got   []attemptItem
}

// attemptItem is a message as that receive left it.
type attemptItem struct {
	seq   uint64
	nonce uint32
	due   instant
}

// attempts are the receives of a FIFO queue that can be repeated. They are in
// memory only: a restart forgets them, and the messages come back in time.
type attempts struct {
	byID  map[string]attempt
	order []string
}

func (a *attempts) put(id string, now instant, got []takenSlot) {
	if a.byID == nil {
		a.byID = map[string]attempt{}
	}
	for len(a.order) > 0 {
		if old, ok := a.byID[a.order[0]]; ok && old.until > now {
			break
		}
		delete(a.byID, a.order[0])
		a.order = a.order[1:]
	}
	t := attempt{until: now.add(attemptWindow)}
	for i := range got {
		t.got = append(t.got, attemptItem{got[i].seq, got[i].nonce, got[i].due})
	}
	if _, again := a.byID[id]; !again {
		a.order = append(a.order, id)
	}
	a.byID[id] = t
}

// replay takes the messages of an earlier receive with the same ID once more,
// their visibility timeout set anew, unless one of them was deleted, changed or
// has become visible since. With mu held.
func (q *Queue) replay(id string, now instant, visibility time.Duration) (t taken) {
	a, ok := q.attempts.byID[id]
	if !ok || a.until <= now || q.gated {
		return t
	}
	refs := make([]ref, len(a.got))
	for i, it := range a.got {
		r, ok := q.index.received[it.seq]
		if !ok {
			return t
		}
		if m := q.index.at(r); m.busy || m.state != inFlight || m.nonce != it.nonce || m.due != it.due {
			return t
		}
		refs[i] = r
	}
	for _, r := range refs {
		m := q.index.at(r)
		q.index.leave(r)
		m.due = now.add(visibility)
		m.busy = true
		q.index.setState(r, inFlight)
		t.deliver = append(t.deliver, q.snapshot(r))
	}
	t.again = true
	return q.under(t)
}
