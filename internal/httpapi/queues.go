package httpapi

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/queuemill/queuemill/internal/queue"
)

func (s *Server) listQueues(w http.ResponseWriter, r *http.Request) error {
	queues, err := s.backend.Queues.ListQueues(r.Context())
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, QueueList{Queues: queues})
}

func (s *Server) getQueue(w http.ResponseWriter, r *http.Request) error {
	queues, err := s.backend.Queues.ListQueues(r.Context())
	if err != nil {
		return err
	}
	for _, q := range queues {
		if q.Name == r.PathValue("name") {
			return writeJSON(w, http.StatusOK, q)
		}
	}
	return s.noQueue(r)
}

// noQueue helps one who mistyped the name or gave the QueueJob's instead.
func (s *Server) noQueue(r *http.Request) error {
	name := r.PathValue("name")
	hint := "queuemill status lists them"
	if status, err := s.status(r.Context()); err == nil {
		names := make([]string, len(status.Queues))
		for i, q := range status.Queues {
			names[i] = q.Name
		}
		hint = didYouMean(name, names, hint)
		for _, qj := range status.QueueJobs {
			if qj.Name == name {
				hint = fmt.Sprintf("the QueueJob %s reads the queue %s", name, qj.Queue)
			}
		}
		for i := range status.WorkerPools {
			if wp := &status.WorkerPools[i]; wp.Name == name {
				hint = fmt.Sprintf("the WorkerPool %s reads the queue %s", name, wp.Queue)
			}
		}
	}
	return NewProblem(http.StatusNotFound, fmt.Sprintf("there is no queue %q", name), hint)
}

func (s *Server) openQueue(r *http.Request) (queue.Queue, error) {
	q, err := s.backend.Queues.OpenQueue(r.Context(), r.PathValue("name"))
	var p *Problem
	if errors.Is(err, queue.ErrNotFound) && !errors.As(err, &p) {
		return nil, s.noQueue(r)
	}
	return q, err
}

func (s *Server) createQueue(w http.ResponseWriter, r *http.Request) error {
	if err := readJSON(r, &struct{}{}); err != nil {
		return err
	}
	if err := s.backend.Queues.CreateQueue(r.Context(), r.PathValue("name")); err != nil {
		return err
	}
	return s.getQueue(w, r)
}

// sendMessages takes one message as JSON, or many as NDJSON: then nothing is
// sent when one of them can't be read.
func (s *Server) sendMessages(w http.ResponseWriter, r *http.Request) error {
	q, err := s.openQueue(r)
	if err != nil {
		return err
	}
	if strings.HasPrefix(r.Header.Get("Content-Type"), contentNDJSON) {
		return s.sendBatch(w, r, q)
	}
	var m OutgoingMessage
	if err := readJSON(r, &m); err != nil {
		return err
	}
	out, err := m.outgoing()
	if err != nil {
		return err
	}
	sent := q.Send(r.Context(), []queue.Outgoing{out})[0]
	if sent.Err != nil {
		return sent.Err
	}
	w.Header().Set("Location", "/v1/jobs?messageId="+url.QueryEscape(sent.ID))
	return writeJSON(w, http.StatusAccepted, SendResult{ID: sent.ID})
}

func (s *Server) sendBatch(w http.ResponseWriter, r *http.Request, q queue.Queue) error {
	batch, err := readBatch(r)
	if err != nil {
		return err
	}
	answer := SendResults{Results: make([]SendResult, len(batch))}
	for i, sent := range q.Send(r.Context(), batch) {
		if sent.Err != nil {
			answer.Results[i].Error = problemOf(sent.Err)
		} else {
			answer.Results[i].ID = sent.ID
		}
	}
	return writeJSON(w, http.StatusAccepted, answer)
}

func readBatch(r *http.Request) ([]queue.Outgoing, error) {
	lines := bufio.NewScanner(r.Body)
	lines.Buffer(nil, maxBody)
	var batch []queue.Outgoing
	for n := 1; lines.Scan(); n++ {
		line := bytes.TrimSpace(lines.Bytes())
		if len(line) == 0 {
			continue
		}
		if len(batch) == maxBatch {
			return nil, NewProblem(http.StatusRequestEntityTooLarge, fmt.Sprintf("more than %d messages in a request", maxBatch), "send less at once")
		}
		var m OutgoingMessage
		err := decodeStrict(line, &m)
		if err == nil {
			var out queue.Outgoing
			if out, err = m.outgoing(); err == nil {
				batch = append(batch, out)
				continue
			}
		}
		p := *problemOf(err)
		p.Detail = fmt.Sprintf("line %d: %s", n, p.Detail)
		return nil, &p
	}
	if errors.Is(lines.Err(), bufio.ErrTooLong) {
		return nil, NewProblem(http.StatusRequestEntityTooLarge, fmt.Sprintf("a line is longer than %d bytes", maxBody), "")
	}
	if lines.Err() != nil {
		return nil, readError(lines.Err())
	}
	if len(batch) == 0 {
		return nil, badRequest("there is no message in the request")
	}
	return batch, nil
}

