package executor

import (
	"fmt"
	"time"

	"github.com/queuemill/queuemill/internal/record"
)

// NextRecord is the rule of Create: what becomes of the record found under the
// job's name (nil: none) when job is created now. An attempt that is there
// already, or can't be since an earlier one has not finished, is *ExistsError.
// uid is taken for a record that is new. The record is complete, body included.
func NextRecord(found *record.Record, job Job, uid string, now time.Time) (record.Record, error) {
	switch {
	case found == nil && job.Attempt > 1:
		return record.Record{}, fmt.Errorf("create attempt %d of job %s: %w", job.Attempt, job.Name, ErrNotFound)
	case found == nil, found.State == record.Invalid && job.ReplaceInvalid:
		return newRecord(job, uid, now), nil
	case job.Attempt <= found.LastAttempt(), !found.State.Finished(), found.State == record.Invalid, job.Invalid != nil:
		return record.Record{}, &ExistsError{Found: *found}
	case job.Attempt > found.LastAttempt()+1:
		return record.Record{}, fmt.Errorf("create attempt %d of job %s: its last one is %d", job.Attempt, job.Name, found.LastAttempt())
	}
	rec := found.QueueAttempt(job.Attempt)
	if job.Message.Receipt != "" {
		rec.Message.Receipt = job.Message.Receipt
	}
	return rec, nil
}

func newRecord(job Job, uid string, now time.Time) record.Record {
	rec := record.Record{
		Name: job.Name, UID: uid, Namespace: job.Namespace, QueueJob: job.QueueJob,
		Identity: job.Identity, IdempotencyKey: job.IdempotencyKey,
		Message: job.Message, Confidential: job.Confidential, CreatedAt: now,
	}
	rec.Message.Size = len(rec.Message.Body)
	if job.Invalid != nil {
		rec.State, rec.Cause, rec.FinishedAt = record.Invalid, job.Invalid, now
		return rec
	}
	return rec.QueueAttempt(max(job.Attempt, 1))
}

// Apply is rec with p's changes.
func (p Patch) Apply(rec record.Record) record.Record {
	if p.Receipt != nil {
		rec.Message.Receipt = *p.Receipt
	}
	if p.Acked != nil {
		rec.Acked = *p.Acked
	}
	if p.RetryRequested != nil {
		rec.RetryRequested = *p.RetryRequested
	}
	if p.PruneRequested != nil {
		rec.PruneRequested = *p.PruneRequested
	}
	return rec
}
