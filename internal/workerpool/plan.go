package workerpool

import (
	"cmp"
	"math"
	"slices"

	"github.com/queuemill/queuemill/internal/fleet"
)

// plan is what to do so that there are as many workers as are wanted.
type plan struct {
	start  int
	drain  []fleet.Worker // to receive no more
	resume []fleet.Worker // that were drained, to go on
	remove []fleet.Worker // that agreed
}

// planFor wants so many workers of the template. Those of another one stay until
// as many new ones are ready. stays tells which drained workers do not go on
// when they are asked.
func planFor(workers []fleet.Worker, template string, want int, stays func(uid string) bool) (p plan) {
	var fresh, old, retiring []fleet.Worker
	for _, w := range workers {
		switch {
		case w.State == fleet.Ending:
		case w.State == fleet.Retiring || w.Report != nil && w.Report.Draining:
			retiring = append(retiring, w)
		case w.Template == template:
			fresh = append(fresh, w)
		default:
			old = append(old, w)
		}
	}
	missing := want - len(fresh)
	slices.SortStableFunc(retiring, func(a, b fleet.Worker) int { return cmp.Compare(load(b), load(a)) })
	for _, w := range retiring {
		switch {
		case missing > 0 && w.Template == template && w.Report != nil && !stays(w.UID):
			p.resume = append(p.resume, w)
			missing--
		case w.Report.Agreed():
			p.remove = append(p.remove, w)
		}
	}
	p.start = max(0, missing)
	fresh, p.drain = split(fresh, want)
	ready := 0
	for _, w := range fresh {
		if w.State == fleet.Ready {
			ready++
		}
	}
	_, surplus := split(old, max(0, want-ready))
	p.drain = append(p.drain, surplus...)
	return p
}

// split keeps so many workers, those that are hardest to do without.
func split(workers []fleet.Worker, keep int) (kept, surplus []fleet.Worker) {
	workers = slices.Clone(workers)
	slices.SortStableFunc(workers, func(a, b fleet.Worker) int {
		return cmp.Or(cmp.Compare(load(b), load(a)), a.StartedAt.Compare(b.StartedAt))
	})
	keep = min(keep, len(workers))
	return workers[:keep], workers[keep:]
}

// load is how much a worker has in hand: the less, the easier it is to do
// without it. One that has not begun is easiest, one that does not answer may
// have anything.
func load(w fleet.Worker) int {
	switch {
	case w.State == fleet.Starting:
		return -1
	case w.Report == nil:
		return math.MaxInt
	}
	return w.Report.InHand
}
