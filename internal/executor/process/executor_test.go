package process_test

import (
	"io"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/queuemill/queuemill/api/v1alpha1"
	"github.com/queuemill/queuemill/internal/executor"
	"github.com/queuemill/queuemill/internal/executor/executortest"
	"github.com/queuemill/queuemill/internal/executor/process"
	"github.com/queuemill/queuemill/internal/record"
	"github.com/queuemill/queuemill/internal/store"
)

// rig is a store with an executor in a directory of its own.
type rig struct {
	*process.Executor
	t   *testing.T
	dir string
	fs  vfs.FS // of the store; nil: the disk
	db  *store.DB
}

func newRig(t *testing.T) *rig {
	r := &rig{t: t, dir: t.TempDir()}
	r.open()
	t.Cleanup(r.close)
	return r
}

func (r *rig) open() {
	r.t.Helper()
	log := slog.New(slog.NewTextHandler(testWriter{r.t}, nil))
	db, err := store.Open(r.dir, store.Options{Logger: log, FS: r.fs})
	if err != nil {
		r.t.Fatal(err)
	}
	e, err := process.Open(r.t.Context(), process.Options{DB: db, Dir: filepath.Join(r.dir, "jobs"), Logger: log})
	if err != nil {
		r.t.Fatal(err)
	}
	r.db, r.Executor = db, e
}

func (r *rig) close() {
	r.t.Helper()
	if r.Executor == nil {
		return
	}
	if err := r.Executor.Close(); err != nil {
		r.t.Error(err)
	}
	if err := r.db.Close(); err != nil {
		r.t.Error(err)
	}
	r.Executor = nil
}

type testWriter struct{ t *testing.T }

func (w testWriter) Write(p []byte) (int, error) {
	w.t.Logf("%s", p)
	return len(p), nil
}

// spec is a template that runs command.
func spec(command ...string) *v1alpha1.QueueJobSpec {
	return &v1alpha1.QueueJobSpec{Process: &v1alpha1.ProcessTemplate{Command: command}}
}

// shell is a template that runs a script. $$ is doubled, since expansion halves it.
func shell(script string) *v1alpha1.QueueJobSpec {
	return spec("sh", "-c", strings.ReplaceAll(script, "$$", "$$$$"))
}

func newJob(name string, s *v1alpha1.QueueJobSpec) executor.Job {
	return executor.Job{
		Name: name, Attempt: 1, QueueJob: "test", Identity: name, IdempotencyKey: name,
		Message: record.Message{ID: "m-" + name, Body: "body of " + name}, Payload: "body of " + name, Spec: s,
	}
}

func (r *rig) create(job executor.Job) record.Record {
	r.t.Helper()
	rec, err := r.Create(r.t.Context(), job)
	if err != nil {
		r.t.Fatal(err)
	}
	return rec
}

// await waits until the record is as wanted.
func (r *rig) await(name string, want func(record.Record) bool) record.Record {
	r.t.Helper()
	rec, err := executortest.Await(r.t.Context(), r, name, want)
	if err != nil {
		r.t.Fatal(err)
	}
	return rec
}

func finished(rec record.Record) bool { return rec.State.Finished() }

func (r *rig) logs(name string, o executor.LogOptions) string {
	r.t.Helper()
	log, err := r.Logs(r.t.Context(), name, o)
	if err != nil {
		r.t.Fatal(err)
	}
	defer func() { _ = log.Close() }()
	out, err := io.ReadAll(log)
	if err != nil {
		r.t.Fatal(err)
	}
	return string(out)
}

func TestAJobRunsItsCommandAndKeepsTheOutput(t *testing.T) {
	r := newRig(t)
	r.create(newJob("a", shell(`cat "$QUEUEMILL_MESSAGE_FILE"; echo " to stderr" >&2`)))
	rec := r.await("a", finished)
	if rec.State != record.Succeeded || len(rec.Attempts) != 1 || *rec.Attempts[0].ExitCode != 0 {
		t.Fatalf("got %+v", rec)
	}
	if got, want := r.logs("a", executor.LogOptions{}), "body of a to stderr\n"; got != want {
		t.Fatalf("output %q, want %q", got, want)
	}
}
