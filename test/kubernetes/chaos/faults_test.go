package chaos

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"path"
	"strings"
	"time"

	"github.com/queuemill/queuemill/internal/queue/embedded"
)

// ServeHTTP answers a call of the JSON protocol, or lets it fail.
func (s *endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	action := strings.TrimPrefix(r.Header.Get("X-Amz-Target"), "AmazonSQS.")
	s.mu.Lock()
	s.calls[action]++
	away := s.away
	s.mu.Unlock()
	if away {
		http.Error(w, `{"__type":"com.amazonaws.sqs#ServiceUnavailable","message":"the test took the queue away"}`, http.StatusServiceUnavailable)
		return
	}
	in, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	var out *recorder
	switch action {
	case "ReceiveMessage":
		s.set(func(s *endpoint) { s.polls++ })
		out = s.pass(w, r, in)
		s.set(func(s *endpoint) { s.polls-- })
		s.received(in, out.body.Bytes())
	case "DeleteMessage":
		out = s.deleteOne(w, r, in)
	case "DeleteMessageBatch":
		out = s.deleteBatch(w, r, in)
	case "ChangeMessageVisibility", "ChangeMessageVisibilityBatch":
		out = s.pass(w, r, in)
		s.extended(in, out.code)
	default:
		out = s.pass(w, r, in)
	}
	out.send(w)
}

// recorder holds an answer back. The server finds the connection through Unwrap.
type recorder struct {
	http.ResponseWriter
	code int
	head http.Header
	body bytes.Buffer
}

func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }
func (r *recorder) Header() http.Header         { return r.head }
func (r *recorder) WriteHeader(code int)        { r.code = code }
func (r *recorder) Write(b []byte) (int, error) { return r.body.Write(b) }
func (r *recorder) answer(code int, v any)      { r.code = code; r.body.Reset(); r.json(v) }
func (r *recorder) json(v any)                  { _ = json.NewEncoder(&r.body).Encode(v) }
func newRecorder(w http.ResponseWriter) *recorder {
	return &recorder{w, http.StatusOK, http.Header{}, bytes.Buffer{}}
}
func decode(text []byte, into any) { _ = json.Unmarshal(text, into) }
func (r *recorder) send(w http.ResponseWriter) {
	for key, values := range r.head {
		if key != "Content-Length" {
			w.Header()[key] = values
		}
	}
	w.Header().Set("Content-Type", "application/x-amz-json-1.0")
	w.WriteHeader(r.code)
	_, _ = w.Write(r.body.Bytes()) // who hung up is not interested
}

// pass lets the real endpoint answer.
func (s *endpoint) pass(w http.ResponseWriter, r *http.Request, in []byte) *recorder {
	out := newRecorder(w)
	real := r.Clone(r.Context())
	real.Body, real.ContentLength = io.NopCloser(bytes.NewReader(in)), int64(len(in))
	real.Header.Del("Content-Encoding")
	s.server.ServeHTTP(out, real)
	return out
}

// received notes what a receive brought.
func (s *endpoint) received(in, out []byte) {
	var call struct{ QueueUrl string }
	var answer struct {
		Messages []struct{ MessageId, ReceiptHandle string }
	}
	decode(in, &call)
	decode(out, &answer)
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range answer.Messages {
		f := s.messages[m.MessageId]
		if f == nil {
			f = &fate{id: m.MessageId, queue: path.Base(call.QueueUrl)}
			s.messages[m.MessageId] = f
		}
		f.handle, f.receives = m.ReceiptHandle, f.receives+1
		s.byHandle[m.ReceiptHandle] = f
		f.note("received (%d)", f.receives)
	}
}

// extended notes a change of visibility.
func (s *endpoint) extended(in []byte, code int) {
	type entry struct {
		ReceiptHandle     string
		VisibilityTimeout int
	}
	var call struct {
		entry
		Entries []entry
	}
	decode(in, &call)
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range append(call.Entries, call.entry) {
		if f := s.byHandle[e.ReceiptHandle]; f != nil {
			stale := ""
			if e.ReceiptHandle != f.handle {
				stale = " by an earlier receipt"
			}
			f.note("to be visible in %d s%s, answered %d", e.VisibilityTimeout, stale, code)
		}
	}
}

