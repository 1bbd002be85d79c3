//go:build linux

package process_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/queuemill/queuemill/api/v1alpha1"
	"github.com/queuemill/queuemill/internal/executor"
	"github.com/queuemill/queuemill/internal/message"
	"github.com/queuemill/queuemill/internal/reason"
	"github.com/queuemill/queuemill/internal/record"
)

// run runs one job to its end and returns its record and output.
func (r *rig) run(job executor.Job) (record.Record, string) {
	r.t.Helper()
	r.create(job)
	rec := r.await(job.Name, finished)
	return rec, r.logs(job.Name, executor.LogOptions{})
}

func duration(d time.Duration) *metav1.Duration { return &metav1.Duration{Duration: d} }

func bytes(n int64) *resource.Quantity { return resource.NewQuantity(n, resource.BinarySI) }

// pids are the numbers in an output, one a line.
func pids(t *testing.T, out string) []int {
	t.Helper()
	var list []int
	for _, line := range strings.Fields(out) {
		pid, err := strconv.Atoi(line)
		if err != nil {
			t.Fatalf("output %q has no process number", out)
		}
		list = append(list, pid)
	}
	return list
}

// survival is how long a process may be there after what it belongs to has
// ended: it was killed by then, and has to be gone.
const survival = 2 * time.Second

// gone waits for a process to be gone, limit at most.
func gone(t *testing.T, pid int, limit time.Duration) {
	t.Helper()
	fd, err := unix.PidfdOpen(pid, 0)
	if err == unix.ESRCH {
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Close(fd) }()
	for deadline := time.Now().Add(limit); ; {
		wait := max(time.Until(deadline), 0)
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, int(wait.Milliseconds()))
		switch {
		case err == unix.EINTR:
		case err != nil:
			t.Fatal(err)
		case n > 0:
			return
		default:
			t.Errorf("process %d is still there after %s", pid, limit)
			return
		}
	}
}

func TestTimeoutKillsTheWholeGroupAfterTheGrace(t *testing.T) {
	r := newRig(t)
	s := shell(`trap '' TERM; sleep 1000 & echo $!; wait; wait`)
	s.Process.Timeout, s.Process.TerminationGracePeriod = duration(200*time.Millisecond), duration(100*time.Millisecond)
	rec, out := r.run(newJob("a", s))
	if rec.State != record.Failed || rec.Cause.Reason != reason.DeadlineExceeded || rec.Attempts[0].Signal != "SIGKILL" {
		t.Errorf("finished as %s, cause %+v, signal %q", rec.State, rec.Cause, rec.Attempts[0].Signal)
	}
	if !strings.Contains(rec.Cause.Detail, "200ms") {
		t.Errorf("detail %q does not name the timeout", rec.Cause.Detail)
	}
	if took := rec.Attempts[0].FinishedAt.Sub(rec.Attempts[0].StartedAt); took < 300*time.Millisecond {
		t.Errorf("ended after %s, before timeout and grace", took)
	}
	for _, pid := range pids(t, out) {
		gone(t, pid, survival)
	}
}

func TestAJobCanEndWithinTheGrace(t *testing.T) {
	r := newRig(t)
	s := shell(`trap 'echo bye; exit 7' TERM; sleep 1000 & wait`)
	s.Process.Timeout = duration(100 * time.Millisecond)
	rec, out := r.run(newJob("a", s))
	if rec.Cause == nil || rec.Cause.Reason != reason.DeadlineExceeded || *rec.Attempts[0].ExitCode != 7 || out != "bye\n" {
		t.Errorf("finished as %+v with output %q", rec, out)
	}
}

func TestATimeoutIsNoSuccessWhateverTheExitCode(t *testing.T) {
	r := newRig(t)
	s := shell(`trap 'exit 0' TERM; sleep 1000 & wait`)
	s.Process.Timeout = duration(100 * time.Millisecond)
	if rec, _ := r.run(newJob("a", s)); rec.State != record.Failed {
		t.Errorf("finished as %s", rec.State)
	}
}

