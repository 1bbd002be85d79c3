package record

import (
	"slices"
	"time"

	"github.com/queuemill/queuemill/internal/reason"
)

// The transitions below return a changed copy: a Record handed to somebody
// else, with its Attempts, never changes under them.

// Outcome is how one attempt ended. Cause is nil when it succeeded.
type Outcome struct {
	FinishedAt time.Time
	ExitCode   *int
	Signal     string
	Cause      *reason.Cause
	PeakMemory int64 // bytes
	LogSize    int64 // bytes
}

// QueueAttempt puts attempt n at the end of r: created, not yet started.
func (r Record) QueueAttempt(n int) Record {
	r.Attempts = append(slices.Clip(r.Attempts), Attempt{Number: n})
	return r.requeued()
}

// requeued is r as unfinished again.
func (r Record) requeued() Record {
	r.State = Queued
	r.Cause = nil
	r.StartedAt = time.Time{}
	r.FinishedAt = time.Time{}
	r.RetryRequested = false
	return r
}

// StartAttempt marks the last attempt as running since at.
func (r Record) StartAttempt(at time.Time) Record {
	r.Attempts = slices.Clone(r.Attempts)
	r.Attempts[len(r.Attempts)-1].StartedAt = at
	r.State, r.Cause = Running, nil
	r.StartedAt = at
	return r
}

// EndAttempt ends the last attempt. With again a further one is to follow by
// itself and r is Queued; else r is Succeeded or Failed, as o says.
func (r Record) EndAttempt(o Outcome, again bool) Record {
	r.Attempts = slices.Clone(r.Attempts)
	a := &r.Attempts[len(r.Attempts)-1]
	a.FinishedAt, a.ExitCode, a.Signal = o.FinishedAt, o.ExitCode, o.Signal
	a.Cause, a.PeakMemory, a.LogSize = o.Cause, o.PeakMemory, o.LogSize
	if again {
		return r.requeued()
	}
	r.State, r.Cause, r.FinishedAt = Succeeded, nil, o.FinishedAt
	if o.Cause != nil {
		r.State, r.Cause = Failed, o.Cause
	}
	return r
}

// Summary is r as lists and events show it: without body and attributes.
func (r Record) Summary() Record {
	r.Message.Body, r.Message.Attributes = "", nil
	return r
}

// AttemptEnded tells whether the last attempt has ended, or there is none.
func (r *Record) AttemptEnded() bool {
	return len(r.Attempts) == 0 || !r.Attempts[len(r.Attempts)-1].FinishedAt.IsZero()
}
