package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/queuemill/queuemill/internal/executor"
	"github.com/queuemill/queuemill/internal/record"
)

// stream writes an answer that lasts: each write is on its way when it
// returns, and a client that does not read for writeTimeout is left.
type stream struct {
	w  http.ResponseWriter
	rc *http.ResponseController
}

func newStream(w http.ResponseWriter, contentType string) *stream {
	s := &stream{w, http.NewResponseController(w)}
	// A stream may take longer than the reading of its (empty) request.
	_ = s.rc.SetReadDeadline(time.Time{})
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(http.StatusOK)
	_ = s.rc.Flush()
	return s
}

func (s *stream) Write(b []byte) (int, error) {
	_ = s.rc.SetWriteDeadline(time.Now().Add(writeTimeout))
	n, err := s.w.Write(b)
	if err != nil {
		return n, err
	}
	return n, s.rc.Flush()
}

// getLogs is the output of one attempt as it is, byte by byte.
func (s *Server) getLogs(w http.ResponseWriter, r *http.Request) error {
	q := readQuery(r, "attempt", "follow")
	o := executor.LogOptions{Attempt: q.number("attempt", 0, 1<<30), Follow: q.flag("follow")}
	if q.err != nil {
		return q.err
	}
	name := r.PathValue("name")
	logs, err := s.backend.Jobs.Logs(r.Context(), name, o)
	if errors.Is(err, executor.ErrNotFound) {
		if _, getErr := s.backend.Jobs.Get(r.Context(), name); getErr == nil {
			return NewProblem(http.StatusNotFound, "job "+name+" has no output of that attempt", "queuemill describe "+name+" shows its attempts")
		}
		return notFoundAs(err, "job", name, "queuemill jobs lists them")
	}
	if err != nil {
		return err
	}
	defer logs.Close()
	// A reader that follows may wait for output that never comes.
	defer context.AfterFunc(r.Context(), func() { _ = logs.Close() })()
	if _, err := io.Copy(newStream(w, "text/plain; charset=utf-8"), logs); err != nil && r.Context().Err() == nil {
		s.log.Warn("log stream ends early", "job", name, "error", err)
		panic(http.ErrAbortHandler) // tells the client that this is not the end
	}
	return nil
}

// getEvents tells the jobs there are, then each change, one JSON document a
// line. A job that changes faster than the client reads is told once, as it is
// then. With untilIdle=true it ends with an Idle event; an Error event says why
// it can't go on.
func (s *Server) getEvents(w http.ResponseWriter, r *http.Request) error {
	q := readQuery(r, append([]string{"untilIdle"}, filterParams...)...)
	filter, untilIdle := q.filter(), q.flag("untilIdle")
	if q.err != nil {
		return q.err
	}
	ctx, cancel := context.WithCancel(r.Context())
	changes := newChanges()
	ready, watching := make(chan struct{}), make(chan error, 1)
	var once sync.Once
	var helpers sync.WaitGroup
	defer helpers.Wait()
	defer cancel()
	helpers.Go(func() {
		watching <- s.backend.Jobs.Watch(ctx, filter.QueueJob, func() { once.Do(func() { close(ready) }) }, changes.add)
	})
	select {
	case <-ready:
	case err := <-watching:
		return err
	}
	jobs, err := s.find(ctx, filter)
	if err != nil {
		return err
	}
	idle := make(chan error, 1)
	if untilIdle {
		helpers.Go(func() { idle <- s.backend.Controller.WaitIdle(ctx) })
	}

	t := teller{enc: json.NewEncoder(newStream(w, contentNDJSON)), filter: filter, told: map[string]stamp{}}
	if t.list(jobs, EventListed) != nil || t.enc.Encode(Event{Type: EventSynced}) != nil {
		return nil
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-watching: // the executor ends; the client sees no Idle
			s.log.Warn("event stream ends", "error", err)
			t.end(ctx, err)
			return nil
		case <-changes.some:
			if t.changes(changes.take()) != nil {
				return nil
			}
		case err := <-idle:
			if err != nil {
				t.end(ctx, err)
				return nil
			}
			// The last changes may still be on their way through the watch.
			if jobs, err := s.find(ctx, filter); err == nil && t.list(jobs, EventChanged) == nil {
				_ = t.enc.Encode(Event{Type: EventIdle})
			}
			return nil
		}
	}
}

// stamp tells whether a record changed.
type stamp struct {
	uid      string
	state    record.State
	attempts int
	retry    bool
}

func stampOf(j *Job) stamp { return stamp{j.UID, j.State, len(j.Attempts), j.RetryRequested} }

// teller writes events and remembers what it told.
type teller struct {
	enc    *json.Encoder
	filter JobFilter
	told   map[string]stamp
}

// end tells why the stream ends, unless the client or the server is leaving.
func (t *teller) end(ctx context.Context, err error) {
	if err != nil && ctx.Err() == nil && !errors.Is(err, context.Canceled) {
		_ = t.enc.Encode(Event{Type: EventError, Error: problemOf(err)})
	}
}

// list tells those of jobs that are news.
func (t *teller) list(jobs []Job, as EventType) error {
	for i := range jobs {
		j := &jobs[i]
		if old, ok := t.told[j.Name]; ok && old == stampOf(j) {
			continue
		}
		t.told[j.Name] = stampOf(j)
		if err := t.enc.Encode(Event{Type: as, Job: j}); err != nil {
			return err
		}
	}
	return nil
}

func (t *teller) changes(events []executor.Event) error {
	for _, e := range events {
		if !t.filter.match(&e.Record) {
			continue
		}
		j := listed(e.Record)
		told := Event{Type: EventChanged, Job: &j}
		if e.Deleted {
			told.Type = EventDeleted
			delete(t.told, j.Name)
		} else {
			t.told[j.Name] = stampOf(&j)
		}
		if err := t.enc.Encode(told); err != nil {
			return err
		}
	}
	return nil
}

// changes holds what a slow client has not been told yet, the latest of each
// job: never more than there are jobs.
type changes struct {
	some chan struct{} // has one element while there is something to take

	mu     sync.Mutex
	order  []string
	latest map[string]executor.Event
}

func newChanges() *changes {
	return &changes{some: make(chan struct{}, 1), latest: map[string]executor.Event{}}
}

func (c *changes) add(e executor.Event) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.latest[e.Record.Name]; !ok {
		c.order = append(c.order, e.Record.Name)
	}
	c.latest[e.Record.Name] = e
	select {
	case c.some <- struct{}{}:
	default:
	}
}

func (c *changes) take() []executor.Event {
	c.mu.Lock()
	defer c.mu.Unlock()
	events := make([]executor.Event, 0, len(c.order))
	for _, name := range c.order {
		events = append(events, c.latest[name])
	}
	c.order, c.latest = nil, map[string]executor.Event{}
	return events
}
