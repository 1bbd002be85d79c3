package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/queuemill/queuemill/internal/executor"
	"github.com/queuemill/queuemill/internal/queue"
	"github.com/queuemill/queuemill/internal/store"
)

// Problem is an error on the wire (RFC 9457), with a hint at what to do next.
// Handlers and backends may return one; the client returns it as it came.
type Problem struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail,omitempty"`
	Hint   string `json:"hint,omitempty"`
}

func (p *Problem) Error() string {
	if p.Detail == "" {
		return p.Title
	}
	return p.Detail
}

// NewProblem makes a Problem of an HTTP status. hint may be empty.
func NewProblem(status int, detail, hint string) *Problem {
	return &Problem{
		Type: problemTypes[status], Title: http.StatusText(status), Status: status,
		Detail: detail, Hint: hint,
	}
}

// problemTypes is the closed set of type URIs; "about:blank" means that the
// status says it all (RFC 9457, 4.2.1).
var problemTypes = map[int]string{
	http.StatusBadRequest:            "urn:queuemill:problem:bad-request",
	http.StatusUnauthorized:          "urn:queuemill:problem:token-required",
	http.StatusForbidden:             "urn:queuemill:problem:cross-site",
	http.StatusNotFound:              "urn:queuemill:problem:not-found",
	http.StatusMethodNotAllowed:      "urn:queuemill:problem:method-not-allowed",
	http.StatusConflict:              "urn:queuemill:problem:conflict",
	http.StatusRequestEntityTooLarge: "urn:queuemill:problem:too-large",
	http.StatusUnsupportedMediaType:  "urn:queuemill:problem:content-type",
	http.StatusMisdirectedRequest:    "urn:queuemill:problem:host",
	http.StatusTooManyRequests:       "urn:queuemill:problem:throttled",
	http.StatusInternalServerError:   "urn:queuemill:problem:internal",
	http.StatusInsufficientStorage:   "urn:queuemill:problem:disk-full",
	http.StatusBadGateway:            "urn:queuemill:problem:queue-unreachable",
	http.StatusNotImplemented:        "urn:queuemill:problem:unsupported",
	http.StatusServiceUnavailable:    "urn:queuemill:problem:unavailable",
}

func badRequest(format string, args ...any) *Problem {
	return NewProblem(http.StatusBadRequest, fmt.Sprintf(format, args...), "")
}

// problemOf finds the status of what a backend returned.
func problemOf(err error) *Problem {
	var p *Problem
	if errors.As(err, &p) {
		return p
	}
	status := http.StatusInternalServerError
	var tooLarge *http.MaxBytesError
	switch {
	case errors.Is(err, store.ErrFull):
		return NewProblem(http.StatusInsufficientStorage, store.ErrFull.Error(), "make room: queuemill prune removes finished jobs, queuemill purge messages")
	case errors.As(err, &tooLarge):
		return NewProblem(http.StatusRequestEntityTooLarge, fmt.Sprintf("the request is larger than %d bytes", tooLarge.Limit), "send less at once")
	case errors.Is(err, executor.ErrNotFound), errors.Is(err, queue.ErrNotFound):
		status = http.StatusNotFound
	case errors.Is(err, queue.ErrInvalid):
		// The queue's own words say it all.
		return NewProblem(http.StatusBadRequest, strings.TrimPrefix(err.Error(), queue.ErrInvalid.Error()+": "), "")
	case errors.Is(err, queue.ErrThrottled):
		status = http.StatusTooManyRequests
	case errors.Is(err, executor.ErrTerminating):
		status = http.StatusConflict
	case errors.Is(err, queue.ErrUnreachable):
		status = http.StatusBadGateway
	case errors.Is(err, executor.ErrUnavailable), errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		status = http.StatusServiceUnavailable
	case errors.Is(err, errors.ErrUnsupported):
		status = http.StatusNotImplemented
	}
	return NewProblem(status, err.Error(), "")
}

func writeProblem(w http.ResponseWriter, p *Problem) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(p.Status)
	// The client is gone when this fails; there is nobody to tell.
	_ = json.NewEncoder(w).Encode(p)
}
