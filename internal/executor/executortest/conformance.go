package executortest

import (
	"context"
	"errors"
	"io"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/queuemill/queuemill/api/v1alpha1"
	"github.com/queuemill/queuemill/internal/executor"
	"github.com/queuemill/queuemill/internal/message"
	"github.com/queuemill/queuemill/internal/reason"
	"github.com/queuemill/queuemill/internal/record"
)

// Subject is an executor with the optional abilities that all of ours have.
type Subject interface {
	executor.Executor
	executor.Getter
	executor.Patcher
}

// Rig is one executor under test, without records, and the hand on its jobs.
type Rig struct {
	Executor Subject

	// Spec is the template of jobs that run until Finish.
	Spec *v1alpha1.QueueJobSpec

	// Prepare, where set, is called before an attempt is created.
	Prepare func(t *testing.T, name string, attempt int)

	// Finish lets the running attempt write output and exit with code. It may
	// return before the record says so.
	Finish func(t *testing.T, name string, attempt, code int, output string)

	// NoLogSize: the engine does not tell how much an attempt has written.
	NoLogSize bool
}

// patience is how long the suite waits for what is to come.
const patience = 2 * time.Minute

// Run is the conformance suite. newRig is called for each test.
func Run(t *testing.T, newRig func(t *testing.T) Rig) {
	tests := map[string]func(*testing.T, *suite){
		"a job runs and succeeds":                              testSucceeds,
		"a job that exits with another code is Failed":         testFails,
		"the attempt that is there already is ExistsError":     testExists,
		"of many creates at once one wins":                     testConcurrentCreates,
		"a further attempt goes on the same record":            testFurtherAttempt,
		"a further attempt needs the one before":               testFurtherAttemptRefused,
		"an Invalid record starts nothing":                     testInvalid,
		"an Invalid record is read anew":                       testReplaceInvalid,
		"a list has the records of a QueueJob, without bodies": testList,
		"a watch tells every change in order":                  testWatch,
		"a patch changes the record of that UID":               testPatch,
		"a delete ends the job and removes the record":         testDelete,
		"a name is free after its delete":                      testDeleteThenCreate,
		"what is not there is ErrNotFound":                     testNotFound,
		"output is kept by attempt":                            testLogs,
		"output can be followed until the end":                 testFollow,
		"following ends with its context":                      testFollowCancelled,
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			test(t, &suite{Rig: newRig(t), t: t})
		})
	}
}

type suite struct {
	Rig
	t *testing.T
}

func (s *suite) job(name string) executor.Job {
	return executor.Job{
		Name: name, Attempt: 1, Namespace: "ns", QueueJob: "ping", Identity: "id-" + name, IdempotencyKey: name,
		Message: record.Message{
			ID: "m-" + name, Body: "body of " + name, Receipt: "receipt-1", GroupID: "tenant",
			Attributes: map[string]message.Attribute{"kind": {DataType: "String", StringValue: "test"}},
		},
		Payload: "body of " + name,
		Env:     []message.EnvVar{{Name: "QUEUEMILL_IDEMPOTENCY_KEY", Value: name}},
		Spec:    s.Spec,
	}
}

func (s *suite) create(job executor.Job) record.Record {
	s.t.Helper()
	rec, err := s.tryCreate(job)
	if err != nil {
		s.t.Fatalf("create: %v", err)
	}
	return rec
}

func (s *suite) tryCreate(job executor.Job) (record.Record, error) {
	if s.Prepare != nil && job.Invalid == nil {
		s.Prepare(s.t, job.Name, job.Attempt)
	}
	return s.Executor.Create(s.t.Context(), job)
}

// finish ends the running attempt and waits until the record says so.
func (s *suite) finish(name string, attempt, code int, output string) record.Record {
	s.t.Helper()
	s.running(name, attempt)
	s.Finish(s.t, name, attempt, code, output)
	return s.await(name, func(r record.Record) bool { return r.State.Finished() && r.LastAttempt() == attempt })
}

func (s *suite) running(name string, attempt int) record.Record {
	s.t.Helper()
	return s.await(name, func(r record.Record) bool { return r.State == record.Running && r.LastAttempt() == attempt })
}

