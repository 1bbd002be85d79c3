//go:build linux

package process_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/queuemill/queuemill/api/v1alpha1"
	"github.com/queuemill/queuemill/internal/executor"
	"github.com/queuemill/queuemill/internal/executor/process"
	"github.com/queuemill/queuemill/internal/reason"
	"github.com/queuemill/queuemill/internal/record"
	"github.com/queuemill/queuemill/internal/store"
)

const (
	crashJobs  = 300
	crashKills = 25
	crashEnv   = "QUEUEMILL_TEST_CRASH_DIR"
)

func init() {
	asController = func() {
		dir := os.Getenv(crashEnv)
		if dir == "" {
			return
		}
		if err := crashMain(dir); err != nil {
			fmt.Fprintln(os.Stderr, "controller:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
}

// crashJob appends its name, its attempt and a grandchild's number to a file
// outside, takes a moment, and ends as its name says. The grandchild is in a
// session of its own and would stay for long.
func crashJob(dir string, n int) executor.Job {
	s := shell(`setsid sleep 1000 & echo "$QUEUEMILL_IDEMPOTENCY_KEY $QUEUEMILL_ATTEMPT $!" >> "$OUT"; sleep "$MOMENT"; exit "$CODE"`)
	s.Process.Env = []v1alpha1.EnvVar{
		{Name: "OUT", Value: filepath.Join(dir, "starts")},
		{Name: "MOMENT", Value: fmt.Sprintf("0.%03d", n%7*10)},
		{Name: "CODE", Value: strconv.Itoa(n % 3)},
	}
	return newJob(fmt.Sprintf("job-%d", n), s)
}

// crashMain is the controller that is killed: it creates all jobs, of which
// some are there from its earlier lives, and ends when all have finished.
// Where there is a FIFO it creates one job alone, which ends when told so there.
func crashMain(dir string) error {
	db, err := store.Open(filepath.Join(dir, "data"), store.Options{})
	if err != nil {
		return err
	}
	ctx := context.Background()
	e, err := process.Open(ctx, process.Options{DB: db, Dir: filepath.Join(dir, "data", "jobs")})
	if err != nil {
		return err
	}
	if fifo := filepath.Join(dir, "fifo"); exists(fifo) {
		s := shell(`echo $$ > "$FIFO"; read -r x < "$FIFO"`)
		s.Process.Env = []v1alpha1.EnvVar{{Name: "FIFO", Value: fifo}}
		if _, err := e.Create(ctx, newJob("a", s)); err != nil {
			return err
		}
		_, err := awaitEnd(ctx, e, "a")
		return err
	}
	room := make(chan struct{}, 8)
	var wg sync.WaitGroup
	errs := make([]error, crashJobs)
	for n := range crashJobs {
		room <- struct{}{}
		wg.Go(func() {
			defer func() { <-room }()
			job := crashJob(dir, n)
			_, err := e.Create(ctx, job)
			var exists *executor.ExistsError
			if errors.As(err, &exists) {
				err = nil
			}
			if err == nil {
				_, err = awaitEnd(ctx, e, job.Name)
			}
			errs[n] = err
		})
	}
	wg.Wait()
	return errors.Join(errors.Join(errs...), e.Close(), db.Close())
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// awaitEnd waits for a record to be finished, however long that takes.
func awaitEnd(ctx context.Context, e *process.Executor, name string) (rec record.Record, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	see := func(r record.Record) {
		if r.Name == name && r.State.Finished() {
			rec = r
			cancel()
		}
	}
	err = e.Watch(ctx, "", func() {
		if r, err := e.Get(ctx, name); err == nil {
			see(r)
		}
	}, func(event executor.Event) { see(event.Record) })
	if rec.State.Finished() {
		return rec, nil
	}
	return rec, err
}

// TestKilledControllers kills the controller at random moments until its jobs
// are done all the same. By the file outside nothing was started twice under
// one number, and nothing again that had ended.
func TestKilledControllers(t *testing.T) {
	dir := t.TempDir()
	kills := 0
	for done := false; !done; {
		cmd := startController(t, dir)
		ended := make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		after := time.Duration(-1)
		if kills < crashKills {
			after = time.Duration(rand.IntN(300)) * time.Millisecond
		}
		done = crashOne(t, cmd.Process.Pid, after, ended)
		if !done {
			kills++
			noneLeft(t, dir)
		}
	}
	t.Logf("killed %d times", kills)
	checkCrashed(t, dir)
}

func startController(t *testing.T, dir string) *exec.Cmd {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program)
	cmd.Env = append(os.Environ(), crashEnv+"="+dir)
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd
}

// A job that ends while its controller can't take note of it, and never will,
// is not run again: the journal knows.
func TestAnEndThatNoControllerSawCounts(t *testing.T) {
	r := &rig{t: t, dir: filepath.Join(t.TempDir(), "data")}
	fifo := filepath.Join(filepath.Dir(r.dir), "fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := startController(t, filepath.Dir(r.dir))
	line, err := os.ReadFile(fifo)
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Process.Signal(unix.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(fifo, []byte("end\n"), 0); err != nil {
		t.Fatal(err)
	}
	gone(t, pids(t, string(line))[0], 5*time.Second)
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // killed
	r.open()
	defer r.close()
	if rec := r.await("a", finished); rec.State != record.Succeeded || len(rec.Attempts) != 1 || rec.Attempts[0].ExitCode == nil {
		t.Errorf("finished as %+v", rec)
	}
}

// crashOne lets a controller live for a while and tells whether it had done all
// its work.
func crashOne(t *testing.T, pid int, after time.Duration, ended <-chan error) bool {
	t.Helper()
	var due <-chan time.Time
	if after >= 0 {
		due = time.After(after)
	}
	select {
	case err := <-ended:
		if err != nil {
			t.Fatal(err)
		}
		return true
	case <-time.After(time.Minute):
		_ = unix.Kill(pid, unix.SIGKILL)
		t.Fatal("the controller did not get done within a minute")
	case <-due:
	}
	if err := unix.Kill(pid, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-ended
	return false
}

// starts are the lines of the file outside.
func starts(t *testing.T, dir string) [][]string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, "starts"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	var list [][]string
	for line := range strings.Lines(string(data)) {
		list = append(list, strings.Fields(line))
	}
	return list
}

// noneLeft checks that of a killed controller's jobs nothing is left in time.
func noneLeft(t *testing.T, dir string) {
	t.Helper()
	deadline := time.Now().Add(2 * time.Second)
	for _, start := range starts(t, dir) {
		pid, err := strconv.Atoi(start[2])
		if err != nil {
			t.Fatal(err)
		}
		cmdline, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		if err != nil || !strings.HasPrefix(string(cmdline), "sleep\x001000") {
			continue // gone, or another's number by now
		}
		gone(t, pid, max(time.Until(deadline), 0))
	}
}

func checkCrashed(t *testing.T, dir string) {
	t.Helper()
	db, err := store.Open(filepath.Join(dir, "data"), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	type attempt struct {
		name   string
		number int
	}
	started := make(map[attempt]int)
	for _, start := range starts(t, dir) {
		n, err := strconv.Atoi(start[1])
		if err != nil {
			t.Fatal(err)
		}
		started[attempt{start[0], n}]++
	}
	records, attempts := 0, 0
	err = record.NewStore(db).Load(func(s record.Saved) error {
		records++
		checkRecord(t, s.Record)
		for _, a := range s.Attempts {
			attempts++
			key := attempt{s.Name, a.Number}
			if started[key] > 1 {
				t.Errorf("%s was started %d times as attempt %d", s.Name, started[key], a.Number)
			}
			if ran := a.Cause == nil || a.Cause.Reason != reason.Interrupted; ran && started[key] == 0 {
				t.Errorf("attempt %d of %s ended with %+v and never ran", a.Number, s.Name, a.Cause)
			}
			delete(started, key)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for key, n := range started {
		t.Errorf("%s was started %d times as attempt %d, which its record does not have", key.name, n, key.number)
	}
	if records != crashJobs {
		t.Errorf("%d records, want %d", records, crashJobs)
	}
	t.Logf("%d attempts of %d jobs", attempts, records)
}

// checkRecord checks that all attempts but the last were interrupted, and that
// the last ended as the job does.
func checkRecord(t *testing.T, rec record.Record) {
	t.Helper()
	n, err := strconv.Atoi(strings.TrimPrefix(rec.Name, "job-"))
	if err != nil {
		t.Fatal(err)
	}
	want := record.Succeeded
	if n%3 != 0 {
		want = record.Failed
	}
	last := rec.Attempts[len(rec.Attempts)-1]
	if rec.State != want || last.ExitCode == nil || *last.ExitCode != n%3 {
		t.Errorf("%s ended as %s with %+v", rec.Name, rec.State, last)
	}
	for i, a := range rec.Attempts {
		if a.Number != i+1 {
			t.Errorf("%s has attempts %+v", rec.Name, rec.Attempts)
		}
		if i < len(rec.Attempts)-1 && (a.Cause == nil || a.Cause.Reason != reason.Interrupted) {
			t.Errorf("%s was started again after attempt %d had ended with %+v", rec.Name, a.Number, a.Cause)
		}
	}
}
