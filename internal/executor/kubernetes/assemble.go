package kubernetes

import (
	"slices"
	"time"

	"github.com/queuemill/queuemill/internal/reason"
	"github.com/queuemill/queuemill/internal/record"
)

// podsOf are the pods of a Job that are known, in the order of their creation.
type podsOf func(o *object) []*pod

func noPods(*object) []*pod { return nil }

// assemble makes the record of its Jobs, of which there is at least one.
func assemble(objects []*object, pods podsOf) record.Record {
	bySlot(objects)
	first, last := objects[0], objects[len(objects)-1]
	rec := record.Record{
		Name: last.record, UID: recordUID(first), Namespace: last.namespace, QueueJob: last.queueJob,
		Identity: last.identity, IdempotencyKey: last.key,
		Message: record.Message{
			ID: last.messageID, Size: last.size, Receipt: last.receipt, SentAt: last.sentAt,
			GroupID: last.groupID, Items: last.items,
		},
		Confidential: last.confidential, TemplateHash: last.templateHash, CreatedAt: first.created,
		RetryRequested: last.retry, PruneRequested: last.prune,
	}
	if last.content != nil {
		rec.Message.Body, rec.Message.Attributes = last.content.body, last.content.attributes
	}
	for _, o := range objects {
		rec.Acked = rec.Acked || o.acked
		if !o.invalid() {
			rec.Attempts = append(rec.Attempts, o.attempt(pods(o)))
		}
	}
	if last.invalid() {
		rec.State, rec.FinishedAt = record.Invalid, last.created
		rec.Cause = &reason.Cause{Reason: reason.Rejected}
		if last.why != nil {
			cause := last.why.Cause
			rec.Cause = &cause
		}
		return rec
	}
	a := &rec.Attempts[len(rec.Attempts)-1]
	rec.State = last.state(pods(last))
	rec.StartedAt = a.StartedAt
	if rec.State.Finished() {
		rec.FinishedAt = a.FinishedAt
	}
	rec.Cause = a.Cause
	return rec
}

func bySlot(objects []*object) {
	slices.SortFunc(objects, func(a, b *object) int { return a.slot - b.slot })
}

// recordUID is the UID of the record whose earliest Job is first.
func recordUID(first *object) string {
	if first.recordUID != "" {
		return first.recordUID
	}
	return string(first.uid)
}

// state is the state of the attempt that o is.
func (o *object) state(pods []*pod) record.State {
	switch {
	case o.phase == complete:
		return record.Succeeded
	case o.phase == failed:
		return record.Failed
	case o.phase == ending, o.runs(pods):
		return record.Running
	}
	return record.Queued
}

// runs tells whether a pod runs, or has just ended while none waits to start.
func (o *object) runs(pods []*pod) bool {
	if len(pods) == 0 {
		return o.ready > 0 || !o.suspended && o.active == 0 && o.ended > 0
	}
	waits, ended := false, false
	for _, p := range pods {
		switch {
		case p.running():
			return true
		case p.terminal():
			ended = true
		default:
			waits = true
		}
	}
	return ended && !waits && !o.suspended
}

// attempt is o as the record shows it.
func (o *object) attempt(pods []*pod) record.Attempt {
	a := record.Attempt{Number: o.number, Job: o.name}
	if n := len(pods); n > 0 {
		a.Pod = pods[n-1].name
	}
	state := o.state(pods)
	if state != record.Queued {
		a.StartedAt = o.startOf(pods)
	}
	why := o.why
	if why != nil && why.Stuck && state != record.Queued {
		why = nil
	}
	if state == record.Failed && why == nil {
		why = explain(o, pods)
	}
	if state == record.Queued && (why == nil || why.Stuck) {
		if now := stuckNow(pods); now != nil {
			why = now
		}
	}
	switch state {
	case record.Succeeded:
		zero := 0
		a.ExitCode, a.FinishedAt = &zero, o.finished
		why = nil
	case record.Failed:
		a.FinishedAt = o.finished
	case record.Running:
		why = nil
	}
	if why != nil {
		cause := why.Cause
		a.Cause, a.ExitCode, a.Signal = &cause, why.ExitCode, why.Signal
		a.LogTail, a.Events = why.LogTail, why.Events
		if why.Pod != "" {
			a.Pod = why.Pod
		}
	}
	if !a.FinishedAt.IsZero() && a.FinishedAt.Before(a.StartedAt) {
		a.FinishedAt = a.StartedAt // the clocks of two machines
	}
	return a
}

// startOf is when the first container began, as far as that is known, else when
// the Job was taken up.
func (o *object) startOf(pods []*pod) time.Time {
	var start time.Time
	for _, p := range pods {
		if s := p.started; !s.IsZero() && (start.IsZero() || s.Before(start)) {
			start = s
		}
	}
	switch {
	case !start.IsZero():
		return start
	case o.why != nil && !o.why.StartedAt.IsZero():
		return o.why.StartedAt
	case !o.started.IsZero():
		return o.started
	}
	return o.created
}
