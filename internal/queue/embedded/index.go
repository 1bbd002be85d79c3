package embedded

import (
	"math"
	"math/rand/v2"
	"time"
)

// index is a queue's messages in memory: who is ready, in which order, and when
// the others become visible. It does no I/O and has no clock; the caller holds
// the queue's lock and says what time it is.
type index struct {
	slab
	fifo     bool
	due      dueHeap        // delayed and in flight
	received map[uint64]ref // by seq: those received at least once, which a receipt may name

	// Standard queues: messages without a group. Those that came back alternate
	// with the ones never received: neither a backlog nor a poisoned message
	// starves the other.
	fresh, returned list
	returnedNext    bool

	groups groups // FIFO queues: message groups; standard queues: tenants
	fair   fairness

	nReady, nInFlight, nDelayed, nLeaving int
}

func newIndex(fifo bool) *index {
	x := &index{fifo: fifo, received: map[uint64]ref{}, groups: newGroups()}
	x.due.slab = &x.slab
	return x
}

// add puts a message in, pending: holding its place and not to be received.
func (x *index) add(seq uint64, sent instant, groupName string) ref {
	r := x.alloc()
	m := x.at(r)
	m.seq, m.sent, m.state = seq, sent, pending
	if groupName != "" {
		m.group = x.groups.get(groupName)
		x.groups.all[m.group].tenant.members++
	}
	if x.fifo {
		x.push(&x.groups.all[m.group].msgs, r)
		x.refresh(m.group)
	}
	return r
}

// admit makes a pending message visible, at due or at once.
func (x *index) admit(r ref, now, due instant) {
	if due > now {
		x.at(r).due = due
		x.setState(r, delayed)
		return
	}
	x.setState(r, ready)
}

// setState moves r between the states' lists and counts.
func (x *index) setState(r ref, s state) {
	m := x.at(r)
	switch m.state {
	case ready:
		x.nReady--
		if !x.fifo {
			x.unlink(x.readyList(m), r)
		}
	case delayed:
		x.nDelayed--
		x.due.remove(r)
	case inFlight:
		x.nInFlight--
		x.countInFlight(m.group, -1)
		x.due.remove(r)
	case leaving:
		x.nLeaving--
	}
	m.state = s
	switch s {
	case ready:
		x.nReady++
		if !x.fifo {
			x.push(x.readyList(m), r)
		}
	case delayed:
		x.nDelayed++
		x.due.push(r)
	case inFlight:
		x.nInFlight++
		x.countInFlight(m.group, +1)
		x.due.push(r)
	case leaving:
		x.nLeaving++
	}
	x.refresh(m.group)
}

func (x *index) countInFlight(g uint32, n int) {
	if g != 0 {
		x.groups.all[g].tenant.inFlight += n
	}
}

// leave takes r out of what it is in, before its fields change.
func (x *index) leave(r ref) { x.setState(r, leaving) }

// readyList is where m belongs while it is ready in a standard queue.
func (x *index) readyList(m *slot) *list {
	switch {
	case m.group != 0:
		return &x.groups.all[m.group].msgs
	case m.receives > 0:
		return &x.returned
	}
	return &x.fresh
}

// refresh says anew whether a group is available.
func (x *index) refresh(g uint32) {
	if g != 0 {
		head := x.groups.all[g].msgs.head
		x.groups.setAvailable(g, head != 0 && x.at(head).state == ready)
	}
}

// remove takes a message out for good.
func (x *index) remove(r ref) {
	x.leave(r)
	m := x.at(r)
	if m.receives > 0 {
		delete(x.received, m.seq)
	}
	if g := m.group; g != 0 {
		if x.fifo {
			x.unlink(&x.groups.all[g].msgs, r)
			x.refresh(g)
		}
		if x.groups.all[g].tenant.members--; x.groups.all[g].tenant.members == 0 {
			x.groups.drop(g)
		}
	}
	x.nLeaving--
	x.release(r)
}

// next is the message that is received next, 0: none.
func (x *index) next(now instant) ref {
	if x.fifo {
		if g := x.groups.head; g != 0 {
			return x.groups.all[g].msgs.head
		}
		return 0
	}
	plain := x.fresh.head
	if x.returned.head != 0 && (x.returnedNext || plain == 0) {
		plain = x.returned.head
	}
	return x.fairNext(now, plain)
}

// following is the next message of the same group that a receive of r may go
// on with; 0: none.
func (x *index) following(r ref) ref {
	if !x.fifo {
		return 0
	}
	n := x.at(r).next
	if n == 0 || x.at(n).state != ready {
		return 0
	}
	return n
}

// receive marks r as received now and invisible for visibility; it is busy
// until its record is written.
func (x *index) receive(r ref, now moment, visibility time.Duration) {
	m := x.at(r)
	x.tookTurn(m)
	x.leave(r)
	m.receives++
	m.nonce = rand.Uint32()
	m.received, m.due = now.at, now.at.add(visibility)
	if m.first == 0 {
		m.first = now.wallMs
	}
	x.received[m.seq] = r
	m.busy = true
	x.setState(r, inFlight)
}

// unreceive undoes a receive that nobody got, and puts the message in front.
func (x *index) unreceive(r ref) {
	m := x.at(r)
	m.busy = false
	x.leave(r)
	m.receives--
	if m.receives == 0 {
		m.first = 0
		delete(x.received, m.seq)
	}
	x.setState(r, ready)
	if !x.fifo {
		l := x.readyList(m)
		x.unlink(l, r)
		x.pushFront(l, r)
	}
}

// advance makes visible what is due. What is busy waits a moment longer.
func (x *index) advance(now instant) {
	for x.due.len() > 0 && x.due.items[0].due <= now {
		r := x.due.items[0].ref
		m := x.at(r)
		was := m.state
		if m.busy {
			x.leave(r)
			m.due = now.add(time.Millisecond)
			x.setState(r, was)
			continue
		}
		if was == inFlight {
			x.worked(m, m.due)
		}
		x.setState(r, ready)
	}
}

// nextDue is when advance has something to do again; false: never.
func (x *index) nextDue() (instant, bool) {
	if x.due.len() == 0 {
		return 0, false
	}
	return x.due.items[0].due, true
}

// oldest is when the oldest ready message was sent, as far as the heads of the
// lists tell; false: none is ready.
func (x *index) oldest() (instant, bool) {
	const groupsAtMost = 100
	oldest := instant(math.MaxInt64)
	look := func(r ref) {
		if r != 0 && x.at(r).state == ready {
			oldest = min(oldest, x.at(r).sent)
		}
	}
	look(x.fresh.head)
	look(x.returned.head)
	for g, n := x.groups.head, 0; g != 0 && n < groupsAtMost; g, n = x.groups.all[g].next, n+1 {
		look(x.groups.all[g].msgs.head)
	}
	return oldest, oldest != math.MaxInt64
}

// upcoming are up to n messages that are ready and have a number up to last,
// about in order of receiving.
func (x *index) upcoming(n int, last uint64) []ref {
	var found []ref
	walk := func(r ref) {
		for ; r != 0 && len(found) < n && x.at(r).state == ready; r = x.at(r).next {
			if x.at(r).seq <= last {
				found = append(found, r)
			}
		}
	}
	walk(x.returned.head)
	walk(x.fresh.head)
	for g := x.groups.head; g != 0 && len(found) < n; g = x.groups.all[g].next {
		walk(x.groups.all[g].msgs.head)
	}
	return found
}

func (x *index) groupName(r ref) string { return x.groups.all[x.at(r).group].name }
