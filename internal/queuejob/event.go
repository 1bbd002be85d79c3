package queuejob

import (
	"context"
	"log/slog"
	"time"
)

// EventReason says what an Event is about; a closed set.
type EventReason string

const (
	EventStarted         EventReason = "Started"         // the runner has caught up with its records and receives
	EventInvalid         EventReason = "Invalid"         // a message can't be a job
	EventFailed          EventReason = "Failed"          // a job failed for good
	EventDuplicate       EventReason = "Duplicate"       // a message with the key and body of another one was acknowledged
	EventDeleted         EventReason = "Deleted"         // an unfinished job was deleted
	EventLeaseLost       EventReason = "LeaseLost"       // the message of an unfinished job is no longer held
	EventRetryRefused    EventReason = "RetryRefused"    // a requested retry can't be
	EventUnhealthy       EventReason = "Unhealthy"       // the queue or the executor does not answer as it should
	EventHealthy         EventReason = "Healthy"         // … and does again
	EventBreakerOpen     EventReason = "BreakerOpen"     // too many failures: receiving pauses
	EventBreakerClosed   EventReason = "BreakerClosed"   // … and goes on
	EventRecordsFull     EventReason = "RecordsFull"     // failedJobsHistoryLimit is reached: receiving stops
	EventSuspended       EventReason = "Suspended"       // a person stopped receiving
	EventResumed         EventReason = "Resumed"         // … and let it go on
	EventBlocked         EventReason = "Blocked"         // whoever runs the Runner holds it back: the template is invalid, say
	EventUnblocked       EventReason = "Unblocked"       // … and lets it go on
	EventStuck           EventReason = "Stuck"           // a created job can't start; once per reason, not per job
	EventPruneRefused    EventReason = "PruneRefused"    // a record stays though a person wants it gone: its message may be in the queue
	EventManifestUpdated EventReason = "ManifestUpdated" // new messages follow an edited manifest
)

// Event is one line of what a person should know: changes of state, and what
// became of a message other than a job that succeeded.
type Event struct {
	Time     time.Time   `json:"time"`
	QueueJob string      `json:"queueJob"`
	Reason   EventReason `json:"reason"`
	Warning  bool        `json:"warning,omitempty"` // something may need a person
	Job      string      `json:"job,omitempty"`     // record's name
	Message  string      `json:"message"`
}

// stateChanges are the events after which a condition may be another.
var stateChanges = map[EventReason]bool{
	EventStarted: true, EventUnhealthy: true, EventHealthy: true, EventBreakerOpen: true, EventBreakerClosed: true,
	EventRecordsFull: true, EventSuspended: true, EventResumed: true, EventManifestUpdated: true,
	EventBlocked: true, EventUnblocked: true,
}

// event notes an Event for the OnEvent of the next unlock, or logs it where
// there is none; r.mu is held.
func (r *Runner) event(warning bool, reason EventReason, job, message string) {
	if stateChanges[reason] {
		r.conditions() // they note when they changed
	}
	if r.onEvent == nil {
		level := slog.LevelInfo
		if warning {
			level = slog.LevelWarn
		}
		r.log.Log(context.Background(), level, message, keyReason, reason, keyJob, job)
		return
	}
	r.events = append(r.events, Event{
		Time: time.Now(), QueueJob: r.name, Reason: reason, Warning: warning, Job: job, Message: message,
	})
}

// unlock releases r.mu and then tells what was noted under it, so that OnEvent
// may ask the Runner.
func (r *Runner) unlock() {
	events := r.events
	r.events = nil
	r.mu.Unlock()
	for _, e := range events {
		r.onEvent(e)
	}
}
