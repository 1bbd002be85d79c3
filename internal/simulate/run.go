package simulate

import (
	"container/heap"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/queuemill/queuemill/internal/scale"
)

// Options are one run: a policy, a load and the world around them.
type Options struct {
	Policy  scale.Policy
	Load    Load
	Service Service
	Seed    uint64 // of the service times; the same for all policies that are compared

	// StartUp is from the decision to a worker that receives.
	StartUp time.Duration

	// SampleDelay is how old the queue's counts are when they are read; how many
	// workers there are is known at once. CloudWatch's are a minute or more.
	SampleDelay time.Duration

	// Fixed is a number of workers that are always there, instead of the policy;
	// 0: the policy decides.
	Fixed int
}

// begin is the virtual zero: not the zero time, which scale reads as "never".
var begin = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

// settleFor is how long a run goes on at most after its last message, so that the
// workers it leaves behind are counted.
const settleFor = 24 * time.Hour

// Run goes through the load until every message is finished and the number of
// workers has come to rest.
func Run(o Options) (*Result, error) {
	switch {
	case o.Service == nil:
		return nil, errors.New("simulate: no service time")
	case o.StartUp < 0 || o.SampleDelay < 0:
		return nil, errors.New("simulate: a negative start-up time or sampling delay")
	case o.Policy.Interval <= 0:
		return nil, errors.New("simulate: the policy has no interval")
	case o.Fixed == 0 && o.Policy.Max < 1:
		return nil, errors.New("simulate: the policy allows no workers")
	}
	s := newSimulation(o)
	for !s.over() {
		if err := s.step(); err != nil {
			return nil, err
		}
	}
	return s.result(), nil
}

// worker is one of the pool; its slots are what it has in hand at once.
type worker struct {
	started  time.Duration // asked for
	ready    bool
	retiring bool
	gone     bool
	busy     int // slots
}

type simulation struct {
	o     Options
	rand  *rand.Rand
	now   time.Duration
	slots int // of a worker

	nextArrival int
	waiting     fifo
	free        []*worker // ready, one entry per free slot; may hold stale ones
	workers     []*worker // that are not retiring
	retiring    int
	running     int // messages
	busy        int // workers with one, that are not retiring

	events events
	order  int // of events at the same time

	state    scale.State
	decision scale.Decision
	still    int // decisions since the last change
	counts   []counted

	r Result
	m meter
}

// counted is what the queue had at a time.
type counted struct {
	at                time.Duration
	visible, inFlight int
}

func newSimulation(o Options) *simulation {
	s := &simulation{o: o, rand: rand.New(rand.NewPCG(o.Seed, 0x9e3779b97f4a7c15)), slots: max(o.Policy.Concurrency, 1)}
	s.r.Waits = make([]time.Duration, 0, len(o.Load.Arrivals))
	s.start(s.firstWorkers(), 0)
	s.push(event{at: 0, kind: sampled})
	return s
}

// firstWorkers are there when the load begins, and ready.
func (s *simulation) firstWorkers() int {
	if s.o.Fixed > 0 {
		return s.o.Fixed
	}
	s.state = scale.State{Desired: s.o.Policy.Min, Decided: true}
	return s.o.Policy.Min
}

// over is when nothing is left to happen that a person would wait for.
func (s *simulation) over() bool {
	if s.nextArrival < len(s.o.Load.Arrivals) || s.waiting.len() > 0 || s.running > 0 || s.now < s.o.Load.Span {
		return false
	}
	if s.now > max(s.o.Load.Span, s.r.lastFinish)+settleFor {
		return true
	}
	if s.o.Fixed > 0 {
		return true
	}
	settled := s.still > 5 && s.decision.NextChange.IsZero() && time.Duration(s.still)*s.o.Policy.Interval > s.o.SampleDelay
	return settled && (len(s.workers) <= s.o.Policy.Min || s.still > 100)
}

// step takes the next event; an arrival comes before what else is due then.
func (s *simulation) step() error {
	if s.nextArrival < len(s.o.Load.Arrivals) {
		if at := s.o.Load.Arrivals[s.nextArrival]; len(s.events) == 0 || at <= s.events[0].at {
			s.advance(at)
			s.nextArrival++
			s.arrive(at)
			return nil
		}
	}
	if len(s.events) == 0 {
		return fmt.Errorf("simulate: nothing happens any more at %v, and %d messages wait", s.now, s.waiting.len())
	}
	e := heap.Pop(&s.events).(event)
	s.advance(e.at)
	switch e.kind {
	case became:
		s.ready(e.worker)
	case finished:
		s.finish(e.worker, e.took)
	case sampled:
		s.sample()
		s.push(event{at: s.now + s.o.Policy.Interval, kind: sampled})
	}
	return nil
}

func (s *simulation) advance(to time.Duration) {
	s.m.advance(s, to-s.now)
	s.now = to
}

func (s *simulation) arrive(at time.Duration) {
	s.waiting.push(at)
	s.assign()
}

// assign gives what waits to free slots, the oldest first.
func (s *simulation) assign() {
	for s.waiting.len() > 0 {
		w := s.freeSlot()
		if w == nil {
			return
		}
		s.r.Waits = append(s.r.Waits, s.now-s.waiting.pop())
		if w.busy == 0 {
			s.busy++
		}
		w.busy++
		s.running++
		took := s.o.Service(s.rand)
		s.push(event{at: s.now + took, kind: finished, worker: w, took: took})
	}
}

// freeSlot takes the slot that became free last: those that are idle longest stay
// so, and can go.
func (s *simulation) freeSlot() *worker {
	for len(s.free) > 0 {
		w := s.free[len(s.free)-1]
		s.free = s.free[:len(s.free)-1]
		if !w.retiring && !w.gone {
			return w
		}
	}
	return nil
}

func (s *simulation) ready(w *worker) {
	if w.gone {
		return
	}
	w.ready = true
	for range s.slots {
		s.free = append(s.free, w)
	}
	s.assign()
}

func (s *simulation) finish(w *worker, took time.Duration) {
	w.busy--
	s.running--
	s.r.Done++
	s.r.lastFinish = s.now
	s.m.worked += took
	if w.retiring {
		if w.busy == 0 {
			s.end(w)
			s.retiring--
		}
		return
	}
	if w.busy == 0 {
		s.busy--
	}
	s.free = append(s.free, w)
	s.assign()
}
