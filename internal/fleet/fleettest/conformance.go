package fleettest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/queuemill/queuemill/api/v1alpha1"
	"github.com/queuemill/queuemill/internal/fleet"
)

// Harness is a provider under test, empty and with a pool that it can start.
type Harness struct {
	Fleet fleet.Fleet
	Pool  *v1alpha1.WorkerPool

	// Again opens the same fleet once more, as the controller does after a
	// restart.
	Again func(t *testing.T) fleet.Fleet

	// Hold gives the worker n messages in hand.
	Hold func(t *testing.T, w fleet.Worker, n int)

	// Silence has the worker answer nobody, or on false answer again.
	Silence func(t *testing.T, w fleet.Worker, on bool)

	// End ends the worker behind the fleet's back.
	End func(t *testing.T, w fleet.Worker)

	// OneController: nobody else can have the fleet open, so that nobody else can
	// let a worker go on between a look and a removal.
	OneController bool

	// Limit is how long anything may take to show; 0: 20 s.
	Limit time.Duration
}

// Run runs the suite; open gives each test a harness of its own.
func Run(t *testing.T, open func(t *testing.T) Harness) {
	for _, test := range []struct {
		name string
		run  func(s *suite)
	}{
		{"started workers become ready", started},
		{"a worker is held back until it is let go", held},
		{"who was told to go on is held no more, answer or not", heldNoMore},
		{"who was let go since the look is not removed", overtaken},
		{"a busy worker does not agree", busy},
		{"a drained worker goes on when it is wanted again", wantedAgain},
		{"a worker is removed by its UID", removed},
		{"no answer is busy", silent},
		{"a worker that ended is not there", ended},
		{"a restart finds the same workers", restarted},
		{"a restart finds a drained worker retiring", restartedRetiring},
		{"an edit makes other workers", edited},
		{"a watch tells of what came, became ready and went", watched},
		{"a list without time is an error", cancelled},
	} {
		t.Run(test.name, func(t *testing.T) {
			h := open(t)
			if h.Limit == 0 {
				h.Limit = 20 * time.Second
			}
			test.run(&suite{t, h})
		})
	}
}

type suite struct {
	*testing.T
	Harness
}

func (s *suite) start(n int) {
	s.Helper()
	if err := s.Fleet.Start(s.Context(), s.Pool, n); err != nil {
		s.Fatal(err)
	}
}

func (s *suite) list(f fleet.Fleet) []fleet.Worker {
	s.Helper()
	workers, err := f.List(s.Context())
	if err != nil {
		s.Fatal(err)
	}
	return workers
}

// await waits until the workers are as they should be, and returns them by name.
func (s *suite) await(f fleet.Fleet, what string, right func([]fleet.Worker) bool) []fleet.Worker {
	s.Helper()
	deadline := time.After(s.Limit)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		workers := s.list(f)
		if right(workers) {
			return workers
		}
		select {
		case <-tick.C:
		case <-deadline:
			s.Fatalf("waited %v for %s: %+v", s.Limit, what, workers)
		}
	}
}

// ready waits until there are n workers, all of them ready and answering.
func (s *suite) ready(f fleet.Fleet, n int) []fleet.Worker {
	s.Helper()
	return s.await(f, fmt.Sprintf("%d ready workers", n), func(workers []fleet.Worker) bool {
		s.letGo(f, workers)
		return all(n, fleet.Ready)(workers)
	})
}

// letGo lets those go that are held and can be asked, and returns how many.
func (s *suite) letGo(f fleet.Fleet, workers []fleet.Worker) (n int) {
	s.Helper()
	for _, w := range workers {
		if !w.Held || w.Report == nil {
			continue
		}
		if r, err := f.Drain(s.Context(), w, false); err != nil || r.Draining {
			s.Fatalf("let go %s: %+v, %v", w.Name, r, err)
		}
		n++
	}
	return n
}

