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
	drain  []fleet.Worker // to receive no more; those that agree are removed
	resume []fleet.Worker // to receive: new ones, and those that were drained
	await  []fleet.Worker // that run and are held, and can't be asked yet
}

// planFor wants so many workers of the template. Those of another one stay until
// as many new ones are ready. stays tells which drained workers do not go on
// when they are asked.
func planFor(workers []fleet.Worker, template string, want int, stays func(uid string) bool) (p plan) {
	var fresh, old, retiring []fleet.Worker
	for _, w := range workers {
		switch {
		case w.State == fleet.Ending:
		case w.Held && w.Template != template: // works on nothing, and is not wanted
			p.drain = append(p.drain, w)
		case w.Held:
			fresh = append(fresh, w)
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
			p.drain = append(p.drain, w) // once more: what it said before this look does not count
		}
	}
	p.start = max(0, missing)
	fresh, surplus := split(fresh, want)
	p.drain = append(p.drain, surplus...)
	ready := 0
	for _, w := range fresh {
		switch {
		case w.State == fleet.Ready:
			ready++
		case w.Held && w.Report != nil:
			p.resume = append(p.resume, w)
		case w.Held && !w.StartedAt.IsZero():
			p.await = append(p.await, w)
		}
	}
	_, surplus = split(old, max(0, want-ready))
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
	case w.Held && w.Report == nil:
		return -3
	case w.Held:
		return -2
	case w.State == fleet.Starting:
		return -1
	case w.Report == nil:
		return math.MaxInt
	}
	return w.Report.InHand
}
