//go:build linux

package process_test

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/queuemill/queuemill/api/v1alpha1"
	"github.com/queuemill/queuemill/internal/executor"
	"github.com/queuemill/queuemill/internal/queue"
	"github.com/queuemill/queuemill/internal/reason"
	"github.com/queuemill/queuemill/internal/record"
)

// once is a job whose first attempt says that it runs and then waits for long;
// later ones end at once.
func once() *v1alpha1.QueueJobSpec {
	return shell(`[ "$QUEUEMILL_ATTEMPT" = 1 ] || exit 0; setsid sleep 1000 & echo "$$ $!"; wait`)
}

func (r *rig) awaitOutput(name string, attempt int) string {
	r.t.Helper()
	log, err := r.Logs(r.t.Context(), name, executor.LogOptions{Attempt: attempt, Follow: true})
	if err != nil {
		r.t.Fatal(err)
	}
	defer func() { _ = log.Close() }()
	var out []byte
	buf := make([]byte, 100)
	for !strings.HasSuffix(string(out), "\n") {
		n, err := log.Read(buf)
		if err != nil {
			r.t.Fatalf("output %q, then %v", out, err)
		}
		out = append(out, buf[:n]...)
	}
	return string(out)
}

func interrupted(t *testing.T, rec record.Record) {
	t.Helper()
	if rec.State != record.Succeeded || len(rec.Attempts) != 2 {
		t.Fatalf("finished as %+v", rec)
	}
	first, second := rec.Attempts[0], rec.Attempts[1]
	if first.Cause == nil || first.Cause.Reason != reason.Interrupted || !strings.Contains(first.Cause.Detail, "run again as attempt 2") {
		t.Errorf("attempt 1 ended with %+v", first.Cause)
	}
	if first.StartedAt.IsZero() || first.FinishedAt.Before(first.StartedAt) || second.StartedAt.Before(first.FinishedAt) {
		t.Errorf("attempt 1 was from %s to %s, attempt 2 started %s", first.StartedAt, first.FinishedAt, second.StartedAt)
	}
}

func TestStoppedJobsRunAgainAsTheNextAttempt(t *testing.T) {
	r := newRig(t)
	r.create(newJob("a", once()))
	running := pids(t, r.awaitOutput("a", 1))
	if err := r.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, pid := range running {
		gone(t, pid, survival)
	}
	rec, err := r.Get(t.Context(), "a")
	if err != nil || rec.State != record.Queued || rec.LastAttempt() != 1 {
		t.Errorf("stopped as %+v (%v)", rec, err)
	}
	if _, err := r.Create(t.Context(), newJob("b", once())); err == nil {
		t.Error("a job was created after the stop")
	}
	r.close()
	r.open()
	interrupted(t, r.await("a", finished))
	if out := r.logs("a", executor.LogOptions{Attempt: 1}); len(pids(t, out)) != 2 {
		t.Errorf("output of the interrupted attempt is %q", out)
	}
}

func TestStopKillsAfterTheGrace(t *testing.T) {
	r := newRig(t)
	s := shell(`trap '' TERM; echo $$; sleep 1000; sleep 1000`)
	s.Process.TerminationGracePeriod = duration(50 * time.Millisecond)
	r.create(newJob("a", s))
	running := pids(t, r.awaitOutput("a", 1))
	if err := r.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	gone(t, running[0], survival)
}

func TestStopGivesUpWithItsContextAndCloseEndsTheRest(t *testing.T) {
	r := newRig(t)
	r.create(newJob("a", shell(`trap '' TERM; echo $$; sleep 1000; sleep 1000`)))
	running := pids(t, r.awaitOutput("a", 1))
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := r.Stop(ctx); err == nil {
		t.Error("stopped what does not stop")
	}
	r.close()
	gone(t, running[0], survival)
}

func TestJobsOfAClosedExecutorRunAgain(t *testing.T) {
	r := newRig(t)
	r.create(newJob("a", once()))
	running := pids(t, r.awaitOutput("a", 1))
	r.close()
	for _, pid := range running {
		gone(t, pid, survival)
	}
	r.open()
	interrupted(t, r.await("a", finished))
}

