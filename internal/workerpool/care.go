package workerpool

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/queuemill/queuemill/internal/fleet"
)

// care is what a pool remembers of its workers from one look to the next. None
// of it is needed to go on after a restart.
type care struct {
	service   service
	known     map[string]*acquaintance // by UID
	begun     int                      // workers that were started since the last look
	failures  int                      // starts in a row whose workers ended soon after, or that failed
	failedAt  time.Time                // the last of them
	notBefore time.Time                // of the next start

	mu *sync.Mutex // guards the acquaintances while workers are called
}

// acquaintance is a worker as it was seen last.
type acquaintance struct {
	name     string
	firstAt  time.Time // seen
	ready    bool      // it was, once
	answerAt time.Time // it last answered, or was first seen
	told     bool      // of its silence
	ends     bool      // it was asked to, or said that it would
	refused  bool      // to go on after a drain
}

func newCare() care { return care{known: map[string]*acquaintance{}, mu: new(sync.Mutex)} }

// note takes a look at the workers in.
func (c *care) note(now time.Time, workers []fleet.Worker, p *Pool) {
	c.service.note(workers)
	c.mu.Lock()
	defer c.mu.Unlock()
	there, unseen := make(map[string]bool, len(workers)), c.begun
	c.begun = 0
	for _, w := range workers {
		there[w.UID] = true
		a := c.known[w.UID]
		if a == nil {
			a = &acquaintance{name: w.Name, firstAt: now, answerAt: now}
			c.known[w.UID] = a
			unseen--
		}
		a.ends = a.ends || w.State == fleet.Ending
		if w.State == fleet.Ready && now.Sub(a.firstAt) > shortLife {
			c.failures = 0
		}
		a.ready = a.ready || w.State == fleet.Ready
		switch {
		case w.Report != nil || w.State == fleet.Ending:
			a.answerAt, a.told = now, false
			a.refused = a.refused && w.Report != nil && w.Report.Draining
		case a.ready && !a.told && now.Sub(a.answerAt) > longSilence:
			a.told = true
			p.note(true, EventSilent, fmt.Sprintf("worker %s has not answered for %s; it counts as busy and is left alone", w.Name, longSilence))
		}
	}
	var ended []string
	for uid, a := range c.known {
		if there[uid] {
			continue
		}
		delete(c.known, uid)
		// Those that were seen before the last failure are of the start that failed.
		if !a.ends && now.Sub(a.firstAt) < shortLife && a.firstAt.After(c.failedAt) {
			ended = append(ended, a.name)
		}
	}
	c.shortLived(now, ended, unseen, p)
}

// shortLived takes in that workers ended right after their start: some that were
// seen, and some that had ended before anybody looked.
func (c *care) shortLived(now time.Time, seen []string, unseen int, p *Pool) {
	var what string
	switch {
	case len(seen) > 0:
		what = "worker " + slices.Min(seen)
		if more := len(seen) + max(0, unseen) - 1; more > 0 {
			what += fmt.Sprintf(" and %d more", more)
		}
	case unseen > 0:
		what = fmt.Sprintf("%d of the workers that were started last", unseen)
	default:
		return
	}
	c.failed(now)
	p.note(true, EventShortLived, fmt.Sprintf("%s ended right after the start; the next one waits %s", what, c.notBefore.Sub(now).Round(time.Millisecond)))
}

// failed has the next start wait.
func (c *care) failed(now time.Time) {
	c.failedAt = now
	c.notBefore = now.Add(restart.Half(c.failures))
	c.failures++
}

func (c *care) staysDrained(uid string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	a := c.known[uid]
	return a != nil && (a.refused || a.ends)
}

func (c *care) refuses(uid string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if a := c.known[uid]; a != nil {
		a.refused = true
	}
}

func (c *care) expectEnd(uid string, ends bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if a := c.known[uid]; a != nil {
		a.ends = ends
	}
}

// trouble says why workers do not become ready, or what those that are ready
// complain of; empty: nothing is known.
func (c *care) trouble(workers []fleet.Worker) string {
	for _, w := range workers {
		if w.State == fleet.Starting && w.Trouble != "" {
			return fmt.Sprintf("worker %s is not ready: %s", w.Name, w.Trouble)
		}
	}
	for _, w := range workers {
		if w.Report != nil && w.Report.Trouble != "" {
			return fmt.Sprintf("worker %s: %s", w.Name, w.Report.Trouble)
		}
	}
	if c.failures > 2 {
		return fmt.Sprintf("workers ended right after their start, %d times in a row; their output says why", c.failures)
	}
	return ""
}
