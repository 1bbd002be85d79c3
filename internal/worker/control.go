package worker

import (
	"fmt"
	"time"

	"github.com/queuemill/queuemill/internal/fleet"
	"github.com/queuemill/queuemill/internal/fleet/control"
)

const (
	// drainWait is how long Drain waits for the receives that it called off; one
	// that has not come back by then counts as in hand.
	drainWait = 800 * time.Millisecond

	// stuckAfter is how long a step may take that takes no time.
	stuckAfter = 2 * time.Minute
)

var _ control.Worker = (*Worker)(nil)

// Report is control.Worker's.
func (w *Worker) Report() fleet.Report {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lastAsked = time.Now()
	return w.report()
}

// report is Report; w.mu is held.
func (w *Worker) report() fleet.Report {
	draining, inHand := w.draining || w.stopping, len(w.hands)
	if draining { // a receive under way may bring something yet; otherwise it is how an idle worker waits
		inHand += len(w.polls.open)
	}
	return fleet.Report{
		ID:       w.o.ID,
		Draining: draining,
		InHand:   inHand,
		Done:     w.counts.done, Failed: w.counts.failed, Rejected: w.counts.rejected, NotNow: w.counts.notNow,
		ServiceSeconds: w.counts.service.Seconds(),
		Trouble:        w.trouble(time.Now()),
	}
}

// Drain is control.Worker's.
func (w *Worker) Drain(on bool, term int64) fleet.Report {
	late := time.NewTimer(drainWait)
	defer late.Stop()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lastAsked = time.Now()
	if !on && term != 0 && term <= w.drainedIn { // said before the drain, however late it comes
		return w.report()
	}
	if w.draining != on {
		w.log.Info("told by the controller", "drain", on)
	}
	w.draining = on
	if !on {
		w.wakeReceive.poke()
		return w.report()
	}
	w.drainedIn = max(w.drainedIn, term)
	w.polls.interrupt()
	for len(w.polls.open) > 0 {
		quiet := w.quiet
		w.mu.Unlock()
		select {
		case <-quiet:
			w.mu.Lock()
		case <-late.C:
			w.mu.Lock()
			return w.report()
		}
	}
	return w.report()
}

// trouble says in words what keeps it from working; w.mu is held.
func (w *Worker) trouble(now time.Time) string {
	if err := w.handler.Ready(); err != nil {
		return err.Error()
	}
	for _, t := range w.settles {
		return t.err.Error()
	}
	switch {
	case w.receives.err != nil:
		return w.receives.err.Error()
	case w.extends.err != nil:
		return w.extends.err.Error()
	case w.breaker.Open && now.Before(w.breaker.Until):
		return fmt.Sprintf("%d messages failed within %v: nothing is received until %s",
			w.breaker.Spec.Failures, w.breaker.Spec.Within.Duration, w.breaker.Until.Format(time.TimeOnly))
	case w.unrejected != nil:
		return "rejected messages come back again and again: " + w.unrejected.Error()
	}
	return w.failing.String()
}

// Healthy is control.Worker's: what is stuck, or not there yet. A queue that
// can't be reached is not: a worker that is restarted for it would reach it no
// sooner, and drop what it works on. Report says it.
func (w *Worker) Healthy() error {
	if err := w.handler.Ready(); err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	if d := now.Sub(w.looped); d > stuckAfter {
		return fmt.Errorf("the receive loop has made no step for %v", d.Round(time.Second))
	}
	if began := w.polls.oldest(); !began.IsZero() && now.Sub(began) > stuckAfter {
		return fmt.Errorf("a receive has not come back for %v", now.Sub(began).Round(time.Second))
	}
	return nil
}