func (s *suite) await(name string, want func(record.Record) bool) record.Record {
	s.t.Helper()
	rec, err := Await(s.t.Context(), s.Executor, name, want)
	if err != nil {
		s.t.Fatal(err)
	}
	return rec
}

func (s *suite) get(name string) record.Record {
	s.t.Helper()
	rec, err := s.Executor.Get(s.t.Context(), name)
	if err != nil {
		s.t.Fatalf("get: %v", err)
	}
	return rec
}

func (s *suite) output(name string, attempt int) string {
	s.t.Helper()
	log, err := s.Executor.Logs(s.t.Context(), name, executor.LogOptions{Attempt: attempt})
	if err != nil {
		s.t.Fatalf("logs: %v", err)
	}
	return s.readAll(log)
}

func (s *suite) readAll(log io.ReadCloser) string {
	s.t.Helper()
	out, err := io.ReadAll(log)
	if err := errors.Join(err, log.Close()); err != nil {
		s.t.Fatalf("read logs: %v", err)
	}
	return string(out)
}

func testSucceeds(t *testing.T, s *suite) {
	job := s.job("a")
	rec := s.create(job)
	if rec.UID == "" || rec.CreatedAt.IsZero() || rec.Identity != job.Identity || rec.QueueJob != "ping" || rec.Message.Size != len(job.Message.Body) {
		t.Errorf("created %+v", rec)
	}
	if rec.LastAttempt() != 1 || rec.State != record.Queued && rec.State != record.Running {
		t.Errorf("created in state %s with attempts %+v", rec.State, rec.Attempts)
	}
	s.running("a", 1)
	rec = s.finish("a", 1, 0, "")
	a := rec.Attempts[0]
	if rec.State != record.Succeeded || rec.Cause != nil || a.Cause != nil || a.ExitCode == nil || *a.ExitCode != 0 {
		t.Errorf("finished as %+v", rec)
	}
	if a.StartedAt.IsZero() || a.FinishedAt.Before(a.StartedAt) || !rec.FinishedAt.Equal(a.FinishedAt) || !rec.StartedAt.Equal(a.StartedAt) {
		t.Errorf("times of the record %s to %s, of the attempt %s to %s", rec.StartedAt, rec.FinishedAt, a.StartedAt, a.FinishedAt)
	}
	got := s.get("a")
	want := job.Message
	want.Size = len(want.Body)
	if diff := cmp.Diff(want, got.Message); diff != "" {
		t.Errorf("message kept (-want +got):\n%s", diff)
	}
}

func testFails(t *testing.T, s *suite) {
	s.create(s.job("a"))
	rec := s.finish("a", 1, 3, "")
	a := rec.Attempts[0]
	if rec.State != record.Failed || rec.Cause == nil || rec.Cause.Reason != reason.NonZeroExit || rec.Cause.Detail == "" {
		t.Errorf("finished as %s, cause %+v", rec.State, rec.Cause)
	}
	if a.ExitCode == nil || *a.ExitCode != 3 || a.Cause == nil {
		t.Errorf("attempt %+v", a)
	}
}

func testExists(t *testing.T, s *suite) {
	job := s.job("a")
	created := s.create(job)
	for _, state := range []string{"running", "finished"} {
		again := job
		again.Message.Body, again.Message.Receipt = "another body", "receipt-2"
		_, err := s.tryCreate(again)
		var exists *executor.ExistsError
		if !errors.As(err, &exists) {
			t.Fatalf("create of a job that is %s: %v, want ExistsError", state, err)
		}
		found := exists.Found
		if found.UID != created.UID || found.Message.Body != job.Message.Body || found.Message.Receipt != "receipt-1" || len(found.Message.Attributes) != 1 {
			t.Errorf("found %+v while %s", found, state)
		}
		if state == "running" {
			s.finish("a", 1, 0, "")
		}
	}
	if got := s.get("a"); len(got.Attempts) != 1 {
		t.Errorf("%d attempts, want 1", len(got.Attempts))
	}
}

