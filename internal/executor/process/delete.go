package process

import (
	"context"
	"fmt"

	"github.com/queuemill/queuemill/internal/executor"
	"github.com/queuemill/queuemill/internal/executor/process/supervisor"
	"github.com/queuemill/queuemill/internal/record"
)

// Delete implements executor.Executor. It returns when the job's processes are
// gone, or with ctx's error: the record goes then all the same, also after a
// restart.
func (e *Executor) Delete(ctx context.Context, name, uid string) error {
	j, err := e.lock(ctx, name, uid)
	if err != nil {
		return err
	}
	id := j.runID()
	_, runs := e.running[id]
	b := e.store.NewBatch()
	switch {
	case j.saved.Deleting:
	case runs:
		j.saved.Deleting = true
		j.gone = make(chan struct{})
		b.Put(&j.saved)
		if e.link != nil {
			_ = e.link.Stop(id, e.grace(j)) // an error is the supervisor's end, and so the job's
		}
	default:
		e.removed(j, b)
	}
	gone := j.gone
	saved := e.save(b)
	e.mu.Unlock()
	e.flush(b, saved)
	e.writing.Unlock()

	if gone == nil {
		return nil
	}
	select {
	case <-gone:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("delete job %s: %w", name, ctx.Err())
	}
}

// removed takes a job out of memory, and by b out of the store. mu is held.
func (e *Executor) removed(j *job, b *record.Batch) {
	j.stopTimer()
	delete(e.jobs, j.saved.Name)
	b.Delete(j.saved.Name)
	b.DeleteContent(j.saved.UID)
	for i := range j.saved.Attempts {
		a := &j.saved.Attempts[i]
		id := runID(j.saved.UID, a.Number)
		if a.LogSize > 0 || a.FinishedAt.IsZero() {
			e.janitor.remove(supervisor.LogPath(e.dir, id))
		}
		if a.FinishedAt.IsZero() {
			e.tailEnded(id)
		}
	}
	e.feed.Publish(executor.Event{Record: j.saved.Record, Deleted: true})
	if j.gone != nil {
		close(j.gone)
	}
}