func heldAndAsked(n int) func([]fleet.Worker) bool {
	return func(workers []fleet.Worker) bool {
		return all(n, fleet.Starting)(workers) && !slices.ContainsFunc(workers, func(w fleet.Worker) bool { return !w.Held })
	}
}

func all(n int, state fleet.State) func([]fleet.Worker) bool {
	return func(workers []fleet.Worker) bool {
		return len(workers) == n && !slices.ContainsFunc(workers, func(w fleet.Worker) bool { return w.State != state || w.Report == nil })
	}
}

// drain waits for an answer that is right.
func (s *suite) drain(w fleet.Worker, on bool, right func(*fleet.Report) bool) {
	s.Helper()
	var report *fleet.Report
	s.await(s.Fleet, fmt.Sprintf("the answer to drain %v", on), func([]fleet.Worker) bool {
		var err error
		if report, err = s.Fleet.Drain(s.Context(), w, on); err != nil {
			s.Fatalf("drain %v: %v", on, err)
		}
		return right(report)
	})
}

func started(s *suite) {
	s.start(0)
	if workers := s.list(s.Fleet); len(workers) != 0 {
		s.Errorf("none were started: %+v", workers)
	}
	s.start(2)
	if workers := s.list(s.Fleet); len(workers) != 2 {
		s.Errorf("right after the start of two: %+v", workers)
	}
	s.start(1)
	names, uids := map[string]bool{}, map[string]bool{}
	for _, w := range s.ready(s.Fleet, 3) {
		names[w.Name], uids[w.UID] = true, true
		if w.Template != v1alpha1.WorkerTemplateHash(&s.Pool.Spec) || w.StartedAt.IsZero() || w.Busy() || w.Report.Draining || w.Trouble != "" {
			s.Errorf("%+v", w)
		}
	}
	if len(names) != 3 || len(uids) != 3 || names[""] || uids[""] {
		s.Errorf("names %v, UIDs %v", names, uids)
	}
}

func held(s *suite) {
	s.start(2)
	workers := s.await(s.Fleet, "two that wait to be let go", heldAndAsked(2))
	if w := workers[0]; w.Busy() || !w.Report.Agreed() {
		s.Errorf("held back: %+v %+v", w, w.Report)
	}
	again := s.Again(s.T)
	workers = s.await(again, "the same ones after a restart", heldAndAsked(2))
	if err := again.Remove(s.Context(), workers[0]); err != nil {
		s.Errorf("remove one that is held: %v", err)
	}
	s.letGo(again, workers[1:])
	s.await(again, "one that was let go", func(now []fleet.Worker) bool {
		return len(now) == 1 && now[0].UID == workers[1].UID && now[0].State == fleet.Ready && !now[0].Held && !now[0].Report.Draining
	})
}

func heldNoMore(s *suite) {
	s.start(1)
	w := s.await(s.Fleet, "one that waits to be let go", heldAndAsked(1))[0]
	s.Silence(s.T, w, true)
	ctx, cancel := context.WithTimeout(s.Context(), 200*time.Millisecond)
	defer cancel()
	if r, err := s.Fleet.Drain(ctx, w, false); err == nil {
		s.Errorf("let go without an answer: %+v", r)
	}
	now := s.list(s.Fleet)[0]
	s.Silence(s.T, w, false)
	if now.Held || !now.Busy() {
		s.Errorf("one that may have been let go: %+v", now)
	}
}

func overtaken(s *suite) {
	if s.OneController {
		return
	}
	s.start(1)
	w := s.await(s.Fleet, "one that waits to be let go", heldAndAsked(1))[0]
	another := s.Again(s.T)
	s.letGo(another, []fleet.Worker{w})
	if err := s.Fleet.Remove(s.Context(), w); !errors.Is(err, fleet.ErrChanged) {
		s.Errorf("remove one that was held, and that another has let go: %v", err)
	}
	w = s.ready(s.Fleet, 1)[0]
	s.drain(w, true, (*fleet.Report).Agreed)
	if r, err := another.Drain(s.Context(), w, false); err != nil || r.Draining {
		s.Fatalf("%+v, %v", r, err)
	}
	if err := s.Fleet.Remove(s.Context(), w); !errors.Is(err, fleet.ErrChanged) {
		s.Errorf("remove one that agreed, and that another has let go on: %v", err)
	}
	w = s.ready(s.Fleet, 1)[0]
	s.drain(w, true, (*fleet.Report).Agreed)
	if err := s.Fleet.Remove(s.Context(), w); err != nil {
		s.Errorf("remove one that agreed: %v", err)
	}
}

