package httpapi

import (
	"cmp"
	"context"
	"encoding/base64"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/queuemill/queuemill/internal/reason"
	"github.com/queuemill/queuemill/internal/record"
)

const (
	defaultPage = 500
	maxPage     = 5000
)

func (s *Server) listJobs(w http.ResponseWriter, r *http.Request) error {
	q := readQuery(r, append(slices.Clone(filterParams), "limit", "cursor")...)
	filter, limit := q.filter(), q.number("limit", defaultPage, maxPage)
	after, err := parseCursor(q.text("cursor"))
	if q.err != nil || err != nil {
		return cmp.Or(q.err, err)
	}
	all, err := s.find(r.Context(), filter)
	if err != nil {
		return err
	}
	start, found := slices.BinarySearchFunc(all, after, func(j Job, c position) int { return positionOf(&j).compare(c) })
	if found {
		start++
	}
	page := JobList{Jobs: all[start:]}
	if limit > 0 && len(page.Jobs) > limit {
		page.Jobs = page.Jobs[:limit]
		page.Cursor = positionOf(&page.Jobs[limit-1]).String()
	}
	return writeJSON(w, http.StatusOK, page)
}

// find is the records f means, the oldest first, as a list may show them.
func (s *Server) find(ctx context.Context, f JobFilter) ([]Job, error) {
	all, err := s.backend.Jobs.List(ctx, f.QueueJob)
	if err != nil {
		return nil, err
	}
	found := make([]Job, 0, len(all))
	for i := range all {
		if f.match(&all[i]) {
			found = append(found, listed(all[i]))
		}
	}
	slices.SortFunc(found, func(a, b Job) int { return positionOf(&a).compare(positionOf(&b)) })
	return found, nil
}

// listed is a record as lists and events show it: without body, attributes and
// what was gathered of its attempts' output and events, and without what a
// confidential body may have left in a cause's words.
func listed(j Job) Job {
	j.Message.Body, j.Message.Attributes = "", nil
	if slices.ContainsFunc(j.Attempts, func(a record.Attempt) bool { return a.LogTail != "" || a.Events != nil }) {
		j.Attempts = slices.Clone(j.Attempts)
		for i := range j.Attempts {
			j.Attempts[i].LogTail, j.Attempts[i].Events = "", nil
		}
	}
	return redacted(j)
}

// redacted leaves out of a confidential record what came out of its message.
func redacted(j Job) Job {
	if !j.Confidential {
		return j
	}
	j.Message.Body, j.Message.Attributes = "", nil
	j.Cause = withoutDetail(j.Cause)
	j.Attempts = slices.Clone(j.Attempts)
	for i := range j.Attempts {
		a := &j.Attempts[i]
		a.Cause, a.LogTail, a.Events = withoutDetail(a.Cause), "", nil
	}
	return j
}

func withoutDetail(c *reason.Cause) *reason.Cause {
	if c == nil {
		return nil
	}
	return &reason.Cause{Reason: c.Reason}
}

// position is a record's place in a list: stable while others come and go.
type position struct {
	created int64 // ns since 1970
	name    string
}

func positionOf(j *Job) position { return position{j.CreatedAt.UnixNano(), j.Name} }

func (p position) compare(o position) int {
	return cmp.Or(cmp.Compare(p.created, o.created), cmp.Compare(p.name, o.name))
}

func (p position) String() string {
	return base64.RawURLEncoding.EncodeToString([]byte(strconv.FormatInt(p.created, 10) + " " + p.name))
}

// parseCursor reads what String wrote; the empty cursor is before everything.
func parseCursor(s string) (position, error) {
	if s == "" {
		return position{created: time.Time{}.UnixNano()}, nil
	}
	data, err := base64.RawURLEncoding.DecodeString(s)
	created, name, ok := strings.Cut(string(data), " ")
	n, numErr := strconv.ParseInt(created, 10, 64)
	if err != nil || !ok || numErr != nil {
		return position{}, badRequest("cursor %q is not one that this server gave", s)
	}
	return position{n, name}, nil
}

// getJob answers with body and attributes; with those of a confidential job
// only when it is asked for them.
func (s *Server) getJob(w http.ResponseWriter, r *http.Request) error {
	q := readQuery(r, "confidential")
	show := q.flag("confidential")
	if q.err != nil {
		return q.err
	}
	j, err := s.backend.Jobs.Get(r.Context(), r.PathValue("name"))
	if err != nil {
		return notFoundAs(err, "job", r.PathValue("name"), "queuemill jobs lists them")
	}
	if !show {
		j = redacted(j)
	}
	return writeJSON(w, http.StatusOK, j)
}

