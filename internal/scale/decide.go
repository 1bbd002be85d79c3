package scale

import (
	"fmt"
	"math"
	"time"
)

// Decide says how many workers there are to be from this sample on, and what to
// remember of it. It never panics, whatever the counts. A look at the queue that
// failed is no sample: don't call it, and the number stays.
//
// What there is moves only when the policy wants another number, and then
//
//   - up at once when there is none: a cooldown is there to let the workers of
//     the last scale-out take effect, and there are none;
//   - up when ScaleOutCooldown is over since the last scale-out;
//   - down when ScaleInCooldown is over since the last change and fewer have been
//     wanted for all that time, by MaxScaleIn at most, to zero only when IdleAfter
//     has passed as well.
//
// Fewer for all that time is what the HPA's stabilization window, KEDA's
// cooldownPeriod and the alarms of AWS's target tracking come to as well: a dip
// between two messages ends nobody, and a steady stream comes to rest.
//
// A cooldown is strict; Application Auto Scaling lets a larger scale-out pass.
// Min and max hold at once, whatever the cooldowns: they change when a person
// changes them. Busy workers win over everything.
func Decide(p Policy, s State, x Sample) (State, Decision) {
	p.Min = clamp(p.Min, 0, mostWorkers)
	p.Max = clamp(p.Max, p.Min, mostWorkers)
	l := read(x)
	current := s.prepare(&p, l)

	w := p.wish(current, s.Arrivals.Rate, s.Arrivals.Service, l)
	d := p.move(&s, clamp(current, p.Min, p.Max), w, l)
	d.Wanted = w.workers
	if d.Desired < l.Busy {
		d.Desired = l.Busy
		d.Code, d.NextChange = HeldByBusy, time.Time{}
		d.Reason = fmt.Sprintf("%s; %d are busy", w.words, l.Busy)
	}
	s.Desired, s.Decided = d.Desired, true
	return s, d
}

// prepare makes of what is remembered what can be true at this sample, and says
// how many workers there are meant to be. A pool that was never decided about
// takes over the workers it finds, and lets none go before one cooldown has
// passed, as nobody knows what was before.
func (s *State) prepare(p *Policy, l *look) int {
	current := clamp(s.Desired, 0, mostWorkers)
	if !s.Decided {
		current = max(current, l.Workers)
		if current > 0 && s.LastOut.IsZero() && s.LastIn.IsZero() {
			s.LastIn = l.At
		}
	}
	for _, t := range []*time.Time{&s.LastOut, &s.LastIn, &s.IdleSince, &s.Needed} {
		if t.After(l.At) { // the clock was set back while the pool was away
			*t = l.At
		}
	}
	switch {
	case !l.idle():
		s.IdleSince = time.Time{}
	case s.IdleSince.IsZero():
		s.IdleSince = l.At
	}
	s.Arrivals = s.Arrivals.next(p, l)
	return current
}

// move goes from what there is, which is within the limits, towards the wish.
func (p *Policy) move(s *State, from int, w wish, l *look) Decision {
	goal := clamp(w.workers, p.Min, p.Max)
	if goal >= from {
		s.Needed = l.At
	}
	switch {
	case goal > from:
		return p.out(s, from, goal, w, l)
	case goal < from && from > l.Busy:
		return p.in(s, from, goal, w, l)
	case goal < from:
		return Decision{Desired: from, Code: HeldByBusy, Reason: fmt.Sprintf("%s; scale-in held as all %d are busy", w.words, from)}
	case from != clamp(s.Desired, 0, mostWorkers) && s.Decided:
		return Decision{Desired: from, Code: Limits, Reason: fmt.Sprintf("%s; between %d and %d that is %d", w.words, p.Min, p.Max, from)}
	case w.workers > p.Max:
		return Decision{Desired: from, Code: AtMax, Reason: fmt.Sprintf("%s; %d is the most", w.words, p.Max)}
	case w.workers < p.Min:
		return Decision{Desired: from, Code: AtMin, Reason: fmt.Sprintf("%s; %d is the least", w.words, p.Min)}
	case w.starting:
		return Decision{Desired: from, Code: WaitingForStarts, Reason: fmt.Sprintf("%s; %d are there, not all of them ready", w.words, from)}
	default:
		return Decision{Desired: from, Code: Steady, Reason: fmt.Sprintf("%s, as there are", w.words)}
	}
}