func busy(s *suite) {
	s.start(1)
	w := s.ready(s.Fleet, 1)[0]
	s.Hold(s.T, w, 2)
	s.await(s.Fleet, "two in hand", func(workers []fleet.Worker) bool { return workers[0].Busy() && workers[0].Report.InHand == 2 })
	s.drain(w, true, func(r *fleet.Report) bool { return r.Draining && r.InHand == 2 && !r.Agreed() })
	if w := s.list(s.Fleet)[0]; w.State != fleet.Retiring || !w.Busy() {
		s.Errorf("drained with two in hand: %+v", w)
	}
	s.Hold(s.T, w, 0)
	s.drain(w, true, (*fleet.Report).Agreed)
}

func wantedAgain(s *suite) {
	s.start(1)
	w := s.ready(s.Fleet, 1)[0]
	s.drain(w, true, (*fleet.Report).Agreed)
	s.await(s.Fleet, "a retiring worker", all(1, fleet.Retiring))
	s.drain(w, false, func(r *fleet.Report) bool { return !r.Draining })
	s.ready(s.Fleet, 1)
}

func removed(s *suite) {
	s.start(2)
	workers := s.ready(s.Fleet, 2)
	w, other := workers[0], workers[1]
	s.drain(w, true, (*fleet.Report).Agreed)
	for what, wrong := range map[string]fleet.Worker{"another UID": {Name: w.Name, UID: other.UID}, "another name": {Name: "nobody", UID: w.UID}} {
		if err := s.Fleet.Remove(s.Context(), wrong); !errors.Is(err, fleet.ErrNotFound) {
			s.Errorf("remove %s: %v", what, err)
		}
		if _, err := s.Fleet.Drain(s.Context(), wrong, true); !errors.Is(err, fleet.ErrNotFound) {
			s.Errorf("drain %s: %v", what, err)
		}
	}
	if now := s.list(s.Fleet); len(now) != 2 || now[1].State != fleet.Ready {
		s.Fatalf("after removes of others: %+v", now)
	}
	if err := s.Fleet.Remove(s.Context(), w); err != nil {
		s.Fatal(err)
	}
	s.await(s.Fleet, "its end", func(workers []fleet.Worker) bool {
		for _, now := range workers {
			if now.UID == w.UID && now.State != fleet.Ending {
				s.Fatalf("a removed worker is %+v", now)
			}
		}
		return len(workers) == 1 && workers[0].UID == other.UID && workers[0].State == fleet.Ready
	})
	if err := s.Fleet.Remove(s.Context(), w); !errors.Is(err, fleet.ErrNotFound) {
		s.Errorf("removed twice: %v", err)
	}
	if _, err := s.Fleet.Drain(s.Context(), w, true); !errors.Is(err, fleet.ErrNotFound) {
		s.Errorf("drained after its end: %v", err)
	}
}

func silent(s *suite) {
	s.start(1)
	w := s.ready(s.Fleet, 1)[0]
	s.Silence(s.T, w, true)
	s.await(s.Fleet, "no answer", func(workers []fleet.Worker) bool {
		return len(workers) == 1 && workers[0].Report == nil && workers[0].Busy()
	})
	ctx, cancel := context.WithTimeout(s.Context(), 200*time.Millisecond)
	defer cancel()
	if r, err := s.Fleet.Drain(ctx, w, true); err == nil || errors.Is(err, fleet.ErrNotFound) {
		s.Errorf("drain without an answer: %+v, %v", r, err)
	}
	s.Silence(s.T, w, false)
	s.await(s.Fleet, "an answer", func(workers []fleet.Worker) bool { return len(workers) == 1 && workers[0].Report != nil })
}

