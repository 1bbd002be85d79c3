package scale

import (
	"fmt"
	"testing"
	"time"
)

// shop is a queue and its workers in the simplest form that closes the loop:
// messages arrive at one pace, each takes the same time, the oldest goes first.
type shop struct {
	p               Policy
	every, service  time.Duration // of arrivals, of a message
	startUp         time.Duration
	now             time.Time
	state           State
	nextArrival     time.Time
	arrivals        []time.Time // waiting
	ready           []time.Time // of each worker, when it has started or is done
	working         []bool
	done            int64
	longest         time.Duration // wait
	desired, turned int
	went            int
}

func (s *shop) run(d time.Duration) {
	for end := s.now.Add(d); s.now.Before(end); s.now = s.now.Add(s.p.Interval) {
		s.work()
		s.decide()
	}
}

func (s *shop) work() {
	for ; !s.nextArrival.After(s.now); s.nextArrival = s.nextArrival.Add(s.every) {
		s.arrivals = append(s.arrivals, s.nextArrival)
	}
	for i := range s.ready {
		for !s.ready[i].After(s.now) {
			if s.working[i] {
				s.working[i] = false
				s.done++
			}
			if len(s.arrivals) == 0 || s.arrivals[0].After(s.now) {
				break
			}
			begin := s.ready[i]
			if begin.Before(s.arrivals[0]) {
				begin = s.arrivals[0]
			}
			s.longest = max(s.longest, begin.Sub(s.arrivals[0]))
			s.arrivals = s.arrivals[1:]
			s.ready[i], s.working[i] = begin.Add(s.service), true
		}
	}
}

func (s *shop) decide() {
	x := Sample{At: s.now, Visible: len(s.arrivals), Workers: len(s.ready), Done: s.done}
	if s.done > 0 {
		x.Service = s.service
	}
	for i := range s.ready {
		switch {
		case s.working[i]:
			x.Busy++
		case s.ready[i].After(s.now):
			x.Starting++
		}
	}
	x.InFlight = x.Busy
	var d Decision
	s.state, d = Decide(s.p, s.state, x)
	if way := sign(d.Desired - s.desired); way != 0 {
		if way == -s.went {
			s.turned++
		}
		s.went = way
	}
	s.desired = d.Desired
	for len(s.ready) < d.Desired {
		s.ready, s.working = append(s.ready, s.now.Add(s.startUp)), append(s.working, false)
	}
	for i := len(s.ready) - 1; i >= 0 && len(s.ready) > d.Desired; i-- {
		if !s.working[i] {
			s.ready, s.working = append(s.ready[:i], s.ready[i+1:]...), append(s.working[:i], s.working[i+1:]...)
		}
	}
}

// With the workers in the loop a steady stream comes to rest too: once it has run
// for some hours the number turns no more, and the wait is what the policy means.
//
// The one that turns has 1.7 messages running on average, and five per worker is
// content with a single worker while no more than five are there: it cannot keep
// up, a second one comes, works that off and leaves. Each turn takes minutes.
func TestSteadyStreamComesToRest(t *testing.T) {
	perWorker := func(n int) Policy {
		return Policy{Max: 50, BacklogPerWorker: n, Concurrency: 1, ScaleInCooldown: 5 * time.Minute, Interval: 2 * time.Second}
	}
	forWait := func(wait time.Duration) Policy {
		return Policy{Max: 50, TargetWait: wait, Concurrency: 1, ScaleInCooldown: time.Minute, Interval: 2 * time.Second}
	}
	const service = 2 * time.Minute
	for _, c := range []struct {
		p       Policy
		every   time.Duration // between two messages
		workers [2]int        // there are, from and to
		turns   int           // at most, in three hours
		wait    time.Duration // at most
	}{
		{perWorker(5), 6 * time.Second, [2]int{20, 20}, 0, 8 * time.Minute},
		{perWorker(5), 12 * time.Second, [2]int{10, 10}, 0, 8 * time.Minute},
		{perWorker(5), 13 * time.Second, [2]int{9, 10}, 0, 8 * time.Minute},
		{perWorker(5), 70 * time.Second, [2]int{1, 2}, 12, 8 * time.Minute},
		{perWorker(1), 6 * time.Second, [2]int{20, 20}, 0, 30 * time.Second},
		{perWorker(1), 13 * time.Second, [2]int{10, 10}, 0, 30 * time.Second},
		{perWorker(1), 70 * time.Second, [2]int{2, 2}, 0, 30 * time.Second},
		{forWait(30 * time.Second), 6 * time.Second, [2]int{20, 21}, 0, 30 * time.Second},
		{forWait(30 * time.Second), 13 * time.Second, [2]int{10, 10}, 0, 30 * time.Second},
		{forWait(5 * time.Minute), 12 * time.Second, [2]int{10, 11}, 0, 5 * time.Minute},
		{forWait(5 * time.Minute), 70 * time.Second, [2]int{2, 2}, 0, 5 * time.Minute},
	} {
		t.Run(fmt.Sprintf("%d per worker, wait %v, every %v", c.p.BacklogPerWorker, c.p.TargetWait, c.every), func(t *testing.T) {
			s := shop{p: c.p, every: c.every, service: service, startUp: 20 * time.Second, now: noon, nextArrival: noon}
			s.run(3 * time.Hour)
			s.turned, s.longest = 0, 0
			s.run(3 * time.Hour)
			if s.turned > c.turns || s.longest > c.wait || s.desired < c.workers[0] || s.desired > c.workers[1] {
				t.Errorf("%d workers, want %v; turned %d times, want %d; longest wait %v, want %v; %d are waiting",
					s.desired, c.workers, s.turned, c.turns, s.longest, c.wait, len(s.arrivals))
			}
		})
	}
}
