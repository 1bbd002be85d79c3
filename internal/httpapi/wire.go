package httpapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/queuemill/queuemill/internal/reason"
	"github.com/queuemill/queuemill/internal/record"
)

func writeJSON(w http.ResponseWriter, status int, v any) error {
	w.Header().Set("Content-Type", contentJSON)
	w.WriteHeader(status)
	// The client is gone when this fails; there is nobody to tell.
	_ = json.NewEncoder(w).Encode(v)
	return nil
}

func writeText(w http.ResponseWriter, text string) error {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = io.WriteString(w, text)
	return nil
}

// readJSON reads the one document of the request's body. An empty body is the
// zero value.
func readJSON(r *http.Request, v any) error {
	data, err := io.ReadAll(r.Body)
	if err != nil {
		return readError(err)
	}
	if len(bytes.TrimSpace(data)) == 0 {
		return nil
	}
	return decodeStrict(data, v)
}

func readError(err error) error {
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return err
	}
	return badRequest("read the request: %v", err)
}

// decodeStrict refuses unknown fields, anything behind the document, and what
// encoding/json would mend in silence: invalid UTF-8 becomes U+FFFD there.
func decodeStrict(data []byte, v any) error {
	if !utf8.Valid(data) {
		return badRequest("the request is not UTF-8")
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		return badRequest("the request is not the JSON it should be: %s", strings.TrimPrefix(err.Error(), "json: "))
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return badRequest("the request has something behind its JSON document")
	}
	return nil
}

// query reads a request's parameters and keeps the first error.
type query struct {
	values url.Values
	err    error
}

func readQuery(r *http.Request, known ...string) *query {
	values, err := url.ParseQuery(r.URL.RawQuery)
	q := &query{values: values}
	if err != nil {
		q.fail("the query is malformed: %v", err)
		return q
	}
	for name := range values {
		if !slices.Contains(known, name) {
			q.fail("there is no parameter %q; there are %s", name, strings.Join(known, ", "))
		}
	}
	return q
}

func (q *query) fail(format string, args ...any) {
	if q.err == nil {
		q.err = badRequest(format, args...)
	}
}

func (q *query) text(name string) string { return q.values.Get(name) }

// number is between 0 and most, fallback when it is not given.
func (q *query) number(name string, fallback, most int) int {
	s := q.values.Get(name)
	if s == "" {
		return fallback
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 0 || n > most {
		q.fail("%s=%q is not a number from 0 to %d", name, s, most)
	}
	return n
}

func (q *query) flag(name string) bool {
	s := q.values.Get(name)
	if s == "" {
		return false
	}
	b, err := strconv.ParseBool(s)
	if err != nil {
		q.fail("%s=%q is neither true nor false", name, s)
	}
	return b
}

// list is every value of a repeated or comma-separated parameter.
func (q *query) list(name string) []string {
	var all []string
	for _, v := range q.values[name] {
		for _, part := range strings.Split(v, ",") {
			if part != "" {
				all = append(all, part)
			}
		}
	}
	return all
}

var filterParams = []string{"queuejob", "state", "reason", "messageId", "prefix"}

func (q *query) filter() JobFilter {
	f := JobFilter{QueueJob: q.text("queuejob"), MessageID: q.text("messageId"), Prefix: q.text("prefix")}
	for _, s := range q.list("state") {
		f.States = append(f.States, record.State(s))
	}
	for _, s := range q.list("reason") {
		f.Reasons = append(f.Reasons, reason.Reason(s))
	}
	if err := f.normalise(); err != nil && q.err == nil {
		q.err = err
	}
	return f
}

// normalise accepts states and reasons in any case and refuses unknown ones.
func (f *JobFilter) normalise() error {
	if err := normaliseStates(f.States); err != nil {
		return err
	}
	for i, r := range f.Reasons {
		known := false
		for _, k := range reason.All {
			if strings.EqualFold(string(k), string(r)) {
				f.Reasons[i], known = k, true
			}
		}
		if !known {
			return badRequest("there is no reason %q; there are %s", string(r), joinNames(reason.All))
		}
	}
	return nil
}

func normaliseStates(states []record.State) error {
	for i, s := range states {
		known := false
		for _, k := range record.States {
			if strings.EqualFold(string(k), string(s)) {
				states[i], known = k, true
			}
		}
		if !known {
			return badRequest("there is no state %q; there are %s", string(s), joinNames(record.States))
		}
	}
	return nil
}

func joinNames[T ~string](names []T) string {
	all := make([]string, len(names))
	for i, n := range names {
		all[i] = string(n)
	}
	return strings.Join(all, ", ")
}

// match tells whether f means the record.
func (f *JobFilter) match(r *record.Record) bool {
	return (f.QueueJob == "" || f.QueueJob == r.QueueJob) &&
		(f.MessageID == "" || f.MessageID == r.Message.ID) &&
		strings.HasPrefix(r.Name, f.Prefix) &&
		(len(f.States) == 0 || slices.Contains(f.States, r.State)) &&
		(len(f.Reasons) == 0 || r.Cause != nil && slices.Contains(f.Reasons, r.Cause.Reason))
}