func testConcurrentCreates(t *testing.T, s *suite) {
	job := s.job("a")
	if s.Prepare != nil {
		s.Prepare(t, "a", 1)
	}
	var wg sync.WaitGroup
	errs := make([]error, 16)
	for i := range errs {
		wg.Go(func() { _, errs[i] = s.Executor.Create(t.Context(), job) })
	}
	wg.Wait()
	won := 0
	for _, err := range errs {
		var exists *executor.ExistsError
		if err == nil {
			won++
		} else if !errors.As(err, &exists) {
			t.Errorf("create: %v", err)
		}
	}
	if won != 1 {
		t.Errorf("%d creates won, want 1", won)
	}
	if rec := s.finish("a", 1, 0, ""); len(rec.Attempts) != 1 {
		t.Errorf("attempts %+v, want one", rec.Attempts)
	}
}

func testFurtherAttempt(t *testing.T, s *suite) {
	job := s.job("a")
	created := s.create(job)
	s.finish("a", 1, 1, "")
	requested := true
	if _, err := s.Executor.Patch(t.Context(), "a", created.UID, executor.Patch{RetryRequested: &requested}); err != nil {
		t.Fatal(err)
	}
	job.Attempt, job.Message.Receipt = 2, "receipt-2"
	rec := s.create(job)
	if rec.UID != created.UID || !rec.CreatedAt.Equal(created.CreatedAt) || rec.LastAttempt() != 2 {
		t.Errorf("attempt 2 made %+v of %+v", rec, created)
	}
	if rec.RetryRequested || rec.Message.Receipt != "receipt-2" || rec.Cause != nil || !rec.FinishedAt.IsZero() {
		t.Errorf("attempt 2 has %+v", rec)
	}
	rec = s.finish("a", 2, 0, "")
	if rec.State != record.Succeeded || len(rec.Attempts) != 2 || rec.Attempts[0].Cause == nil || rec.Attempts[1].Cause != nil {
		t.Errorf("finished as %+v", rec)
	}
	if got := s.get("a"); got.Message.Body != job.Message.Body {
		t.Errorf("body after the retry %q", got.Message.Body)
	}
}

func testFurtherAttemptRefused(t *testing.T, s *suite) {
	job := s.job("a")
	job.Attempt = 2
	if _, err := s.tryCreate(job); !errors.Is(err, executor.ErrNotFound) {
		t.Errorf("attempt 2 without a record: %v, want ErrNotFound", err)
	}
	job.Attempt = 1
	s.create(job)
	s.running("a", 1)
	job.Attempt = 2
	var exists *executor.ExistsError
	if _, err := s.tryCreate(job); !errors.As(err, &exists) {
		t.Errorf("attempt 2 while 1 runs: %v, want ExistsError", err)
	}
	if rec := s.finish("a", 1, 0, ""); len(rec.Attempts) != 1 {
		t.Errorf("attempts %+v, want one", rec.Attempts)
	}
}

func testInvalid(t *testing.T, s *suite) {
	job := s.job("a")
	job.Invalid = &reason.Cause{Reason: reason.NotJSON, Detail: "no JSON"}
	rec := s.create(job)
	if rec.State != record.Invalid || rec.LastAttempt() != 0 || rec.Cause == nil || *rec.Cause != *job.Invalid || rec.FinishedAt.IsZero() {
		t.Errorf("created %+v", rec)
	}
	if got := s.get("a"); got.Message.Body != job.Message.Body {
		t.Errorf("body kept %q", got.Message.Body)
	}
	if _, err := s.Executor.Logs(t.Context(), "a", executor.LogOptions{}); !errors.Is(err, executor.ErrNotFound) {
		t.Errorf("logs: %v, want ErrNotFound", err)
	}
	job.Invalid = nil
	var exists *executor.ExistsError
	if _, err := s.tryCreate(job); !errors.As(err, &exists) {
		t.Errorf("create over an Invalid record: %v, want ExistsError", err)
	}
}

func testReplaceInvalid(t *testing.T, s *suite) {
	job := s.job("a")
	job.Invalid = &reason.Cause{Reason: reason.NotJSON, Detail: "no JSON"}
	s.create(job)
	job.ReplaceInvalid = true
	job.Invalid = &reason.Cause{Reason: reason.SchemaMismatch, Detail: "does not fit"}
	if rec := s.create(job); rec.State != record.Invalid || rec.Cause.Reason != reason.SchemaMismatch {
		t.Errorf("renewed as %+v", rec)
	}
	job.Invalid = nil
	s.create(job)
	rec := s.finish("a", 1, 0, "")
	if rec.State != record.Succeeded || len(rec.Attempts) != 1 || rec.Cause != nil {
		t.Errorf("finished as %+v", rec)
	}
	if list := s.list(""); len(list) != 1 {
		t.Errorf("%d records, want 1", len(list))
	}
}

