// Package client speaks the HTTP API of a running controller.
package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/queuemill/queuemill/internal/httpapi"
)

// Client calls one controller. It may be used by many goroutines.
type Client struct {
	base  *url.URL
	name  string // of the server for people; empty: its URL
	token string
	http  *http.Client
}

// UnreachableError says that no controller answers at Server.
type UnreachableError struct {
	Server string
	Err    error
}

func (e *UnreachableError) Error() string {
	return fmt.Sprintf("nothing answers at %s: %v", e.Server, e.Err)
}

func (e *UnreachableError) Unwrap() error { return e.Err }

// New makes a Client of a server's URL, like http://127.0.0.1:8080. token may
// be empty. It speaks to nobody yet.
func New(server, token string) (*Client, error) {
	base, err := url.Parse(server)
	if err != nil || base.Host == "" || base.Scheme != "http" && base.Scheme != "https" {
		return nil, fmt.Errorf("the server %q is not a URL like http://127.0.0.1:8080", server)
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost = 16
	if httpapi.IsLoopback(base.Hostname()) {
		transport.Proxy = nil
	}
	return &Client{base: base, token: token, http: &http.Client{Transport: transport}}, nil
}

// Server is the URL this client calls, or the name of what it speaks to.
func (c *Client) Server() string {
	if c.name != "" {
		return c.name
	}
	return c.base.String()
}

// Local tells whether the API is served in this very process.
func (c *Client) Local() bool { return c.name != "" }

// Status is everything at a glance.
func (c *Client) Status(ctx context.Context) (httpapi.Status, error) {
	return fetch[httpapi.Status](ctx, c, http.MethodGet, "/v1/status", nil, nil)
}

// WatchStatus calls handle about once a second until ctx ends, the server goes
// away or handle returns an error.
func (c *Client) WatchStatus(ctx context.Context, handle func(httpapi.Status) error) error {
	return stream(ctx, c, "/v1/status", url.Values{"watch": {"true"}}, handle)
}

// QueueJobs are all QueueJobs by name.
func (c *Client) QueueJobs(ctx context.Context) ([]httpapi.QueueJob, error) {
	l, err := fetch[httpapi.QueueJobList](ctx, c, http.MethodGet, "/v1/queuejobs", nil, nil)
	return l.QueueJobs, err
}

// Suspend stops or resumes receiving.
func (c *Client) Suspend(ctx context.Context, queueJob string, suspend bool) (httpapi.QueueJob, error) {
	verb := "resume"
	if suspend {
		verb = "suspend"
	}
	return fetch[httpapi.QueueJob](ctx, c, http.MethodPost, "/v1/queuejobs/"+url.PathEscape(queueJob)+"/"+verb, nil, struct{}{})
}

// WorkerPools are all WorkerPools by name.
func (c *Client) WorkerPools(ctx context.Context) ([]httpapi.WorkerPool, error) {
	l, err := fetch[httpapi.WorkerPoolList](ctx, c, http.MethodGet, "/v1/workerpools", nil, nil)
	return l.WorkerPools, err
}

// SuspendPool retires all workers of a pool, each when it is idle, or lets the
// pool go on.
func (c *Client) SuspendPool(ctx context.Context, pool string, suspend bool) (httpapi.WorkerPool, error) {
	verb := "resume"
	if suspend {
		verb = "suspend"
	}
	return fetch[httpapi.WorkerPool](ctx, c, http.MethodPost, "/v1/workerpools/"+url.PathEscape(pool)+"/"+verb, nil, struct{}{})
}

func filterQuery(f httpapi.JobFilter) url.Values {
	q := url.Values{}
	set := func(name, value string) {
		if value != "" {
			q.Set(name, value)
		}
	}
	set("queuejob", f.QueueJob)
	set("messageId", f.MessageID)
	set("prefix", f.Prefix)
	for _, s := range f.States {
		q.Add("state", string(s))
	}
	for _, r := range f.Reasons {
		q.Add("reason", string(r))
	}
	return q
}

// Jobs is a page of jobs: at most limit (0: all), from cursor on.
func (c *Client) Jobs(ctx context.Context, f httpapi.JobFilter, limit int, cursor string) (httpapi.JobList, error) {
	q := filterQuery(f)
	q.Set("limit", strconv.Itoa(limit))
	if cursor != "" {
		q.Set("cursor", cursor)
	}
	return fetch[httpapi.JobList](ctx, c, http.MethodGet, "/v1/jobs", q, nil)
}

// Job is one job with its message; that of a confidential one when confidential
// asks for it.
func (c *Client) Job(ctx context.Context, name string, confidential bool) (httpapi.Job, error) {
	q := url.Values{}
	if confidential {
		q.Set("confidential", "true")
	}
	return fetch[httpapi.Job](ctx, c, http.MethodGet, "/v1/jobs/"+url.PathEscape(name), q, nil)
}

// Logs is the output of one attempt (0: the latest). The caller closes it.
func (c *Client) Logs(ctx context.Context, name string, attempt int, follow bool) (io.ReadCloser, error) {
	q := url.Values{"attempt": {strconv.Itoa(attempt)}, "follow": {strconv.FormatBool(follow)}}
	res, err := c.do(ctx, http.MethodGet, "/v1/jobs/"+url.PathEscape(name)+"/logs", q, "", nil)
	if err != nil {
		return nil, err
	}
	return res.Body, nil
}

// Retry asks for a further attempt of one job.
func (c *Client) Retry(ctx context.Context, name string) error {
	return c.call(ctx, http.MethodPost, "/v1/jobs/"+url.PathEscape(name)+"/retry", nil, struct{}{}, nil)
}

// RetryMany asks for a further attempt of many jobs.
func (c *Client) RetryMany(ctx context.Context, r httpapi.RetryRequest) (httpapi.BulkResult, error) {
	return fetch[httpapi.BulkResult](ctx, c, http.MethodPost, "/v1/jobs/retry", nil, r)
}

// Prune removes finished jobs.
func (c *Client) Prune(ctx context.Context, r httpapi.PruneRequest) (httpapi.PruneResult, error) {
	return fetch[httpapi.PruneResult](ctx, c, http.MethodPost, "/v1/jobs/prune", nil, r)
}

// Delete ends a job if it runs and removes it.
func (c *Client) Delete(ctx context.Context, name, uid string) error {
	q := url.Values{}
	if uid != "" {
		q.Set("uid", uid)
	}
	return c.call(ctx, http.MethodDelete, "/v1/jobs/"+url.PathEscape(name), q, nil, nil)
}

// Watch calls handle with what there is and then with each change, until ctx
// ends or handle returns an error; with untilIdle until an Idle event.
func (c *Client) Watch(ctx context.Context, f httpapi.JobFilter, untilIdle bool, handle func(httpapi.Event) error) error {
	q := filterQuery(f)
	if untilIdle {
		q.Set("untilIdle", "true")
	}
	return stream(ctx, c, "/v1/events", q, func(e httpapi.Event) error {
		if e.Type == httpapi.EventError && e.Error != nil {
			return e.Error
		}
		return handle(e)
	})
}

// Queues are all queues by name.
func (c *Client) Queues(ctx context.Context) ([]httpapi.Queue, error) {
	l, err := fetch[httpapi.QueueList](ctx, c, http.MethodGet, "/v1/queues", nil, nil)
	return l.Queues, err
}

// Queue is one queue.
func (c *Client) Queue(ctx context.Context, name string) (httpapi.Queue, error) {
	return fetch[httpapi.Queue](ctx, c, http.MethodGet, "/v1/queues/"+url.PathEscape(name), nil, nil)
}

// CreateQueue makes a queue where there is none.
func (c *Client) CreateQueue(ctx context.Context, name string) error {
	return c.call(ctx, http.MethodPut, "/v1/queues/"+url.PathEscape(name), nil, struct{}{}, nil)
}

// Send sends messages in one request, at most a thousand. When the error is
// nil the result is as long as the messages and answers one by one.
func (c *Client) Send(ctx context.Context, queue string, messages []httpapi.OutgoingMessage) ([]httpapi.SendResult, error) {
	var body bytes.Buffer
	enc := json.NewEncoder(&body)
	enc.SetEscapeHTML(false)
	for _, m := range messages {
		if err := enc.Encode(m); err != nil {
			return nil, fmt.Errorf("encode a message: %w", err)
		}
	}
	res, err := c.do(ctx, http.MethodPost, "/v1/queues/"+url.PathEscape(queue)+"/messages", nil, "application/x-ndjson", &body)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	var answer httpapi.SendResults
	if err := json.NewDecoder(res.Body).Decode(&answer); err != nil {
		return nil, fmt.Errorf("read the answer of %s: %w", c.Server(), err)
	}
	if len(answer.Results) != len(messages) {
		return nil, fmt.Errorf("%s answered %d results to %d messages", c.Server(), len(answer.Results), len(messages))
	}
	return answer.Results, nil
}

// Peek shows the next messages.
func (c *Client) Peek(ctx context.Context, queue string, limit int) (httpapi.PeekResult, error) {
	return fetch[httpapi.PeekResult](ctx, c, http.MethodGet, "/v1/queues/"+url.PathEscape(queue)+"/messages", url.Values{"limit": {strconv.Itoa(limit)}}, nil)
}

// Purge drops every message.
func (c *Client) Purge(ctx context.Context, queue string) (httpapi.PurgeResult, error) {
	return fetch[httpapi.PurgeResult](ctx, c, http.MethodPost, "/v1/queues/"+url.PathEscape(queue)+"/purge", nil, struct{}{})
}

// Redrive moves messages of a dead-letter queue back, at most limit (0: all).
func (c *Client) Redrive(ctx context.Context, queue string, limit int) (httpapi.RedriveResult, error) {
	return fetch[httpapi.RedriveResult](ctx, c, http.MethodPost, "/v1/queues/"+url.PathEscape(queue)+"/redrive", nil, httpapi.RedriveRequest{Limit: limit})
}

// call sends in (nil: no body) as JSON and reads the answer into out (nil: none).
func (c *Client) call(ctx context.Context, method, path string, q url.Values, in, out any) error {
	var body io.Reader
	contentType := ""
	if in != nil {
		data, err := json.Marshal(in)
		if err != nil {
			return fmt.Errorf("encode the request: %w", err)
		}
		body, contentType = bytes.NewReader(data), "application/json"
	}
	res, err := c.do(ctx, method, path, q, contentType, body)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if out == nil {
		return nil
	}
	if err := json.NewDecoder(res.Body).Decode(out); err != nil {
		return fmt.Errorf("read the answer of %s: %w", c.Server(), err)
	}
	return nil
}

// fetch is call with an answer.
func fetch[T any](ctx context.Context, c *Client, method, path string, q url.Values, in any) (T, error) {
	var out T
	err := c.call(ctx, method, path, q, in, &out)
	return out, err
}

// do returns answers of 2xx only; others are a *httpapi.Problem.
func (c *Client) do(ctx context.Context, method, path string, q url.Values, contentType string, body io.Reader) (*http.Response, error) {
	target := strings.TrimSuffix(c.base.String(), "/") + path
	if len(q) > 0 {
		target += "?" + q.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, method, target, body)
	if err != nil {
		return nil, fmt.Errorf("make a request to %s: %w", c.Server(), err)
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	res, err := c.http.Do(req)
	if err != nil {
		var urlErr *url.Error
		if errors.As(err, &urlErr) {
			err = urlErr.Err
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, &UnreachableError{Server: c.Server(), Err: err}
	}
	if res.StatusCode/100 == 2 {
		return res, nil
	}
	defer res.Body.Close()
	return nil, readProblem(c.Server(), res)
}

func readProblem(server string, res *http.Response) error {
	data, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	if err != nil {
		return fmt.Errorf("read the answer of %s: %w", server, err)
	}
	p := &httpapi.Problem{}
	mediaType, _, _ := mime.ParseMediaType(res.Header.Get("Content-Type"))
	if mediaType != "application/problem+json" || json.Unmarshal(data, p) != nil || p.Status == 0 {
		return fmt.Errorf("%s answered %s and is no Queuemill controller, it seems", server, res.Status)
	}
	return p
}

// stream reads one JSON document a line until the server ends the answer.
func stream[T any](ctx context.Context, c *Client, path string, q url.Values, handle func(T) error) error {
	res, err := c.do(ctx, http.MethodGet, path, q, "", nil)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	dec := json.NewDecoder(res.Body)
	for {
		var v T
		if err := dec.Decode(&v); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return &UnreachableError{Server: c.Server(), Err: fmt.Errorf("the stream broke off: %w", err)}
		}
		if err := handle(v); err != nil {
			return err
		}
	}
}
