package embedded

import (
	"math"
	"time"
)

// Fair queues: on a standard queue a message group is a tenant. While some
// tenants are noisy, the messages of the others go first; a message without a
// group is a tenant of its own, and so never noisy. Source: "Amazon SQS fair
// queues" in the developer guide.
const (
	noisyShare    = 0.10 // of what is in flight, or of the recent processing time
	noisyInFlight = 30   // messages in flight at least, for the share in flight to count

	// Recent: processing time counts half after a minute. The sum has to reach
	// workFloor for shares of it to mean anything.
	workHalfLife = time.Minute
	workFloor    = 10 * time.Second
)

// tenant is a group's part in what goes on in a queue.
type tenant struct {
	members  int // messages of it in the queue
	inFlight int
	work     decaying
}

// fairness is what index needs to be fair.
type fairness struct {
	work       decaying // processing time of all messages
	tenantNext bool     // a tenant's message is next, before one without a group
}

// decaying is a sum of durations that halves every workHalfLife.
type decaying struct {
	sum float64 // ns, at at
	at  instant
}

func (d decaying) value(now instant) float64 {
	if d.sum == 0 {
		return 0
	}
	return d.sum * math.Exp2(-float64(now.sub(d.at))/float64(workHalfLife))
}

func (d *decaying) add(now instant, v time.Duration) { d.sum, d.at = d.value(now)+float64(v), now }

// worked counts the time that m was in flight, until now.
func (x *index) worked(m *slot, now instant) {
	if x.fifo || len(x.groups.byName) == 0 {
		return
	}
	d := max(now.sub(m.received), 0)
	x.fair.work.add(now, d)
	if m.group != 0 {
		x.groups.all[m.group].tenant.work.add(now, d)
	}
}

func (x *index) noisy(g uint32, now instant) bool {
	t := &x.groups.all[g].tenant
	if t.inFlight >= noisyInFlight && float64(t.inFlight) > noisyShare*float64(x.nInFlight) {
		return true
	}
	all := x.fair.work.value(now)
	return all >= float64(workFloor) && t.work.value(now) > noisyShare*all
}

// fairNext chooses between plain, the next message without a group (0: none),
// and the tenants. Quiet tenants take turns. At most some twenty tenants can
// have a share over a tenth, so the search is short.
func (x *index) fairNext(now instant, plain ref) ref {
	first := x.groups.head
	if first == 0 {
		return plain
	}
	quiet := first
	for quiet != 0 && x.noisy(quiet, now) {
		quiet = x.groups.all[quiet].next
	}
	switch {
	case quiet == 0 && plain != 0:
		return plain
	case quiet == 0:
		return x.groups.all[first].msgs.head
	case plain != 0 && !x.fair.tenantNext:
		return plain
	}
	return x.groups.all[quiet].msgs.head
}

// tookTurn passes the turn on after m was received.
func (x *index) tookTurn(m *slot) {
	if x.fifo {
		return
	}
	x.fair.tenantNext = m.group == 0
	if m.group == 0 {
		x.returnedNext = m.receives == 0
		return
	}
	x.groups.setAvailable(m.group, false)
	x.refresh(m.group)
}
