package process

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/queuemill/queuemill/api/v1alpha1"
	"github.com/queuemill/queuemill/internal/fleet"
)

const limit = 20 * time.Second

func poolOf(command ...string) *v1alpha1.WorkerPool {
	return &v1alpha1.WorkerPool{
		ObjectMeta: metav1.ObjectMeta{Name: "thumbnails"},
		Spec:       v1alpha1.WorkerPoolSpec{Process: &v1alpha1.WorkerProcess{Command: command}},
	}
}

// open opens a fleet of this test's own program; all of it is gone at the end.
func open(t *testing.T, dir string, more ...func(*Options)) *Fleet {
	t.Helper()
	o := Options{Dir: dir, QueueURL: "http://127.0.0.1:1/0/q"}
	for _, change := range more {
		change(&o)
	}
	f, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, w := range f.snapshot() {
			w.kill()
		}
		await(t, "the end of all workers", func() bool { return len(list(t, f)) == 0 })
	})
	return f
}

func start(t *testing.T, f *Fleet, n int, command ...string) {
	t.Helper()
	if err := f.Start(t.Context(), poolOf(command...), n); err != nil {
		t.Fatal(err)
	}
}

func list(t *testing.T, f *Fleet) []fleet.Worker {
	t.Helper()
	workers, err := f.List(t.Context())
	if err != nil && t.Context().Err() == nil {
		t.Fatal(err)
	}
	if err != nil { // at cleanup
		for _, w := range f.snapshot() {
			if f.alive(w) {
				workers = append(workers, fleet.Worker{Name: w.name})
			}
		}
	}
	return workers
}

func await(t *testing.T, what string, done func() bool) {
	t.Helper()
	deadline := time.After(limit)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("waited %v for %s", limit, what)
		}
	}
}

// awaitAll waits until n workers are there, all in that state, and returns them.
// Those that are held are let go for it.
func awaitAll(t *testing.T, f *Fleet, n int, state fleet.State) (workers []fleet.Worker) {
	t.Helper()
	await(t, fmt.Sprintf("%d workers that are %s", n, state), func() bool {
		workers = list(t, f)
		letGo(t, f, workers)
		return len(workers) == n && !slices.ContainsFunc(workers, func(w fleet.Worker) bool { return w.State != state })
	})
	return workers
}

func letGo(t *testing.T, f *Fleet, workers []fleet.Worker) {
	t.Helper()
	for _, w := range workers {
		if w.Held && w.Report != nil {
			if r, err := f.Drain(t.Context(), w, false); err != nil || r.Draining {
				t.Fatalf("let go %s: %+v, %v", w.Name, r, err)
			}
		}
	}
}