func (p *Policy) out(s *State, from, goal int, w wish, l *look) Decision {
	until := after(s.LastOut, p.ScaleOutCooldown)
	if from > 0 && until.After(l.At) {
		return Decision{
			Desired: from, Code: OutCooldown, NextChange: until,
			Reason: fmt.Sprintf("%s; scale-out held %s by cooldown", w.words, left(until, l.At)),
		}
	}
	s.LastOut = l.At
	return Decision{Desired: goal, Code: ScaleOut, Reason: fmt.Sprintf("%s; scale-out from %d to %d%s", w.words, from, goal, p.bound(w, goal))}
}

// in is called with more there than are busy.
func (p *Policy) in(s *State, from, goal int, w wish, l *look) Decision {
	to, why := goal, p.bound(w, goal)
	if to < l.Busy {
		to, why = l.Busy, fmt.Sprintf(", as %d are busy", l.Busy)
	}
	until := after(later(later(s.LastOut, s.LastIn), s.Needed), p.ScaleInCooldown)
	if idleAt, waits := p.idleAt(s, l); to == 0 && waits {
		if from == 1 {
			return p.heldByIdle(idleAt, until, w, l)
		}
		to, why = 1, fmt.Sprintf(", the last one until it has been idle for %v", *p.IdleAfter)
	}
	if until.After(l.At) {
		return Decision{
			Desired: from, Code: InCooldown, NextChange: until,
			Reason: fmt.Sprintf("%s; scale-in held %s by cooldown", w.words, left(until, l.At)),
		}
	}
	if p.MaxScaleIn > 0 && from-to > p.MaxScaleIn {
		to, why = from-p.MaxScaleIn, fmt.Sprintf(", as %d leave at a time", p.MaxScaleIn)
	}
	s.LastIn = l.At
	return Decision{Desired: to, Code: ScaleIn, Reason: fmt.Sprintf("%s; scale-in from %d to %d%s", w.words, from, to, why)}
}

// idleAt is when the pool has been idle for IdleAfter, zero while it is not idle,
// and whether that is still to come.
func (p *Policy) idleAt(s *State, l *look) (time.Time, bool) {
	if p.IdleAfter == nil {
		return time.Time{}, false
	}
	if s.IdleSince.IsZero() {
		return time.Time{}, true
	}
	at := s.IdleSince.Add(*p.IdleAfter)
	return at, at.After(l.At)
}

// heldByIdle keeps the last worker. Both at and the cooldown's end have to pass.
func (p *Policy) heldByIdle(at, cooldown time.Time, w wish, l *look) Decision {
	d := Decision{Desired: 1, Code: HeldByIdleAfter}
	switch {
	case !at.IsZero():
		d.NextChange = later(at, cooldown)
		d.Reason = fmt.Sprintf("%s; the last one held %s until idle for %v", w.words, left(at, l.At), *p.IdleAfter)
	case l.delayed > 0:
		d.Reason = fmt.Sprintf("%s; the last one held by %d delayed", w.words, l.delayed)
	default:
		d.Reason = fmt.Sprintf("%s; the last one held until nothing is there for %v", w.words, *p.IdleAfter)
	}
	return d
}

// bound says that a limit cut the wish, where one did.
func (p *Policy) bound(w wish, goal int) string {
	switch {
	case w.workers > goal:
		return ", the most"
	case w.workers < goal:
		return ", the least"
	default:
		return ""
	}
}

// after is when a cooldown that began at t is over; zero: it never began.
func after(t time.Time, cooldown time.Duration) time.Time {
	if t.IsZero() {
		return t
	}
	return t.Add(cooldown)
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// left is the time until then in whole seconds, rounded up; shorter ones in full.
func left(until, now time.Time) string {
	d := until.Sub(now)
	if d < time.Second {
		return d.String()
	}
	return fmt.Sprintf("%.0f s", math.Ceil(d.Seconds()))
}
