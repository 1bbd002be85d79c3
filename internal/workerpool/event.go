package workerpool

import "time"

// EventReason says what an Event is about; a closed set.
type EventReason string

const (
	EventScaled     EventReason = "Scaled"     // another number of workers is wanted
	EventSuspended  EventReason = "Suspended"  // a person retires all workers
	EventResumed    EventReason = "Resumed"    // … and lets the backlog decide again
	EventUnhealthy  EventReason = "Unhealthy"  // the queue does not tell its numbers
	EventHealthy    EventReason = "Healthy"    // … and does again
	EventTrouble    EventReason = "Trouble"    // workers can't be looked at, started or removed
	EventShortLived EventReason = "ShortLived" // a worker ended right after its start
	EventSilent     EventReason = "Silent"     // a worker has not answered for long

	EventTargetMissing  EventReason = "TargetMissing"  // there is no such target
	EventAlsoScaled     EventReason = "AlsoScaled"     // another autoscaler scales the target
	EventAlsoWritten    EventReason = "AlsoWritten"    // a deploy tool writes the target's number too
	EventTargetFollowed EventReason = "TargetFollowed" // the target is scaled again
)

// eventReasons are all of them.
var eventReasons = []EventReason{
	EventScaled, EventSuspended, EventResumed, EventUnhealthy, EventHealthy, EventTrouble, EventShortLived, EventSilent,
	EventTargetMissing, EventAlsoScaled, EventAlsoWritten, EventTargetFollowed,
}

// Event is one line of what a person should know: changes, not looks.
type Event struct {
	Time    time.Time
	Pool    string
	Reason  EventReason
	Warning bool // something may need a person
	Message string
}

// event notes an Event for the next tell; p.mu is held.
func (p *Pool) event(warning bool, reason EventReason, message string) {
	p.o.Metrics.happened(p.pool, reason)
	p.events = append(p.events, Event{Time: time.Now(), Pool: p.pool.Name, Reason: reason, Warning: warning, Message: message})
}

// note is event without p.mu.
func (p *Pool) note(warning bool, reason EventReason, message string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.event(warning, reason, message)
}