func TestFinishedJobsAreNotRunAgain(t *testing.T) {
	r := newRig(t)
	outside := filepath.Join(t.TempDir(), "starts")
	s := shell(`echo "$QUEUEMILL_IDEMPOTENCY_KEY" >> "$OUT"; [ "$QUEUEMILL_IDEMPOTENCY_KEY" = good ]`)
	s.Process.Env = []v1alpha1.EnvVar{{Name: "OUT", Value: outside}}
	for _, name := range []string{"good", "bad"} {
		r.run(newJob(name, s))
	}
	before, err := r.List(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	r.close()
	r.open()
	after, err := r.List(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	for i := range before {
		b, a := before[i], after[i]
		if a.Name != b.Name || a.UID != b.UID || a.State != b.State || len(a.Attempts) != 1 || !a.FinishedAt.Equal(b.FinishedAt) {
			t.Errorf("became %+v, was %+v", a, b)
		}
	}
	if starts, err := os.ReadFile(outside); err != nil || string(starts) != "good\nbad\n" {
		t.Errorf("started %q (%v)", starts, err)
	}
}

func TestEveryKindOfRecordSurvivesARestart(t *testing.T) {
	r := newRig(t)
	job := newJob("invalid", nil)
	job.Message.Receipt, job.Confidential = "receipt-1", true
	job.Invalid = &reason.Cause{Reason: reason.NotJSON, Detail: "no JSON"}
	created := r.create(job)
	receipt, yes := queue.Receipt("receipt-2"), true
	if _, err := r.Patch(t.Context(), "invalid", created.UID, executor.Patch{Receipt: &receipt, RetryRequested: &yes}); err != nil {
		t.Fatal(err)
	}
	r.close()
	r.open()
	rec, err := r.Get(t.Context(), "invalid")
	if err != nil {
		t.Fatal(err)
	}
	if rec.State != record.Invalid || *rec.Cause != *job.Invalid || rec.Message.Receipt != receipt || !rec.RetryRequested || !rec.Confidential || rec.Message.Body != job.Message.Body {
		t.Errorf("became %+v", rec)
	}
}

func TestARetrysWaitGoesOnAfterARestart(t *testing.T) {
	r := newRig(t)
	s := shell(`[ "$QUEUEMILL_ATTEMPT" = 2 ]`)
	s.Process.Retries, s.Process.RetryBackoff = 1, duration(500*time.Millisecond)
	r.create(newJob("a", s))
	r.await("a", func(rec record.Record) bool { return rec.State == record.Queued && rec.AttemptEnded() })
	r.close()
	r.open()
	rec := r.await("a", finished)
	if rec.State != record.Succeeded || len(rec.Attempts) != 2 {
		t.Fatalf("finished as %+v", rec)
	}
	if waited := rec.Attempts[1].StartedAt.Sub(rec.Attempts[0].FinishedAt); waited < 500*time.Millisecond {
		t.Errorf("the retry came after %s", waited)
	}
}

func TestAKilledSupervisorIsReplacedAndItsJobsRunAgain(t *testing.T) {
	r := newRig(t)
	r.run(newJob("done", spec("true")))
	r.create(newJob("a", once()))
	running := pids(t, r.awaitOutput("a", 1))
	// The job's parent is the supervisor.
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(running[0]) + "/stat")
	if err != nil {
		t.Fatal(err)
	}
	parent, err := strconv.Atoi(strings.Fields(string(stat[strings.LastIndex(string(stat), ")")+1:]))[1])
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Kill(parent, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	interrupted(t, r.await("a", finished))
	for _, pid := range running {
		gone(t, pid, survival)
	}
	if rec := r.await("done", finished); len(rec.Attempts) != 1 || rec.State != record.Succeeded {
		t.Errorf("the finished job became %+v", rec)
	}
	if rec, _ := r.run(newJob("after", spec("true"))); rec.State != record.Succeeded {
		t.Errorf("a job of the new supervisor finished as %+v", rec)
	}
}

func TestAJobBeingDeletedIsGoneAfterARestart(t *testing.T) {
	r := newRig(t)
	r.create(newJob("a", shell(`trap '' TERM; echo $$; sleep 1000; sleep 1000`)))
	running := pids(t, r.awaitOutput("a", 1))
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := r.Delete(ctx, "a", ""); err == nil {
		t.Error("deleted what does not stop")
	}
	if _, err := r.Create(t.Context(), newJob("a", spec("true"))); err == nil {
		t.Error("created over a job that is being deleted")
	}
	r.close()
	r.open()
	gone(t, running[0], survival)
	if list, err := r.List(t.Context(), ""); err != nil || len(list) != 0 {
		t.Errorf("listed %+v (%v)", list, err)
	}
	r.close() // waits for what is removed
	logs, err := os.ReadDir(filepath.Join(r.dir, "jobs", "logs"))
	if err != nil || len(logs) > 0 {
		t.Errorf("its output is left: %v (%v)", logs, err)
	}
}
