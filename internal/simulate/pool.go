package simulate

import (
	"cmp"
	"slices"
	"time"

	"github.com/queuemill/queuemill/internal/scale"
)

// sample looks at the queue and the workers as a pool does, decides and acts.
func (s *simulation) sample() {
	if s.o.Fixed > 0 {
		s.note(s.o.Fixed)
		return
	}
	seen := s.look()
	x := scale.Sample{
		At: begin.Add(s.now), Visible: seen.visible, InFlight: seen.inFlight,
		Workers: len(s.workers), Busy: s.busy, Done: int64(s.r.Done),
	}
	for i := len(s.workers) - 1; i >= 0 && !s.workers[i].ready; i-- { // the newest are last
		x.Starting++
	}
	if s.r.Done > 0 {
		x.Service = s.m.worked / time.Duration(s.r.Done)
	}
	before := s.state.Desired
	s.state, s.decision = scale.Decide(s.o.Policy, s.state, x)
	switch to := s.decision.Desired; {
	case to > before:
		s.r.ScaleOuts++
		s.still = 0
	case to < before:
		s.r.ScaleIns++
		s.still = 0
	default:
		s.still++
	}
	if to := s.decision.Desired; to != before {
		s.r.Changes = append(s.r.Changes, Change{At: s.now, From: before, To: to, Reason: s.decision.Reason})
	}
	s.start(s.decision.Desired-len(s.workers), s.o.StartUp)
	s.retire(len(s.workers) - s.decision.Desired)
	s.note(s.decision.Desired)
}

// look is what the queue had SampleDelay ago: nothing before the beginning.
func (s *simulation) look() counted {
	s.counts = append(s.counts, counted{s.now, s.waiting.len(), s.running})
	var seen counted
	last := 0
	for i, c := range s.counts {
		if c.at > s.now-s.o.SampleDelay {
			break
		}
		seen, last = c, i
	}
	s.counts = slices.Delete(s.counts, 0, last)
	return seen
}

func (s *simulation) start(n int, startUp time.Duration) {
	for range n {
		w := &worker{started: s.now}
		s.workers = append(s.workers, w)
		s.r.Started++
		if startUp == 0 {
			s.ready(w)
		} else {
			s.push(event{at: s.now + startUp, kind: became, worker: w})
		}
	}
	s.r.MaxWorkers = max(s.r.MaxWorkers, len(s.workers))
}

// retire takes n away as a pool does: first those that are not ready, then idle
// ones, then those with the least in hand, which finish it.
func (s *simulation) retire(n int) {
	if n <= 0 {
		return
	}
	order := slices.Clone(s.workers)
	slices.SortStableFunc(order, func(a, b *worker) int {
		if a.ready != b.ready {
			return cmp.Compare(rank(a.ready), rank(b.ready))
		}
		return cmp.Compare(a.busy, b.busy)
	})
	for _, w := range order[:n] {
		w.retiring = true
		if w.busy > 0 {
			s.busy--
			s.retiring++
		} else {
			s.end(w)
		}
	}
	s.workers = slices.DeleteFunc(s.workers, func(w *worker) bool { return w.retiring })
	s.free = slices.DeleteFunc(s.free, func(w *worker) bool { return w.retiring })
}

func rank(ready bool) int {
	if ready {
		return 1
	}
	return 0
}

// end is when a worker is no longer paid for.
func (s *simulation) end(w *worker) {
	w.gone = true
	s.m.lived(s.now - w.started)
}