func ended(s *suite) {
	s.start(2)
	workers := s.ready(s.Fleet, 2)
	s.End(s.T, workers[0])
	s.await(s.Fleet, "one of two", func(now []fleet.Worker) bool {
		return !slices.ContainsFunc(now, func(w fleet.Worker) bool { return w.UID == workers[0].UID && w.State != fleet.Ending }) &&
			slices.ContainsFunc(now, func(w fleet.Worker) bool { return w.UID == workers[1].UID && w.State == fleet.Ready })
	})
}

func restarted(s *suite) {
	s.start(2)
	before := s.ready(s.Fleet, 2)
	s.Hold(s.T, before[0], 1)
	again := s.Again(s.T)
	for i, w := range s.ready(again, 2) {
		if w.Name != before[i].Name || w.UID != before[i].UID || w.Template != before[i].Template {
			s.Errorf("%+v, was %+v", w, before[i])
		}
	}
	if now := s.list(again); now[0].Report.InHand != 1 || now[1].Report.InHand != 0 {
		s.Errorf("in hand: %+v, %+v", now[0].Report, now[1].Report)
	}
	if err := again.Remove(s.Context(), before[1]); err != nil {
		s.Errorf("remove one that was found: %v", err)
	}
	s.await(again, "its end", func(now []fleet.Worker) bool { return len(now) == 1 && now[0].UID == before[0].UID })
}

func restartedRetiring(s *suite) {
	s.start(1)
	s.drain(s.ready(s.Fleet, 1)[0], true, (*fleet.Report).Agreed)
	s.await(s.Again(s.T), "a retiring worker", all(1, fleet.Retiring))
}

func edited(s *suite) {
	s.start(1)
	before := s.ready(s.Fleet, 1)[0]
	s.Pool = s.Pool.DeepCopy()
	s.Pool.Spec.Worker.Concurrency++
	s.start(1)
	want := v1alpha1.WorkerTemplateHash(&s.Pool.Spec)
	for _, w := range s.ready(s.Fleet, 2) {
		if (w.UID == before.UID) != (w.Template == before.Template) || w.UID != before.UID && w.Template != want {
			s.Errorf("%+v, want template %s of what is new", w, want)
		}
	}
}

func watched(s *suite) {
	ctx, cancel := context.WithCancel(s.Context())
	var wg sync.WaitGroup
	news := make(chan struct{}, 1)
	wg.Go(func() {
		err := s.Fleet.Watch(ctx, func() {
			select {
			case news <- struct{}{}:
			default: // there is one to read
			}
		})
		if err != nil && !errors.Is(err, context.Canceled) {
			s.Errorf("watch: %v", err)
		}
	})
	defer wg.Wait()
	defer cancel()
	told := func(what string, right func([]fleet.Worker) bool) {
		s.Helper()
		for deadline := time.After(s.Limit); ; {
			workers := s.list(s.Fleet)
			if right(workers) {
				return
			}
			if s.letGo(s.Fleet, workers) > 0 {
				continue
			}
			select {
			case <-news:
			case <-deadline:
				s.Fatalf("waited %v to be told of %s", s.Limit, what)
			}
		}
	}
	s.start(1)
	told("readiness", all(1, fleet.Ready))
	s.End(s.T, s.list(s.Fleet)[0])
	told("an end", func(workers []fleet.Worker) bool {
		return !slices.ContainsFunc(workers, func(w fleet.Worker) bool { return w.State != fleet.Ending })
	})
}

func cancelled(s *suite) {
	s.start(1)
	s.ready(s.Fleet, 1)
	ctx, cancel := context.WithCancel(s.Context())
	cancel()
	if workers, err := s.Fleet.List(ctx); err == nil {
		s.Errorf("%+v: it could not look", workers)
	}
}