func TestNothingIsLeftOfAJobWhenItEnds(t *testing.T) {
	scripts := map[string]string{
		"in its group":             `sleep 1000 & echo $!`,
		"in a session of its own":  `setsid sh -c 'echo $$; exec sleep 1000' & wait_for_line`,
		"orphaned twice":           `(setsid sh -c '(echo $$; setsid sleep 1000 & echo $!; wait)' &) ; wait_for_line`,
		"with its output closed":   `setsid sh -c 'echo $$; exec sleep 1000 >/dev/null 2>&1' & wait_for_line`,
		"ignoring all it can":      `setsid sh -c 'trap "" TERM INT HUP; echo $$; sleep 1000; sleep 1000' & wait_for_line`,
		"and it exits with a code": `setsid sh -c 'echo $$; exec sleep 1000' & wait_for_line; exit 3`,
	}
	for name, script := range scripts {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			// The main process ends once the other one has said its number.
			script = strings.ReplaceAll(script, "wait_for_line", `read -r line < ready`)
			script = "mkfifo ready; " + strings.ReplaceAll(script, "echo $$;", "echo $$; echo > ready;")
			started := time.Now()
			rec, out := r.run(newJob("a", shell(script)))
			if len(pids(t, out)) == 0 {
				t.Fatalf("output %q names no process", out)
			}
			for _, pid := range pids(t, out) {
				gone(t, pid, survival)
			}
			if took := time.Since(started); took > 900*time.Millisecond {
				t.Errorf("took %s", took)
			}
			if want := strings.Contains(script, "exit 3"); want != (rec.State == record.Failed) {
				t.Errorf("finished as %s", rec.State)
			}
		})
	}
}

func TestAHelperOfARunningJobLives(t *testing.T) {
	r := newRig(t)
	// The first job's orphan outlives another job's end.
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	s := shell(`mkfifo back; (setsid sh -c 'read -r x < "$FIFO"; echo "helped $x" > back' &); cat back`)
	s.Process.Env = []v1alpha1.EnvVar{{Name: "FIFO", Value: fifo}}
	r.create(newJob("a", s))
	r.await("a", func(rec record.Record) bool { return rec.State == record.Running })
	r.run(newJob("b", spec("true")))
	if err := os.WriteFile(fifo, []byte("it\n"), 0); err != nil {
		t.Fatal(err)
	}
	r.await("a", finished)
	if out := r.logs("a", executor.LogOptions{}); out != "helped it\n" {
		t.Errorf("output %q", out)
	}
}

func TestOutputOverTheLimitKeepsHeadAndTail(t *testing.T) {
	r := newRig(t)
	s := shell(`i=0; while [ $i -lt 2000 ]; do echo "line $i"; i=$((i+1)); done`)
	s.Process.LogLimit = bytes(1000)
	rec, out := r.run(newJob("a", s))
	var all strings.Builder
	for i := range 2000 {
		fmt.Fprintf(&all, "line %d\n", i)
	}
	want := all.String()
	if rec.Attempts[0].LogSize != int64(len(want)) {
		t.Errorf("log size %d, want %d", rec.Attempts[0].LogSize, len(want))
	}
	mark := fmt.Sprintf("\n[queuemill: %d bytes of output left out here]\n", len(want)-1000)
	if want := want[:500] + mark + want[len(want)-500:]; out != want {
		t.Errorf("output\n%q\nwant\n%q", out, want)
	}
}

func TestABinaryFloodIsKeptWithinTheLimit(t *testing.T) {
	r := newRig(t)
	s := shell(`head -c 30000000 /dev/zero | tr '\0' x; printf end`)
	s.Process.LogLimit = bytes(100_000)
	_, out := r.run(newJob("a", s))
	if len(out) > 100_100 || !strings.HasSuffix(out, "xend") || !strings.Contains(out, "[queuemill: 29900003 bytes") {
		t.Errorf("%d bytes of output, ending in %q", len(out), out[max(0, len(out)-20):])
	}
}

