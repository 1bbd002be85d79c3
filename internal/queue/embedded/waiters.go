package embedded

import "time"

// waiter is a receive that waits for a message.
type waiter struct {
	max        int
	visibility time.Duration
	done       chan struct{} // closed when got or err is set; under the queue's lock
	got        taken
	err        error
	next, prev *waiter
	queued     bool
}

// waiters are served in order of arrival.
type waiters struct{ head, tail *waiter }

func (l *waiters) push(w *waiter) {
	w.queued = true
	w.prev, w.next = l.tail, nil
	if l.tail == nil {
		l.head = w
	} else {
		l.tail.next = w
	}
	l.tail = w
}

// remove takes w out; false: it was not in.
func (l *waiters) remove(w *waiter) bool {
	if !w.queued {
		return false
	}
	w.queued = false
	if w.prev == nil {
		l.head = w.next
	} else {
		w.prev.next = w.next
	}
	if w.next == nil {
		l.tail = w.prev
	} else {
		w.next.prev = w.prev
	}
	w.next, w.prev = nil, nil
	return true
}

// serve hands what is ready to who waits, first come first served: the sender
// that made it ready does so itself. With mu held.
func (q *Queue) serve(now moment) {
	for w := q.waiters.head; w != nil; w = q.waiters.head {
		t := q.take(now, w.max, w.visibility)
		if t.empty() {
			break
		}
		q.waiters.remove(w)
		w.got = t
		close(w.done)
	}
	q.arm(now.at)
}

// arm sets the timer to when something becomes visible for those who wait.
// Without one who waits nothing runs: what is due is found by the next call.
func (q *Queue) arm(now instant) {
	due, ok := q.index.nextDue()
	if !ok || q.waiters.head == nil || q.shutErr != nil || (q.wakeAt != 0 && q.wakeAt <= due) {
		return
	}
	q.wakeAt = due
	d := max(due.sub(now), 0)
	if q.timer == nil {
		q.timer = time.AfterFunc(d, q.wake)
		return
	}
	q.timer.Reset(d)
}

// wake is the timer's work.
func (q *Queue) wake() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.wakeAt = 0
	q.serve(q.b.clock.moment())
}
