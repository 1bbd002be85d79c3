package process

import (
	"context"
	"errors"
	"io"
	"slices"

	"github.com/queuemill/queuemill/internal/executor"
	"github.com/queuemill/queuemill/internal/executor/process/supervisor"
	"github.com/queuemill/queuemill/internal/record"
)

// tail is a run whose output somebody follows.
type tail struct {
	followers int
	ended     bool
	changed   chan struct{} // closed and replaced when there is more, or the end
}

func (t *tail) wake() {
	close(t.changed)
	t.changed = make(chan struct{})
}

// tailGrew wakes those who follow a run. mu is held.
func (e *Executor) tailGrew(id supervisor.RunID) {
	if t := e.tails[id]; t != nil {
		t.wake()
	}
}

// tailEnded wakes them for the last time. mu is held.
func (e *Executor) tailEnded(id supervisor.RunID) {
	if t := e.tails[id]; t != nil {
		t.ended = true
		t.wake()
		delete(e.tails, id)
	}
}

// Logs implements executor.Executor: stdout and stderr as they came. Of output
// over the template's limit the head and the tail are there, and a line in
// between that says how much is not.
func (e *Executor) Logs(ctx context.Context, name string, o executor.LogOptions) (io.ReadCloser, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	j := e.jobs[name]
	if j == nil || j.fresh {
		return nil, executor.ErrNotFound
	}
	n := o.Attempt
	if n == 0 {
		n = j.saved.LastAttempt()
	}
	at := slices.IndexFunc(j.saved.Attempts, func(a record.Attempt) bool { return a.Number == n })
	if at < 0 {
		return nil, executor.ErrNotFound
	}
	id := runID(j.saved.UID, n)
	r := &logReader{ctx: ctx, executor: e, id: id, log: supervisor.OpenLog(e.dir, id)}
	if o.Follow && j.saved.Attempts[at].FinishedAt.IsZero() {
		r.tail = e.follow(id)
	}
	return r, nil
}

// follow counts one more follower of a run. mu is held.
func (e *Executor) follow(id supervisor.RunID) *tail {
	t := e.tails[id]
	if t == nil {
		t = &tail{changed: make(chan struct{})}
		e.tails[id] = t
		if _, runs := e.running[id]; runs && e.link != nil {
			_ = e.link.Follow(id, true) // an error is the supervisor's end, which ends the tail too
		}
	}
	t.followers++
	return t
}

// logReader reads one attempt's output, and waits for more where it follows.
// Read and Close are for one goroutine.
type logReader struct {
	ctx      context.Context
	executor *Executor
	id       supervisor.RunID
	log      *supervisor.LogReader
	tail     *tail // nil: read what there is
}

func (r *logReader) Read(p []byte) (int, error) {
	for {
		if err := r.ctx.Err(); err != nil {
			return 0, err
		}
		ended, changed := true, (chan struct{})(nil)
		if r.tail != nil {
			r.executor.mu.Lock()
			ended, changed = r.tail.ended, r.tail.changed
			r.executor.mu.Unlock()
		}
		n, err := r.log.Read(p)
		if n > 0 || !errors.Is(err, io.EOF) || ended {
			return n, err
		}
		select {
		case <-changed:
		case <-r.ctx.Done():
			return 0, r.ctx.Err()
		}
	}
}

func (r *logReader) Close() error {
	if r.tail != nil {
		r.executor.unfollow(r.id, r.tail)
		r.tail = nil
	}
	return r.log.Close()
}

func (e *Executor) unfollow(id supervisor.RunID, t *tail) {
	e.mu.Lock()
	defer e.mu.Unlock()
	t.followers--
	if t.followers > 0 || e.tails[id] != t {
		return
	}
	delete(e.tails, id)
	if _, runs := e.running[id]; runs && e.link != nil {
		_ = e.link.Follow(id, false) // as in follow
	}
}