func (s *suite) list(queueJob string) []record.Record {
	s.t.Helper()
	list, err := s.Executor.List(s.t.Context(), queueJob)
	if err != nil {
		s.t.Fatalf("list: %v", err)
	}
	slices.SortFunc(list, func(a, b record.Record) int {
		if a.Name < b.Name {
			return -1
		}
		return 1
	})
	return list
}

func testList(t *testing.T, s *suite) {
	for name, queueJob := range map[string]string{"a": "ping", "b": "ping", "c": "other"} {
		job := s.job(name)
		job.QueueJob = queueJob
		s.create(job)
	}
	if got := names(s.list("ping")); !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("listed %v, want a and b", got)
	}
	all := s.list("")
	if got := names(all); !slices.Equal(got, []string{"a", "b", "c"}) {
		t.Errorf("listed %v, want a, b and c", got)
	}
	for _, rec := range all {
		if rec.Message.Body != "" || rec.Message.Attributes != nil {
			t.Errorf("record %s is listed with its message", rec.Name)
		}
		if rec.Message.Size == 0 || rec.Message.Receipt != "receipt-1" {
			t.Errorf("record %s is listed with size %d and receipt %q", rec.Name, rec.Message.Size, rec.Message.Receipt)
		}
	}
}

func names(list []record.Record) []string {
	var names []string
	for _, rec := range list {
		names = append(names, rec.Name)
	}
	return names
}

func testWatch(t *testing.T, s *suite) {
	ctx, cancel := context.WithCancel(t.Context())
	ready := make(chan struct{})
	events := make(chan executor.Event, 100)
	ended := make(chan error, 1)
	go func() {
		ended <- s.Executor.Watch(ctx, "ping", func() { close(ready) }, func(e executor.Event) { events <- e })
	}()
	<-ready
	other := s.job("other")
	other.QueueJob = "other"
	s.create(other)
	created := s.create(s.job("a"))
	s.finish("a", 1, 0, "")
	if err := s.Executor.Delete(t.Context(), "a", created.UID); err != nil {
		t.Fatal(err)
	}
	rank := map[record.State]int{record.Queued: 0, record.Running: 1, record.Succeeded: 2}
	at := 0
	for {
		var e executor.Event
		select {
		case e = <-events:
		case <-time.After(patience):
			t.Fatal("the watch never told that the record was deleted")
		}
		if e.Record.Name != "a" {
			t.Errorf("told of %s, of another QueueJob", e.Record.Name)
		}
		if e.Record.Message.Body != "" || e.Record.LastAttempt() != 1 {
			t.Errorf("event has body %q and attempts %+v", e.Record.Message.Body, e.Record.Attempts)
		}
		if e.Deleted {
			break
		}
		if rank[e.Record.State] < at {
			t.Errorf("%s came late", e.Record.State)
		}
		at = rank[e.Record.State]
	}
	if at != rank[record.Succeeded] {
		t.Errorf("deleted before it was told to have succeeded")
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("watch ended with %v, want its context's error", err)
	}
}

func testNotFound(t *testing.T, s *suite) {
	ctx := t.Context()
	_, get := s.Executor.Get(ctx, "none")
	_, patch := s.Executor.Patch(ctx, "none", "", executor.Patch{})
	_, logs := s.Executor.Logs(ctx, "none", executor.LogOptions{})
	for what, err := range map[string]error{
		"get": get, "patch": patch, "logs": logs, "delete": s.Executor.Delete(ctx, "none", ""),
	} {
		if !errors.Is(err, executor.ErrNotFound) {
			t.Errorf("%s: %v, want ErrNotFound", what, err)
		}
	}
	s.create(s.job("a"))
	if _, err := s.Executor.Logs(ctx, "a", executor.LogOptions{Attempt: 2}); !errors.Is(err, executor.ErrNotFound) {
		t.Errorf("logs of attempt 2 of 1: %v, want ErrNotFound", err)
	}
}
