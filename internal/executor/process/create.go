package process

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/queuemill/queuemill/internal/executor"
	"github.com/queuemill/queuemill/internal/executor/process/supervisor"
	"github.com/queuemill/queuemill/internal/message"
	"github.com/queuemill/queuemill/internal/record"
)

// Create implements executor.Executor. Calls side by side share a sync of the
// disk, so the more of them the better.
func (e *Executor) Create(ctx context.Context, ej executor.Job) (record.Record, error) {
	var t *template
	if ej.Invalid == nil {
		var err error
		if t, err = e.template(ej.Spec); err != nil {
			return record.Record{}, fmt.Errorf("create job %s: %w", ej.Name, err)
		}
	}
	e.mu.Lock()
	if err := e.available(); err != nil {
		e.mu.Unlock()
		return record.Record{}, fmt.Errorf("create job %s: %w", ej.Name, err)
	}
	e.wg.Add(1)
	e.mu.Unlock()
	defer e.wg.Done()
	j, saved, old, err := e.reserve(ctx, &ej)
	if err != nil {
		return record.Record{}, err
	}
	content, err := e.contentFor(&ej, &saved, old)
	if err != nil {
		e.settle(j, saved, nil, nil, nil, err)
		return record.Record{}, fmt.Errorf("create job %s: %w: %w", ej.Name, executor.ErrUnavailable, err)
	}
	if t != nil {
		saved.Template, saved.TemplateHash, saved.Asked = t.key, t.key, saved.LastAttempt()
	}
	write := func() error { return e.write(&saved, old, t, content) }
	if err := e.begin(j, saved, t, content, write); err != nil {
		return record.Record{}, fmt.Errorf("create job %s: %w", ej.Name, err)
	}
	return saved.Record, nil
}

// reserve takes the job's name for an attempt to be created: j is busy until
// begin, and saved is what its record is to become. old is what it was, nil for
// a new one.
func (e *Executor) reserve(ctx context.Context, ej *executor.Job) (j *job, saved record.Saved, old *record.Saved, err error) {
	for {
		e.mu.Lock()
		if e.jobs[ej.Name] == nil {
			rec, err := executor.NextRecord(nil, *ej, newUID(), time.Now())
			if err == nil {
				j = &job{fresh: true, busy: make(chan struct{})}
				e.jobs[ej.Name] = j
			}
			e.mu.Unlock()
			return j, record.Saved{Record: rec.Summary()}, nil, err
		}
		e.mu.Unlock()
		j, err := e.lock(ctx, ej.Name, "")
		if errors.Is(err, executor.ErrNotFound) {
			continue // gone meanwhile
		}
		if err != nil {
			return nil, saved, nil, err
		}
		saved, err = e.reserveNext(j, ej)
		before := j.saved
		e.mu.Unlock()
		e.writing.Unlock()
		var exists *executor.ExistsError
		if errors.As(err, &exists) {
			found, contentErr := e.withContent(exists.Found)
			if errors.Is(contentErr, executor.ErrNotFound) {
				continue
			}
			if contentErr != nil {
				return nil, saved, nil, fmt.Errorf("create job %s: %w", ej.Name, contentErr)
			}
			exists.Found = found
		}
		return j, saved, &before, err
	}
}

// reserveNext is reserve where there is a record. writing and mu are held.
func (e *Executor) reserveNext(j *job, ej *executor.Job) (record.Saved, error) {
	if j.saved.Deleting {
		return record.Saved{}, fmt.Errorf("create job %s: %w", ej.Name, executor.ErrTerminating)
	}
	rec, err := executor.NextRecord(&j.saved.Record, *ej, newUID(), time.Now())
	if err != nil {
		return record.Saved{}, err
	}
	j.busy = make(chan struct{})
	return record.Saved{Record: rec.Summary()}, nil
}

// available tells why nothing can be started now. mu is held.
func (e *Executor) available() error {
	switch {
	case e.stopping:
		return fmt.Errorf("%w: it is being stopped", executor.ErrUnavailable)
	case e.link == nil:
		return fmt.Errorf("%w: its supervisor is being started again", executor.ErrUnavailable)
	}
	return nil
}

// contentFor is what the new attempt works on. A further attempt that comes
// without the message keeps the record's.
func (e *Executor) contentFor(ej *executor.Job, saved, old *record.Saved) (*record.Content, error) {
	c := &record.Content{
		Body: ej.Message.Body, Attributes: ej.Message.Attributes, Payload: ej.Payload, Env: ej.Env,
	}
	if !maps.EqualFunc(ej.Attributes, c.Attributes, message.Attribute.Equal) {
		c.FileAttributes = ej.Attributes
	}
	if old == nil || old.UID != saved.UID || c.Body != "" || saved.Message.Size == 0 {
		return c, nil
	}
	kept, err := e.store.Content(old.UID)
	c.Body, c.Attributes = kept.Body, kept.Attributes
	if c.FileAttributes == nil {
		c.FileAttributes = kept.FileAttributes
	}
	return c, err
}

// begin makes the record durable by write, then starts its attempt, and j is
// busy no more. On an error j is as it was.
func (e *Executor) begin(j *job, saved record.Saved, t *template, content *record.Content, write func() error) error {
	id := runID(saved.UID, saved.LastAttempt())
	var start *supervisor.Start
	var problem string
	var s *scratch
	var err error
	if saved.State == record.Queued {
		if s, err = e.scratches.get(content); err == nil {
			start, problem = e.startOf(t, &saved.Record, content, id, s)
		}
	}
	if err == nil {
		err = write()
	}
	e.settle(j, saved, t, s, start, err)
	if err != nil {
		return fmt.Errorf("%w: %w", executor.ErrUnavailable, err)
	}
	if problem != "" {
		now := time.Now()
		e.handle([]supervisor.Event{{ID: id, Exit: &supervisor.Exit{
			ID: id, StartedAt: now, FinishedAt: now, Code: -1, StartError: problem,
		}}})
	}
	return nil
}

// settle is the part of begin after the write. s and start are nil where
// nothing is to be started.
func (e *Executor) settle(j *job, saved record.Saved, t *template, s *scratch, start *supervisor.Start, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	close(j.busy)
	j.busy = nil
	if err != nil {
		if j.fresh {
			delete(e.jobs, saved.Name)
		}
		e.janitor.put(s)
		return
	}
	if t != nil {
		t.saved = true
	}
	j.saved, j.fresh = saved, false
	e.publish(j)
	if saved.State != record.Queued {
		return
	}
	id := j.runID()
	switch {
	case start == nil: // could not be started; begin ends it
		j.scratch = s
		e.running[id] = j
	case e.link == nil || e.stopping: // stays Queued; resume finds it
		e.janitor.put(s)
	default:
		j.scratch = s
		e.running[id] = j
		_ = e.link.Start(start) // an error is the supervisor's end, which Receive tells
		if e.tails[id] != nil {
			_ = e.link.Follow(id, true)
		}
	}
}

// write makes a record durable with all that belongs to it.
func (e *Executor) write(saved, old *record.Saved, t *template, content *record.Content) error {
	e.mu.Lock()
	withTemplate := t != nil && !t.saved
	e.mu.Unlock()
	b := e.store.NewBatch()
	if old != nil && old.UID != saved.UID {
		b.DeleteContent(old.UID)
	}
	if withTemplate {
		b.PutTemplate(t.key, t.encoded)
	}
	b.PutContent(saved.UID, content)
	b.Put(saved)
	return b.Commit()
}