func release(t *testing.T, dir string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, "release"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestAWorkerLivesAndIsRemoved(t *testing.T) {
	dir := t.TempDir()
	f := open(t, dir)
	start(t, f, 3, "busy", "release")
	for _, w := range awaitAll(t, f, 3, fleet.Ready) {
		if !w.Busy() || w.Report.InHand != 1 || w.StartedAt.IsZero() || !strings.HasPrefix(w.Name, "thumbnails-") || w.Template == "" {
			t.Errorf("%+v", w)
		}
		if r, err := f.Drain(t.Context(), w, true); err != nil || r.Agreed() {
			t.Errorf("drained while busy: %+v, %v", r, err)
		}
	}
	workers := awaitAll(t, f, 3, fleet.Retiring)
	release(t, dir)
	for _, w := range workers {
		if r, err := f.Drain(t.Context(), w, true); err != nil || !r.Agreed() {
			t.Errorf("drained while idle: %+v, %v", r, err)
		}
	}
	if r, err := f.Drain(t.Context(), workers[0], false); err != nil || r.Draining {
		t.Errorf("wanted again: %+v, %v", r, err)
	}
	for _, w := range workers {
		if err := f.Remove(t.Context(), w); err != nil {
			t.Error(err)
		}
	}
	await(t, "their end", func() bool { return len(list(t, f)) == 0 })
	for _, w := range workers {
		if err := f.Remove(t.Context(), w); !errors.Is(err, fleet.ErrNotFound) {
			t.Errorf("removed twice: %v", err)
		}
		if _, err := f.Drain(t.Context(), w, true); !errors.Is(err, fleet.ErrNotFound) {
			t.Errorf("drained after its end: %v", err)
		}
	}
	await(t, "nothing but their output", func() bool {
		return len(glob(t, dir, "*")) == 4 && len(glob(t, dir, "*.log")) == 3 // and the file release
	})
}

func glob(t *testing.T, dir, pattern string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, pattern))
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func TestAnotherUIDIsNotMeant(t *testing.T) {
	f := open(t, t.TempDir())
	start(t, f, 1, "idle")
	w := awaitAll(t, f, 1, fleet.Ready)[0]
	other := w
	other.UID = "another"
	if err := f.Remove(t.Context(), other); !errors.Is(err, fleet.ErrNotFound) {
		t.Errorf("remove: %v", err)
	}
	if _, err := f.Drain(t.Context(), other, true); !errors.Is(err, fleet.ErrNotFound) {
		t.Errorf("drain: %v", err)
	}
	if now := list(t, f); len(now) != 1 || now[0].State != fleet.Ready {
		t.Errorf("%+v", now)
	}
}

func TestWorkersOutliveAKilledControllerAndAreFoundAgain(t *testing.T) {
	dir := t.TempDir()
	controller := exec.Command("/proc/self/exe", "controller", dir)
	out, err := controller.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := controller.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	controller.Process.Kill()
	controller.Wait()
	if err != nil || line != "started\n" {
		t.Fatalf("%q, %v", line, err)
	}

	f := open(t, dir, func(o *Options) { o.QueueURL = "" })
	await(t, "their answers", func() bool {
		return !slices.ContainsFunc(awaitAll(t, f, 2, fleet.Ready), func(w fleet.Worker) bool { return w.Report == nil || w.Report.InHand != 1 })
	})
	workers := list(t, f)
	if want := v1alpha1.WorkerTemplateHash(&poolOf("busy", "release").Spec); workers[0].Template != want {
		t.Errorf("template %q, want %q", workers[0].Template, want)
	}
	release(t, dir)
	for _, w := range workers {
		if r, err := f.Drain(t.Context(), w, true); err != nil || !r.Agreed() {
			t.Errorf("%+v, %v", r, err)
		}
		if err := f.Remove(t.Context(), w); err != nil {
			t.Error(err)
		}
	}
	await(t, "their end", func() bool { return len(list(t, f)) == 0 })
}

// edit changes the record of the one worker in dir.
func edit(t *testing.T, dir string, change func(*record)) {
	t.Helper()
	records, err := readRecords(dir, slog.New(slog.DiscardHandler))
	if err != nil || len(records) != 1 {
		t.Fatalf("%d records, %v", len(records), err)
	}
	change(&records[0])
	if err := records[0].save(dir); err != nil {
		t.Fatal(err)
	}
}

func TestAReusedPidIsNeverSignalled(t *testing.T) {
	dir := t.TempDir()
	first := open(t, dir)
	start(t, first, 1, "deaf")
	w := awaitAll(t, first, 1, fleet.Ready)[0]
	second := open(t, dir)

	bystander := exec.Command("sleep", "1000")
	if err := bystander.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- bystander.Wait() }()
	defer bystander.Process.Kill()

	edit(t, dir, func(r *record) { r.Pid = bystander.Process.Pid })
	third := open(t, dir)

	of(second, w.Name).rec.Pid = bystander.Process.Pid // changes hands under a fleet that has seen the worker
	for _, f := range []*Fleet{second, third} {
		for _, send := range []func() error{
			func() error { return of(f, w.Name).signal(syscall.SIGKILL) },
			func() error { return of(f, w.Name).end(dir) },
		} {
			if err := send(); !errors.Is(err, os.ErrProcessDone) {
				t.Errorf("signal: %v", err)
			}
		}
		if err := f.Remove(t.Context(), w); !errors.Is(err, fleet.ErrNotFound) {
			t.Errorf("remove: %v", err)
		}
	}
	select {
	case err := <-ended:
		t.Fatalf("the bystander ended: %v", err)
	default:
	}
	if len(list(t, third)) != 0 || len(glob(t, dir, "*.json")) != 0 {
		t.Error("the record of a worker that is gone stays")
	}
}