// verdict is what becomes of one delete.
type verdict int

const (
	done      verdict = iota
	refused           // answered as failed, and not done
	unheard           // answered as failed, and done
	forgotten         // confirmed, and not done: the message comes again
)

// judge decides about the delete of a receipt.
func (s *endpoint) judge(ctx context.Context, handle string) verdict {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.byHandle[handle]
	if f == nil {
		return done // what it is worth, the queue says
	}
	if s.random.Float64() < s.failing {
		if s.random.IntN(2) == 0 {
			f.note("delete refused")
			return refused
		}
		f.note("deleted, and answered as failed")
		return unheard
	}
	again := !f.decided && s.random.IntN(100) < s.duplicates
	f.decided = true
	if again && handle == f.handle && s.comeAgain(ctx, f) {
		f.forgotten++
		f.note("delete confirmed and forgotten: comes again")
		return forgotten
	}
	f.note("deleted")
	return done
}

// comeAgain makes a message that its client takes for deleted visible within
// three seconds. False: its receipt is worth nothing any more, or another
// receive might be the one that makes it a dead letter.
func (s *endpoint) comeAgain(ctx context.Context, f *fate) bool {
	if limit := s.dying[f.queue]; limit > 0 && f.receives >= limit-1 {
		return false
	}
	q, err := s.broker.Queue("us-east-1", f.queue)
	if err != nil {
		return false
	}
	delay := time.Duration(s.random.IntN(3000)) * time.Millisecond
	if s.holding {
		delay = time.Hour
	}
	return q.ChangeVisibility(ctx, []embedded.VisibilityChange{{Handle: f.handle, Timeout: delay}})[0] == nil
}

// internalFailure is SQS's error of its own.
var internalFailure = map[string]string{"__type": "com.amazonaws.sqs#InternalFailure", "message": "the test lets this fail"}

func (s *endpoint) deleteOne(w http.ResponseWriter, r *http.Request, in []byte) *recorder {
	var call struct{ ReceiptHandle string }
	decode(in, &call)
	out := newRecorder(w)
	switch s.judge(r.Context(), call.ReceiptHandle) {
	case refused:
		out.answer(http.StatusInternalServerError, internalFailure)
	case forgotten:
		out.answer(http.StatusOK, map[string]string{})
	case unheard:
		s.pass(w, r, in)
		out.answer(http.StatusInternalServerError, internalFailure)
	default:
		return s.pass(w, r, in)
	}
	return out
}

func (s *endpoint) deleteBatch(w http.ResponseWriter, r *http.Request, in []byte) *recorder {
	type entry struct{ Id, ReceiptHandle string }
	type failure struct {
		Id, Code, Message string
		SenderFault       bool
	}
	type success struct{ Id string }
	var call struct {
		QueueUrl string
		Entries  []entry
	}
	decode(in, &call)
	var answer struct {
		Successful []success
		Failed     []failure
	}
	fail := func(id string) {
		answer.Failed = append(answer.Failed, failure{Id: id, Code: "InternalError", Message: "the test lets this fail"})
	}
	real := call
	real.Entries = nil
	lost := map[string]bool{}
	for _, e := range call.Entries {
		switch s.judge(r.Context(), e.ReceiptHandle) {
		case refused:
			fail(e.Id)
		case forgotten:
			answer.Successful = append(answer.Successful, success{e.Id})
		case unheard:
			lost[e.Id] = true
			fail(e.Id)
			real.Entries = append(real.Entries, e)
		default:
			real.Entries = append(real.Entries, e)
		}
	}
	out := newRecorder(w)
	if len(real.Entries) > 0 {
		text, err := json.Marshal(real)
		if err != nil {
			out.answer(http.StatusInternalServerError, internalFailure)
			return out
		}
		if out = s.pass(w, r, text); out.code != http.StatusOK {
			return out
		}
		var given struct {
			Successful []success
			Failed     []failure
		}
		decode(out.body.Bytes(), &given)
		answer.Failed = append(answer.Failed, given.Failed...)
		for _, e := range given.Successful {
			if !lost[e.Id] {
				answer.Successful = append(answer.Successful, e)
			}
		}
	}
	out.answer(http.StatusOK, answer)
	return out
}