func (s *Server) deleteJob(w http.ResponseWriter, r *http.Request) error {
	q := readQuery(r, "uid")
	if q.err != nil {
		return q.err
	}
	if err := s.backend.Jobs.Delete(r.Context(), r.PathValue("name"), q.text("uid")); err != nil {
		return notFoundAs(err, "job", r.PathValue("name"), "queuemill jobs lists them")
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (s *Server) retryJob(w http.ResponseWriter, r *http.Request) error {
	if err := readJSON(r, &struct{}{}); err != nil {
		return err
	}
	name := r.PathValue("name")
	if err := s.backend.Controller.Retry(r.Context(), name); err != nil {
		return notFoundAs(err, "job", name, "queuemill jobs lists them")
	}
	return writeJSON(w, http.StatusAccepted, BulkResult{Jobs: []string{name}})
}

func (s *Server) retryJobs(w http.ResponseWriter, r *http.Request) error {
	var req RetryRequest
	if err := readJSON(r, &req); err != nil {
		return err
	}
	if err := req.normalise(); err != nil {
		return err
	}
	if req.Limit < 0 {
		return badRequest("limit is %d; it may not be negative", req.Limit)
	}
	names, err := s.retryNames(r.Context(), &req)
	if err != nil {
		return err
	}
	if req.Limit > 0 && len(names) > req.Limit {
		names = names[:req.Limit]
	}
	result := BulkResult{Jobs: []string{}, DryRun: req.DryRun}
	errs := make([]error, len(names))
	if !req.DryRun {
		s.retryEach(r.Context(), names, errs)
	}
	for i, name := range names {
		if errs[i] == nil {
			result.Jobs = append(result.Jobs, name)
		} else {
			result.Refused = append(result.Refused, BulkError{name, problemOf(errs[i])})
		}
	}
	return writeJSON(w, http.StatusAccepted, result)
}

// retriesAtOnce is how many durable requests share a group commit.
const retriesAtOnce = 32

// retryEach begins in the order of names. Once the caller is gone the others
// are left alone.
func (s *Server) retryEach(ctx context.Context, names []string, errs []error) {
	var g errgroup.Group
	g.SetLimit(retriesAtOnce)
	for i, name := range names {
		g.Go(func() error {
			if errs[i] = ctx.Err(); errs[i] == nil {
				errs[i] = s.backend.Controller.Retry(ctx, name)
			}
			return nil
		})
	}
	_ = g.Wait() // errs has them
}

func (s *Server) retryNames(ctx context.Context, req *RetryRequest) ([]string, error) {
	if len(req.Names) > 0 {
		return req.Names, nil
	}
	if len(req.States) == 0 {
		req.States = []record.State{record.Failed, record.Invalid}
	}
	jobs, err := s.find(ctx, req.JobFilter)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, j := range jobs {
		// What runs can't be retried, and what waits to be needs no further ask.
		if j.State.Finished() && !j.RetryRequested {
			names = append(names, j.Name)
		}
	}
	return names, nil
}

func (s *Server) pruneJobs(w http.ResponseWriter, r *http.Request) error {
	var req PruneRequest
	if err := readJSON(r, &req); err != nil {
		return err
	}
	if err := normaliseStates(req.States); err != nil {
		return err
	}
	for _, state := range req.States {
		if !state.Finished() {
			return badRequest("a job that is %s is not finished and can't be pruned", state)
		}
	}
	if len(req.States) == 0 {
		req.States = []record.State{record.Succeeded}
	}
	if req.OlderThanSeconds < 0 || req.OlderThanSeconds > maxAgeSeconds {
		return badRequest("olderThanSeconds is %g; it is a number from 0 to %d", req.OlderThanSeconds, int(maxAgeSeconds))
	}
	done, err := s.backend.Controller.Prune(r.Context(), req)
	if err != nil {
		return s.noQueueJob(r, err, req.QueueJob)
	}
	slices.Sort(done.Jobs)
	if done.Jobs == nil {
		done.Jobs = []string{}
	}
	done.DryRun = req.DryRun
	return writeJSON(w, http.StatusOK, done)
}

// maxAgeSeconds is a hundred years, far below what a time.Duration holds.
const maxAgeSeconds = 100 * 365 * 24 * 3600.0
