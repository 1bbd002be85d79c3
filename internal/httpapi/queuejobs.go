package httpapi

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/queuemill/queuemill/internal/executor"
	"github.com/queuemill/queuemill/internal/nearest"
	"github.com/queuemill/queuemill/internal/queue"
)

// notFoundAs names what was not found; other errors stay as they are.
func notFoundAs(err error, kind, name, hint string) error {
	var p *Problem
	if !errors.As(err, &p) && (errors.Is(err, executor.ErrNotFound) || errors.Is(err, queue.ErrNotFound)) {
		return NewProblem(http.StatusNotFound, fmt.Sprintf("there is no %s %q", kind, name), hint)
	}
	return err
}

// didYouMean is a hint that begins with what was probably meant by name.
func didYouMean(name string, names []string, hint string) string {
	if meant := nearest.To(name, names); meant != "" {
		return fmt.Sprintf("did you mean %s? %s", meant, hint)
	}
	return hint
}

// noQueueJob makes of a not-found error one that says what was probably meant;
// other errors stay as they are.
func (s *Server) noQueueJob(r *http.Request, err error, name string) error {
	hint := "queuemill status lists them"
	if status, err := s.status(r.Context()); err == nil {
		names := make([]string, len(status.QueueJobs))
		for i, qj := range status.QueueJobs {
			names[i] = qj.Name
		}
		hint = didYouMean(name, names, hint)
		for i := range status.WorkerPools {
			if status.WorkerPools[i].Name == name {
				hint = name + " is a WorkerPool: its workers make no jobs; queuemill status shows them"
			}
		}
	}
	return notFoundAs(err, "QueueJob", name, hint)
}

func (s *Server) listQueueJobs(w http.ResponseWriter, r *http.Request) error {
	status, err := s.backend.Controller.Status(r.Context())
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, QueueJobList{QueueJobs: status.QueueJobs})
}

func (s *Server) getQueueJob(w http.ResponseWriter, r *http.Request) error {
	status, err := s.backend.Controller.Status(r.Context())
	if err != nil {
		return err
	}
	for _, qj := range status.QueueJobs {
		if qj.Name == r.PathValue("name") {
			return writeJSON(w, http.StatusOK, qj)
		}
	}
	return s.noQueueJob(r, executor.ErrNotFound, r.PathValue("name"))
}

func (s *Server) suspend(suspend bool) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		if err := readJSON(r, &struct{}{}); err != nil {
			return err
		}
		if err := s.backend.Controller.Suspend(r.Context(), r.PathValue("name"), suspend); err != nil {
			return s.noQueueJob(r, err, r.PathValue("name"))
		}
		return s.getQueueJob(w, r)
	}
}

// statusEvery is how often a watched status is told anew.
const statusEvery = time.Second

// getStatus answers once, or with watch=true one line a second for as long as
// the client stays.
func (s *Server) getStatus(w http.ResponseWriter, r *http.Request) error {
	q := readQuery(r, "watch")
	watch := q.flag("watch")
	if q.err != nil {
		return q.err
	}
	status, err := s.status(r.Context())
	if err != nil {
		return err
	}
	if !watch {
		return writeJSON(w, http.StatusOK, status)
	}
	stream := newStream(w, contentNDJSON)
	enc := json.NewEncoder(stream)
	tick := time.NewTicker(statusEvery)
	defer tick.Stop()
	for {
		if err := enc.Encode(status); err != nil {
			return nil // the client is gone
		}
		select {
		case <-r.Context().Done():
			return nil
		case <-tick.C:
		}
		if status, err = s.status(r.Context()); err != nil {
			s.log.Warn("status watch ends", "error", err)
			return nil
		}
	}
}