func TestAJobGetsNothingOfTheControllersEnvironment(t *testing.T) {
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	t.Setenv("TZ", "Europe/Paris")
	r := newRig(t)
	job := newJob("a", spec("env"))
	job.Env = []message.EnvVar{{Name: "TARGET", Value: "example.org"}}
	_, out := r.run(job)
	allowed := map[string]bool{"PATH": true, "HOME": true, "LANG": true, "TZ": true, "TMPDIR": true, "TARGET": true, "PWD": true}
	for line := range strings.Lines(out) {
		name, _, _ := strings.Cut(line, "=")
		if !allowed[name] && !strings.HasPrefix(name, "QUEUEMILL_") {
			t.Errorf("the job has %s", line)
		}
	}
	for _, want := range []string{"TZ=Europe/Paris\n", "TARGET=example.org\n", "QUEUEMILL_ATTEMPT=1\n", "QUEUEMILL_IDEMPOTENCY_KEY=a\n", "QUEUEMILL_MESSAGE_ID=m-a\n", "QUEUEMILL_QUEUEJOB=test\n"} {
		if !strings.Contains(out, want) {
			t.Errorf("the job lacks %q", want)
		}
	}
}

func TestHostileValuesStayValues(t *testing.T) {
	values := map[string]string{
		"a reference":    "$(DB_PASSWORD)",
		"doubled":        "$$(DB_PASSWORD) $$",
		"an option":      "-rf",
		"newlines":       "one\ntwo\n\n",
		"a command":      "`id`; $(id) && reboot #",
		"quotes":         `'"\`,
		"invalid UTF-8":  "\xff\xfe",
		"64 KiB":         strings.Repeat("x", 64<<10),
		"nothing at all": "",
	}
	for name, value := range values {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			s := spec("sh", "-c", `printf '%s|%s|%s' "$1" "$TARGET" "$COPY"`, "--", "$(TARGET)")
			s.Process.Env = []v1alpha1.EnvVar{{Name: "DB_PASSWORD", Value: "secret"}, {Name: "COPY", Value: "$(TARGET)"}}
			job := newJob("a", s)
			job.Env = []message.EnvVar{{Name: "TARGET", Value: value}}
			if _, out := r.run(job); out != value+"|"+value+"|"+value {
				t.Errorf("the job got %.200q", out)
			}
		})
	}
}

func TestTheTemplatesOwnVariablesWin(t *testing.T) {
	r := newRig(t)
	s := shell(`printf '%s' "$MODE $(env | grep -c ^MODE=)"`)
	s.Process.Env = []v1alpha1.EnvVar{{Name: "MODE", Value: "safe"}}
	job := newJob("a", s)
	job.Env = []message.EnvVar{{Name: "MODE", Value: "dangerous"}}
	if _, out := r.run(job); out != "safe 1" {
		t.Errorf("the job got %q", out)
	}
}

func TestTheMessageIsInAFileOfTheJobsOwn(t *testing.T) {
	r := newRig(t)
	job := newJob("a", shell(`cat "$QUEUEMILL_MESSAGE_FILE"; cat; stat -c ' %a %a' "$QUEUEMILL_MESSAGE_FILE" "$QUEUEMILL_ATTRIBUTES_FILE" . | tr -d '\n'; cat "$QUEUEMILL_ATTRIBUTES_FILE"`))
	job.Payload = strings.Repeat("payload ", 1<<17)
	_, out := r.run(job)
	if want := job.Payload + " 600 600 600 600 700 700{}"; out != want {
		t.Errorf("%d bytes, ending in %q", len(out), out[max(0, len(out)-60):])
	}
}

func TestScratchDirectoriesAreCleanAndInTheEndGone(t *testing.T) {
	leave := []string{
		`true`, `echo x > left`, `mkdir -p deep/er; chmod 000 deep`, `chmod 500 .`, `rm message`, `ln message other`,
		`rm message; ln -s /etc/passwd message`, `chmod 444 message`, `mkfifo message2`, `touch x; rm x`, `rm -r "$PWD"`,
		`rm message; mkfifo message`, `echo '{"a":1}' > attributes.json`, `echo longer than the next one >> message`,
	}
	r := newRig(t)
	for i, script := range leave {
		r.run(newJob(fmt.Sprintf("dirty-%d", i), shell(script)))
		_, out := r.run(newJob(fmt.Sprintf("next-%d", i), shell(`ls -A; cat message attributes.json; echo`)))
		if want := fmt.Sprintf("attributes.json\nmessage\nbody of next-%d{}\n", i); out != want {
			t.Errorf("after %q the next job found %q", script, out)
		}
	}
	if passwd, err := os.ReadFile("/etc/passwd"); err != nil || strings.Contains(string(passwd), "body of") {
		t.Errorf("a job's link was followed (%v)", err)
	}
	r.close()
	left, err := os.ReadDir(filepath.Join(r.dir, "jobs", "scratch"))
	if err != nil || len(left) > 0 {
		t.Errorf("%d scratch directories are left (%v)", len(left), err)
	}
}

func TestStartErrorsSayWhatAndWhere(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	inDir := func(s *v1alpha1.QueueJobSpec, dir string) *v1alpha1.QueueJobSpec {
		s.Process.WorkingDir = dir
		return s
	}
	tests := map[string]struct {
		spec *v1alpha1.QueueJobSpec
		want string
	}{
		"no such program":       {spec("no-such-program"), "start no-such-program: no such program in PATH ("},
		"no such path":          {spec(dir + "/none"), "/none: no such file or directory"},
		"not executable":        {spec(file("plain", "#!/bin/sh\n", 0o600)), "/plain: permission denied"},
		"a directory":           {spec(dir), "permission denied"},
		"neither program":       {spec(file("text", "hello", 0o700)), "neither a program of this machine nor a script"},
		"no such interpreter":   {spec(file("script", "#!/no/such/shell\n", 0o700)), "its interpreter"},
		"no working directory":  {inDir(spec("true"), dir+"/none"), "working directory " + dir + "/none: no such file or directory"},
		"working in a file":     {inDir(spec("true"), file("f", "", 0o600)), "/f: not a directory"},
		"too large an argument": {spec("true", strings.Repeat("x", 200<<10)), "larger than the system takes"},
		"NUL in an argument":    {spec("true", "a\x00b"), "argument 1 holds a NUL byte"},
		"an empty command":      {spec(""), "the command is empty"},
	}
	r := newRig(t)
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			name := strings.ReplaceAll(name, " ", "-")
			rec, out := r.run(newJob(name, test.spec))
			if rec.State != record.Failed || rec.Cause.Reason != reason.StartError || !strings.Contains(rec.Cause.Detail, test.want) {
				t.Errorf("finished as %s, cause %+v, want detail with %q", rec.State, rec.Cause, test.want)
			}
			a := rec.Attempts[0]
			if out != "" || a.ExitCode != nil || a.StartedAt.IsZero() || a.FinishedAt.IsZero() {
				t.Errorf("attempt %+v with output %q", a, out)
			}
		})
	}
}

func TestFailedAttemptsAreRetried(t *testing.T) {
	r := newRig(t)
	s := shell(`echo "attempt $QUEUEMILL_ATTEMPT"; [ "$QUEUEMILL_ATTEMPT" = 3 ]`)
	s.Process.Retries, s.Process.RetryBackoff = 2, duration(40*time.Millisecond)
	rec, _ := r.run(newJob("a", s))
	if rec.State != record.Succeeded || len(rec.Attempts) != 3 || rec.Cause != nil {
		t.Fatalf("finished as %+v", rec)
	}
	for i, a := range rec.Attempts {
		if got, want := r.logs("a", executor.LogOptions{Attempt: i + 1}), fmt.Sprintf("attempt %d\n", i+1); got != want {
			t.Errorf("output %q, want %q", got, want)
		}
		if (a.Cause == nil) != (i == 2) {
			t.Errorf("attempt %d has cause %+v", i+1, a.Cause)
		}
	}
	for i, wait := range []time.Duration{40 * time.Millisecond, 80 * time.Millisecond} {
		if waited := rec.Attempts[i+1].StartedAt.Sub(rec.Attempts[i].FinishedAt); waited < wait {
			t.Errorf("retry %d came after %s, want %s at least", i+1, waited, wait)
		}
	}
}

func TestAPersonsRetryHasItsOwnAutomaticOnes(t *testing.T) {
	r := newRig(t)
	s := shell(`exit 1`)
	s.Process.Retries, s.Process.RetryBackoff = 1, duration(time.Millisecond)
	job := newJob("a", s)
	if rec, _ := r.run(job); rec.State != record.Failed || len(rec.Attempts) != 2 || rec.Cause == nil {
		t.Fatalf("finished as %+v", rec)
	}
	job.Attempt = 3
	r.create(job)
	if rec := r.await("a", finished); len(rec.Attempts) != 4 || rec.State != record.Failed {
		t.Errorf("retried, finished as %+v", rec)
	}
}

func TestASignalIsNamed(t *testing.T) {
	r := newRig(t)
	rec, _ := r.run(newJob("a", shell(`kill -s USR1 $$`)))
	a := rec.Attempts[0]
	if rec.Cause.Reason != reason.Signal || a.Signal != "SIGUSR1" || a.ExitCode != nil || rec.Cause.Detail != "ended by SIGUSR1" {
		t.Errorf("finished as %+v", rec)
	}
}

func TestPeakMemoryIsRecorded(t *testing.T) {
	r := newRig(t)
	rec, _ := r.run(newJob("a", shell(`head -c 200000000 /dev/zero | tail -c 200000000 > /dev/null`)))
	if got := rec.Attempts[0].PeakMemory; got < 200_000_000 || got > 400_000_000 {
		t.Errorf("peak memory %d", got)
	}
	rec, _ = r.run(newJob("b", spec("true")))
	if got := rec.Attempts[0].PeakMemory; got > 20_000_000 {
		t.Errorf("peak memory of true is %d", got)
	}
}

func TestAFollowerOfAFastWriterHearsOfWhatItMissed(t *testing.T) {
	r := newRig(t)
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	s := shell(`echo first; read -r x < "$FIFO"; i=0; while [ $i -lt 500 ]; do echo "line $i"; i=$((i+1)); done; echo last`)
	s.Process.Env = []v1alpha1.EnvVar{{Name: "FIFO", Value: fifo}}
	s.Process.LogLimit = bytes(200)
	r.create(newJob("a", s))
	log, err := r.Logs(t.Context(), "a", executor.LogOptions{Follow: true})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = log.Close() }()
	buf := make([]byte, 6)
	if n, err := log.Read(buf); err != nil || string(buf[:n]) != "first\n" {
		t.Fatalf("read %q, %v", buf[:n], err)
	}
	if err := os.WriteFile(fifo, []byte("go\n"), 0); err != nil {
		t.Fatal(err)
	}
	r.await("a", finished)
	rest := make([]byte, 0, 1<<16)
	for {
		n, err := log.Read(rest[len(rest):cap(rest)])
		rest = rest[:len(rest)+n]
		if err != nil {
			break
		}
	}
	if out := string(rest); !strings.Contains(out, "bytes of output left out here") || !strings.HasSuffix(out, "line 499\nlast\n") {
		t.Errorf("followed %q", out)
	}
}