// outgoing reads the body: a string is sent as it is, anything else as its
// JSON text.
func (m *OutgoingMessage) outgoing() (queue.Outgoing, error) {
	out := queue.Outgoing{Body: string(m.Body), Attributes: m.Attributes, GroupID: m.GroupID, DeduplicationID: m.DeduplicationID}
	if len(m.Body) == 0 {
		return out, badRequest("the message has no body")
	}
	if m.Body[0] == '"' {
		if err := json.Unmarshal(m.Body, &out.Body); err != nil {
			return out, badRequest("body: %v", err)
		}
		// encoding/json makes U+FFFD of half a surrogate pair.
		if strings.ContainsRune(out.Body, utf8.RuneError) && !bytes.ContainsRune(m.Body, utf8.RuneError) && !bytes.Contains(bytes.ToLower(m.Body), []byte(`\ufffd`)) {
			return out, badRequest("body has half a surrogate pair: it is not Unicode text")
		}
	}
	if m.DelaySeconds != nil {
		if *m.DelaySeconds < 0 || *m.DelaySeconds > 900 {
			return out, badRequest("delaySeconds is %d; it is a number from 0 to 900", *m.DelaySeconds)
		}
		out.Delay = time.Duration(*m.DelaySeconds) * time.Second
	}
	return out, nil
}

const maxPeek = 100

func (s *Server) peekMessages(w http.ResponseWriter, r *http.Request) error {
	params := readQuery(r, "limit")
	limit := params.number("limit", 10, maxPeek)
	if params.err != nil {
		return params.err
	}
	q, err := s.openQueue(r)
	if err != nil {
		return err
	}
	peeker, ok := q.(queue.Peeker)
	if !ok {
		return cannot(r, "show its messages")
	}
	messages, err := peeker.Peek(r.Context(), limit)
	if err != nil {
		return err
	}
	answer := PeekResult{Messages: make([]PeekedMessage, len(messages)), CountsAsReceive: peeker.PeekCounts()}
	for i, m := range messages {
		answer.Messages[i] = PeekedMessage{
			ID: m.ID, Body: m.Body, Attributes: m.Attributes, SentAt: m.SentAt,
			ReceiveCount: m.ReceiveCount, GroupID: m.GroupID, DeduplicationID: m.DeduplicationID,
		}
	}
	return writeJSON(w, http.StatusOK, answer)
}

func (s *Server) purgeQueue(w http.ResponseWriter, r *http.Request) error {
	if err := readJSON(r, &struct{}{}); err != nil {
		return err
	}
	q, err := s.openQueue(r)
	if err != nil {
		return err
	}
	purger, ok := q.(queue.Purger)
	if !ok {
		return cannot(r, "be purged")
	}
	var there queue.Depth
	if d, ok := q.(queue.DepthReporter); ok {
		if there, err = d.Depth(r.Context()); err != nil {
			return err
		}
	}
	if err := purger.Purge(r.Context()); err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, PurgeResult{Purged: there.Total()})
}

func (s *Server) redriveQueue(w http.ResponseWriter, r *http.Request) error {
	var req RedriveRequest
	if err := readJSON(r, &req); err != nil {
		return err
	}
	if req.Limit < 0 {
		return badRequest("limit is %d; it may not be negative", req.Limit)
	}
	q, err := s.openQueue(r)
	if err != nil {
		return err
	}
	redriver, ok := q.(queue.Redriver)
	if !ok {
		return cannot(r, "be redriven")
	}
	moved, err := redriver.Redrive(r.Context(), req.Limit)
	if errors.Is(err, queue.ErrInvalid) {
		p := *problemOf(err)
		p.Detail, p.Hint = fmt.Sprintf("redrive %s: %s", r.PathValue("name"), p.Detail), s.deadLetterQueues(r)
		return &p
	}
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusAccepted, RedriveResult{Moved: moved})
}

// deadLetterQueues is a hint of what can be redriven.
func (s *Server) deadLetterQueues(r *http.Request) string {
	queues, err := s.backend.Queues.ListQueues(r.Context())
	if err != nil {
		return ""
	}
	var names []string
	for _, q := range queues {
		if q.DeadLetterQueue != "" && !slices.Contains(names, q.DeadLetterQueue) {
			names = append(names, q.DeadLetterQueue)
		}
	}
	if len(names) == 0 {
		return "no queue has a redrive policy, so none has dead letters to move back"
	}
	return "dead-letter queues: " + strings.Join(names, ", ")
}

func cannot(r *http.Request, what string) error {
	return NewProblem(http.StatusNotImplemented, fmt.Sprintf("the queue %s can't %s", r.PathValue("name"), what), "")
}