func TestAWorkerWhosePidWasNotWrittenDownIsFound(t *testing.T) {
	dir := t.TempDir()
	first := open(t, dir)
	start(t, first, 1, "idle")
	w := awaitAll(t, first, 1, fleet.Ready)[0]
	pid := of(first, w.Name).rec.Pid
	edit(t, dir, func(r *record) { r.Pid, r.Born = 0, "" })
	second := open(t, dir)
	if awaitAll(t, second, 1, fleet.Ready); of(second, w.Name).rec.Pid != pid {
		t.Errorf("found %d, want %d", of(second, w.Name).rec.Pid, pid)
	}
	if err := second.Remove(t.Context(), w); err != nil {
		t.Error(err)
	}
	await(t, "its end", func() bool { return len(list(t, second)) == 0 })
}

func TestARecordWithoutAProcessIsForgotten(t *testing.T) {
	dir := t.TempDir()
	for name, r := range map[string]record{
		"p-young": {Name: "p-young", ID: "x", StartedAt: time.Now()},
		"p-old":   {Name: "p-old", ID: "y", StartedAt: time.Now().Add(-appearLimit)},
		"p-dead":  {Name: "p-dead", ID: "z", Pid: 1 << 30, Born: "long ago", StartedAt: time.Now()},
		"p-never": {Name: "p-never", ID: "z", Pid: 1 << 30, StartedAt: time.Now()}, // it was dead when its pid was written down
	} {
		if err := r.save(dir); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "torn.json"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	f := open(t, dir)
	defer func() { of(f, "p-young").rec.StartedAt = time.Time{} }()
	// It may appear yet, and be busy.
	if workers := list(t, f); len(workers) != 1 || workers[0].Name != "p-young" || !workers[0].Busy() {
		t.Errorf("%+v", workers)
	}
	if left := glob(t, dir, "*.json"); len(left) != 1 {
		t.Errorf("left: %v", left)
	}
}

func TestNoAnswerIsBusy(t *testing.T) {
	f := open(t, t.TempDir())
	start(t, f, 1, "idle")
	w := awaitAll(t, f, 1, fleet.Ready)[0]
	p := of(f, w.Name)
	p.signal(syscall.SIGSTOP)
	defer p.signal(syscall.SIGCONT)
	await(t, "no answer", func() bool { // the signal takes its time
		now := list(t, f)
		return len(now) == 1 && now[0].State == fleet.Ready && now[0].Report == nil && now[0].Busy()
	})
}

func TestAnswersOfAnotherWorkerDoNotCount(t *testing.T) {
	f := open(t, t.TempDir())
	start(t, f, 1, "stranger")
	w := f.snapshot()[0]
	await(t, "its answer", func() bool {
		_, err := w.client.Report(t.Context())
		return err == nil
	})
	now := list(t, f)
	if len(now) != 1 || now[0].State != fleet.Starting || now[0].Report != nil {
		t.Errorf("%+v", now)
	}
	if r, err := f.Drain(t.Context(), now[0], true); err == nil || errors.Is(err, fleet.ErrNotFound) {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestWhyAWorkerIsNotReady(t *testing.T) {
	f := open(t, t.TempDir())
	start(t, f, 1, "unready")
	await(t, "what it waits for", func() bool {
		w := list(t, f)[0]
		return w.State == fleet.Starting && w.Trouble == "the server does not accept yet" && !w.Busy()
	})
	if err := f.Remove(t.Context(), list(t, f)[0]); err != nil {
		t.Error(err)
	}
	start(t, f, 1, "crash")
	await(t, "its end", func() bool { return len(list(t, f)) == 0 })
	start(t, f, 1, "mute")
	await(t, "what the last one died of", func() bool {
		w := list(t, f)[0]
		return strings.Contains(w.Trouble, "exit status 3: worker: nothing works here")
	})
}

func TestWatchTellsOfEveryChange(t *testing.T) {
	dir := t.TempDir()
	f := open(t, dir)
	news := make(chan struct{}, 100)
	var wg sync.WaitGroup
	defer wg.Wait()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	wg.Go(func() { f.Watch(ctx, func() { news <- struct{}{} }) })
	next := func(what string, done func() bool) {
		t.Helper()
		for deadline := time.After(limit); !done(); {
			select {
			case <-news:
			case <-deadline:
				t.Fatalf("waited %v to be told of %s", limit, what)
			}
		}
	}
	await(t, "the watch", func() bool { f.mu.Lock(); defer f.mu.Unlock(); return len(f.watchers) == 1 })
	start(t, f, 1, "idle")
	next("a start", func() bool { return len(f.snapshot()) == 1 })
	next("one that can be asked", func() bool { w := list(t, f)[0]; return w.Held && w.Report != nil })
	letGo(t, f, list(t, f))
	if w := list(t, f)[0]; w.State != fleet.Ready {
		t.Errorf("let go: %+v", w)
	}
	found := open(t, dir)
	wg.Go(func() { found.Watch(ctx, func() { news <- struct{}{} }) })
	next("readiness of one that was found", func() bool { return !found.snapshot()[0].starting() })
	next("the end of an own child, and of one that was found", func() bool {
		for _, w := range f.snapshot() {
			w.kill()
		}
		return len(f.snapshot()) == 0 && len(found.snapshot()) == 0
	})
}

func TestNothingOfTheControllersEnvironmentLeaks(t *testing.T) {
	t.Setenv("SECRET", "s3cret")
	t.Setenv("AWS_PROFILE", "mine")
	t.Setenv("QUEUEMILL_TOKEN", "s3cret")
	dir := t.TempDir()
	f := open(t, dir, func(o *Options) { o.Env = []string{"AWS_REGION=eu-west-1"} })
	pool := poolOf("environ")
	pool.Spec.Process.Env = []v1alpha1.EnvVar{{Name: "PASSWORD", Value: "of=the\ncommand"}}
	if err := f.Start(t.Context(), pool, 1); err != nil {
		t.Fatal(err)
	}
	w := awaitAll(t, f, 1, fleet.Ready)[0]
	text, err := os.ReadFile(f.logPath(w.Name))
	if err != nil {
		t.Fatal(err)
	}
	allowed := []string{"PATH", "HOME", "LANG", "TZ", "TMPDIR", "AWS_REGION", "QUEUEMILL_WORKER_TOKEN", "QUEUEMILL_WORKER_ID", "QUEUEMILL_WORKER_HELD", "PWD", "QUEUEMILL_WORKER_ENV_0"}
	for line := range strings.Lines(strings.ReplaceAll(string(text), "of=the\ncommand", "of=the command")) {
		if name, _, _ := strings.Cut(line, "="); !slices.Contains(allowed, name) {
			t.Errorf("%s", line)
		}
	}
	if !bytes.Contains(text, []byte("AWS_REGION=eu-west-1\n")) {
		t.Errorf("what the queue needs is missing:\n%s", text)
	}
	args, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", of(f, w.Name).rec.Pid))
	if token := of(f, w.Name).rec.Token; err != nil || bytes.Contains(args, []byte(token)) || bytes.Contains(args, []byte("PASSWORD")) {
		t.Errorf("the token, or what the command is given, is an argument: %q, %v", args, err)
	}
}

func TestTheFolderIsTheOwnersAlone(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "pools", "thumbnails")
	if err := os.MkdirAll(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	f := open(t, dir)
	start(t, f, 1, "idle")
	awaitAll(t, f, 1, fleet.Ready)
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s is %v", path, info.Mode())
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

func TestALongPathHasItsSocketsElsewhere(t *testing.T) {
	dir := filepath.Join(t.TempDir(), strings.Repeat("long/", 30))
	f := open(t, dir)
	start(t, f, 2, "idle")
	workers := awaitAll(t, f, 2, fleet.Ready)
	folder := filepath.Dir(of(f, workers[0].Name).rec.Socket)
	if info, err := os.Stat(folder); err != nil || info.Mode().Perm() != 0o700 || strings.HasPrefix(folder, dir) {
		t.Errorf("%s: %v %v", folder, info, err)
	}
	if again := open(t, dir); len(awaitAll(t, again, 2, fleet.Ready)) != 2 {
		t.Error("not found again")
	}
	if err := f.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(folder); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%s stays behind: %v", folder, err)
	}

	if err := os.MkdirAll(folder, 0o777); err != nil {
		t.Fatal(err)
	}
	defer os.Remove(folder)
	os.Chmod(folder, 0o777)
	if err := f.Start(t.Context(), poolOf("idle"), 1); !errors.Is(err, fleet.ErrUnavailable) || !strings.Contains(err.Error(), "not this user's alone") {
		t.Errorf("a folder open to all: %v", err)
	}
	if left := glob(t, dir, "*.json"); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestWorkersOfAnotherBinaryOrQueueAreOutdated(t *testing.T) {
	dir := t.TempDir()
	program := filepath.Join(t.TempDir(), "queuemill")
	install := func() {
		data, err := os.ReadFile("/proc/self/exe")
		if err == nil {
			err = os.WriteFile(program+".new", data, 0o755)
		}
		if err == nil {
			err = os.Rename(program+".new", program)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	install()
	with := func(change func(*Options)) func(*Options) {
		return func(o *Options) { o.Executable = program; change(o) }
	}
	same := with(func(*Options) {})
	f := open(t, dir, same)
	start(t, f, 1, "idle")
	want := v1alpha1.WorkerTemplateHash(&poolOf("idle").Spec)
	if got := awaitAll(t, f, 1, fleet.Ready)[0].Template; got != want {
		t.Errorf("template %q, want %q", got, want)
	}
	if got := list(t, open(t, dir, same))[0].Template; got != want {
		t.Errorf("after a restart: %q, want %q", got, want)
	}
	if got := list(t, open(t, dir, with(func(o *Options) { o.QueueURL = "http://127.0.0.1:2/0/q" })))[0].Template; got == want {
		t.Error("for another queue it is not outdated")
	}
	if got := list(t, open(t, dir, with(func(o *Options) { o.Env = []string{"AWS_REGION=x"} })))[0].Template; got == want {
		t.Error("with other credentials it is not outdated")
	}
	install()
	if got := list(t, open(t, dir, same))[0].Template; got == want {
		t.Error("after an upgrade it is not outdated")
	}
}

func TestNoWorkerCanBeStarted(t *testing.T) {
	dir := t.TempDir()
	program := filepath.Join(t.TempDir(), "queuemill")
	if err := os.WriteFile(program, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	f := open(t, dir, func(o *Options) { o.Executable = program })
	if err := f.Start(t.Context(), poolOf("idle"), 2); !errors.Is(err, fleet.ErrUnavailable) || !errors.Is(err, fs.ErrPermission) {
		t.Errorf("%v", err)
	}
	if left := glob(t, dir, "*"); len(left) != 0 || len(list(t, f)) != 0 {
		t.Errorf("left behind: %v", left)
	}
	if _, err := Open(Options{Dir: dir, Executable: program + ".gone"}); err == nil {
		t.Error("a program that is not there")
	}
}

func TestStopEndsAll(t *testing.T) {
	dir := t.TempDir()
	first := open(t, dir)
	start(t, first, 2, "idle")
	awaitAll(t, first, 2, fleet.Ready)
	f := open(t, dir)
	start(t, f, 2, "idle")
	awaitAll(t, f, 4, fleet.Ready)
	if err := f.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	if left := list(t, f); len(left) != 0 {
		t.Errorf("%+v", left)
	}
}

func TestStopKillsWhatDoesNotEnd(t *testing.T) {
	f := open(t, t.TempDir())
	start(t, f, 1, "deaf")
	w := awaitAll(t, f, 1, fleet.Ready)[0]
	if err := f.Remove(t.Context(), w); err != nil {
		t.Fatal(err)
	}
	if now := awaitAll(t, f, 1, fleet.Ending); now[0].Busy() {
		t.Errorf("%+v", now)
	}
	p := of(f, w.Name)
	p.rec.EndingAt = time.Now().Add(-p.rec.DrainTimeout - endSlack)
	if err := f.Stop(t.Context()); err != nil { // by its own deadline
		t.Error(err)
	}
	start(t, f, 1, "deaf")
	awaitAll(t, f, 1, fleet.Ready)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := f.Stop(ctx); err == nil || !strings.Contains(err.Error(), "1 workers had not ended") {
		t.Errorf("by the caller's deadline: %v", err)
	}
	if left := list(t, f); len(left) != 0 {
		t.Errorf("%+v", left)
	}
}

func TestOutputIsCutAndKept(t *testing.T) {
	dir := t.TempDir()
	f := open(t, dir)
	start(t, f, 1, "print", "hello")
	w := awaitAll(t, f, 1, fleet.Ready)[0]
	path := f.logPath(w.Name)
	out, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	if text, err := os.ReadFile(path); err != nil || string(text) != "hello\n" {
		t.Errorf("%q, %v", text, err)
	}
	out.Write(bytes.Repeat([]byte("0123456\n"), outputLimit/8))
	list(t, f)
	out.WriteString("more\n")
	if text, err := os.ReadFile(path); err != nil || string(text) != "more\n" {
		t.Errorf("after the cut: %d bytes, %v", len(text), err)
	}
	if info, err := os.Stat(path + ".1"); err != nil || info.Size() != outputLimit {
		t.Errorf("what was before: %v %v", info, err)
	}
	if got := lastLine(path); got != "more" {
		t.Errorf("last line %q", got)
	}

	for i := range keptOutputs + 5 { // the others are younger
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("thumbnails-%05d.log", i)), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	old := time.Now().Add(-time.Hour)
	os.Chtimes(path, old, old)
	if err := f.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	if left := glob(t, dir, "*.log"); len(left) != keptOutputs || slices.Contains(left, path) || len(glob(t, dir, "*.log.1")) != 0 {
		t.Errorf("%d outputs stay, the oldest too: %v", len(left), slices.Contains(left, path))
	}
}

func TestARecordReadsBack(t *testing.T) {
	dir := t.TempDir()
	want := record{Name: "p-x", ID: "i", Token: "t", Socket: "/s", Template: "h", Origin: "o", Pid: 7, Born: "b", StartedAt: time.Now().Round(0), DrainTimeout: time.Second}
	if err := want.save(dir); err != nil {
		t.Fatal(err)
	}
	got, err := readRecords(dir, slog.New(slog.DiscardHandler))
	if err != nil || len(got) != 1 {
		t.Fatal(got, err)
	}
	a, _ := json.Marshal(want)
	b, _ := json.Marshal(got[0])
	if !bytes.Equal(a, b) {
		t.Errorf("%s, want %s", b, a)
	}
}

// of is the fleet's own view of a worker.
func of(f *Fleet, name string) *worker {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.workers[name]
}
