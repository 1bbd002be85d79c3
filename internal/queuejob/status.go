package queuejob

import (
	"errors"
	"fmt"
	"maps"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/queuemill/queuemill/internal/queue"
	"github.com/queuemill/queuemill/internal/record"
)

// Types of conditions.
const (
	ConditionReady         = "Ready"         // messages are received as there is room
	ConditionSourceHealthy = "SourceHealthy" // the queue answers as it should
	ConditionSuspended     = "Suspended"     // a person stopped receiving
	ConditionRecordsFull   = "RecordsFull"   // failedJobsHistoryLimit is reached
	ConditionBreakerOpen   = "BreakerOpen"   // receiving pauses after too many failures
)

// Status is a Runner at one moment.
type Status struct {
	Jobs        map[record.State]int `json:"jobs"`   // records by state, every state present
	InHand      int                  `json:"inHand"` // received or being retried, and not seen as a record yet
	Leased      int                  `json:"leased"` // messages held in flight
	MaxActive   int                  `json:"maxActive"`
	Retries     int                  `json:"retries"` // asked for and not begun
	Duplicates  int64                `json:"duplicates"`
	LastMessage time.Time            `json:"lastMessage,omitzero"` // when the latest was received
	Draining    bool                 `json:"draining,omitempty"`
	Queue       *QueueDepth          `json:"queue,omitempty"` // nil: unknown
	Stuck       []Stuck              `json:"stuck,omitempty"` // why queued jobs can't start, by reason
	Conditions  []metav1.Condition   `json:"conditions"`
}

// since is a condition's latest state and when it became so.
type since struct {
	status metav1.ConditionStatus
	at     metav1.Time
}

// Status tells how the Runner does.
func (r *Runner) Status() Status {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := r.config.Load()
	s := Status{
		Jobs:       make(map[record.State]int, len(record.States)),
		InHand:     len(r.view.active) - r.view.counts[record.Queued] - r.view.counts[record.Running],
		Leased:     len(r.leases),
		MaxActive:  c.maxActive,
		Retries:    len(r.retries),
		Duplicates: r.duplicates, LastMessage: r.lastMessage, Draining: r.draining,
	}
	for _, state := range record.States {
		s.Jobs[state] = 0
	}
	maps.Copy(s.Jobs, r.view.counts)
	s.Stuck = r.stuckJobs()
	s.Queue = r.depth.at(time.Now())
	s.Conditions = r.conditions()
	return s
}

// failures are the records that failedJobsHistoryLimit counts; r.mu is held.
func (r *Runner) failures() int {
	return r.view.counts[record.Failed] + r.view.counts[record.Invalid]
}

// conditions says why nothing is received, or that all is well; r.mu is held.
func (r *Runner) conditions() []metav1.Condition {
	ready := r.readyCondition()
	source := r.condition(ConditionSourceHealthy, true, "Answers", "")
	for _, op := range []operation{opReceive, opDelete, opExtend} {
		if err := r.worst(op); err != nil {
			source = r.condition(ConditionSourceHealthy, false, sourceReason(err), fmt.Sprintf("%s: %v", op, err))
			break
		}
	}
	suspended := r.condition(ConditionSuspended, r.suspended, "Resumed", "")
	if r.suspended {
		suspended.Reason, suspended.Message = "Suspended", "nothing is received; jobs that run go on"
	}
	full := r.condition(ConditionRecordsFull, r.full(), "RoomLeft", "")
	if r.full() {
		full.Reason, full.Message = "LimitReached", r.fullMessage()
	}
	open := r.condition(ConditionBreakerOpen, r.breaker.Open, "Closed", "")
	switch {
	case r.breaker.Open && time.Now().Before(r.breaker.Until):
		open.Reason = "TooManyFailures"
		open.Message = fmt.Sprintf("%d jobs failed within %v: nothing is received until %s",
			r.breaker.Spec.Failures, r.breaker.Spec.Within.Duration, r.breaker.Until.Format(time.TimeOnly))
	case r.breaker.Open:
		open.Reason, open.Message = "Trial", "one message is let through: how its job ends decides"
	}
	return []metav1.Condition{ready, source, suspended, full, open}
}

func (r *Runner) readyCondition() metav1.Condition {
	no := func(reason, message string) metav1.Condition {
		return r.condition(ConditionReady, false, reason, message)
	}
	executorErr := r.worst(opExecutor)
	switch {
	case r.blocked.is():
		return no(r.blocked.reason, r.blocked.message)
	case executorErr != nil:
		return no("ExecutorUnavailable", executorErr.Error())
	case !r.ready:
		return no("Starting", "looking at the records")
	case r.draining:
		return no("Draining", "nothing is received any more; jobs finish")
	case r.suspended:
		return no("Suspended", "nothing is received; jobs that run go on")
	case r.full():
		return no("RecordsFull", r.fullMessage())
	case r.inTrouble(opReceive, opDelete, opExtend):
		return no("SourceUnhealthy", "the queue does not answer as it should")
	case r.breaker.Open:
		return no("BreakerOpen", "too many jobs failed")
	}
	return r.condition(ConditionReady, true, "Receiving", "")
}

// condition fills in when the state began.
func (r *Runner) condition(kind string, is bool, reason, message string) metav1.Condition {
	status := metav1.ConditionFalse
	if is {
		status = metav1.ConditionTrue
	}
	s := r.since[kind]
	if s.status != status {
		s = since{status, metav1.Now()}
		r.since[kind] = s
	}
	return metav1.Condition{Type: kind, Status: status, Reason: reason, Message: message, LastTransitionTime: s.at}
}

// sourceReason is a word for why the queue is unhealthy.
func sourceReason(err error) string {
	switch {
	case errors.Is(err, queue.ErrThrottled):
		return "Throttled"
	case errors.Is(err, queue.ErrNotFound):
		return "QueueNotFound"
	case errors.Is(err, queue.ErrUnreachable):
		return "Unreachable"
	default:
		return "Error"
	}
}
