package queuejob

import (
	"fmt"
	"time"

	"github.com/queuemill/queuemill/internal/reason"
	"github.com/queuemill/queuemill/internal/record"
)

// stuckAgain is how long a reason is not told again that came and went.
const stuckAgain = 10 * time.Minute

// Stuck is one reason why jobs that exist can't start.
type Stuck struct {
	Reason reason.Reason `json:"reason"`
	Jobs   int           `json:"jobs"`             // how many, 1 at least
	Job    string        `json:"job"`              // one of them
	Detail string        `json:"detail,omitempty"` // what was last said about one of them
}

// stuck is what was last seen of one reason.
type stuck struct {
	job    string
	detail string
	told   time.Time // of the event
}

// isStuck tells whether the job exists and can't start.
func (e *entry) isStuck() bool { return e.state == record.Queued && e.reason != "" }

// noteStuck tells once per reason that jobs can't start, however many there
// are. was is why the job was stuck before, if it was; r.mu is held.
func (r *Runner) noteStuck(c *change, was reason.Reason) {
	if c.deleted || !c.entry.isStuck() {
		return
	}
	why := c.entry.reason
	s := r.stuck[why]
	if s == nil {
		s = &stuck{}
		r.stuck[why] = s
	}
	s.job, s.detail = c.name, c.record.Cause.Detail
	if now := time.Now(); was != why && r.view.stuck[why] == 1 && (s.told.IsZero() || now.Sub(s.told) >= stuckAgain) {
		s.told = now
		r.event(true, EventStuck, c.name, fmt.Sprintf("%s: %s", why, s.detail))
	}
}

// stuckJobs are the reasons why queued jobs can't start; r.mu is held.
func (r *Runner) stuckJobs() []Stuck {
	var all []Stuck
	for _, why := range reason.All {
		n := r.view.stuck[why]
		if n == 0 {
			continue
		}
		s := r.stuck[why]
		if e := r.view.entries[s.job]; e == nil || !e.isStuck() || e.reason != why {
			s.job = r.stuckFor(why)
		}
		all = append(all, Stuck{Reason: why, Jobs: n, Job: s.job, Detail: s.detail})
	}
	return all
}

// stuckFor is a job that is stuck for the reason; r.mu is held.
func (r *Runner) stuckFor(why reason.Reason) string {
	for name := range r.view.active {
		if e := r.view.entries[name]; e.isStuck() && e.reason == why {
			return name
		}
	}
	return ""
}
