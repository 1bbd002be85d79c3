// Package mill builds the real queuemill binary and runs it, for tests that
// look at it from outside.
package mill

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Root is the folder of the module.
func Root() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Join(filepath.Dir(file), "..", "..")
}

// Build compiles a command of this module ("./cmd/queuemill") into folder and
// returns its path. With race it is built under the race detector.
func Build(folder, command string, race bool) (string, error) {
	path := filepath.Join(folder, filepath.Base(command))
	args := []string{"build", "-buildvcs=false", "-o", path}
	env := append(os.Environ(), "CGO_ENABLED=0")
	if race {
		args = append(args, "-race")
		env = append(env, "CGO_ENABLED=1")
	}
	build := exec.Command("go", append(args, command)...)
	build.Dir, build.Env = Root(), env
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go %s: %w\n%s", strings.Join(build.Args[1:], " "), err, out)
	}
	return path, nil
}

// FreeAddress is a loopback address nobody listens on at the moment. Taking it
// again and again lets clients keep their configuration over restarts.
func FreeAddress(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// Options of a run of `queuemill up`.
type Options struct {
	Binary    string
	Data      string // --data
	Listen    string // --listen; the HTTP API
	SQSListen string // --sqs-listen
	Args      []string
	Dir       string              // working directory
	Env       []string            // besides the test's own
	As        *syscall.Credential // nil: the test's own user
	Wrap      []string            // a command that ends in exec "$@"
}

// Up is a running `queuemill up`.
type Up struct {
	URL    string // of the HTTP API
	SQSURL string // of the SQS endpoint
	Pid    int

	cmd    *exec.Cmd
	output string // a file: a pipe would hold Wait until the last process has closed it
	exited chan struct{}
	err    error // of Wait, once exited is closed
}

// Start runs `queuemill up` and returns at once; what is left of it when the
// test ends is killed.
func Start(t testing.TB, o Options) *Up {
	t.Helper()
	u := &Up{URL: "http://" + o.Listen, SQSURL: "http://" + o.SQSListen, exited: make(chan struct{})}
	args := append([]string{"up", "--data", o.Data, "--listen", o.Listen, "--sqs-listen", o.SQSListen}, o.Args...)
	line := append(append(slices.Clone(o.Wrap), o.Binary), args...)
	u.cmd = exec.Command(line[0], line[1:]...)
	u.cmd.Dir, u.cmd.Env = o.Dir, append(os.Environ(), o.Env...)
	output, err := os.Create(filepath.Join(t.TempDir(), "output"))
	if err != nil {
		t.Fatal(err)
	}
	defer output.Close()
	u.output = output.Name()
	u.cmd.Stdout, u.cmd.Stderr = output, output
	if o.As != nil {
		u.cmd.SysProcAttr = &syscall.SysProcAttr{Credential: o.As}
	}
	if err := u.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	u.Pid = u.cmd.Process.Pid
	go func() {
		u.err = u.cmd.Wait()
		close(u.exited)
	}()
	t.Cleanup(u.Kill)
	return u
}

// Kill is kill -9; it returns when the process is reaped.
func (u *Up) Kill() {
	u.SendKill()
	<-u.exited
}

// SendKill is kill -9 without waiting.
func (u *Up) SendKill() { _ = u.cmd.Process.Signal(syscall.SIGKILL) }

// Stop asks it to end as Ctrl-C does and returns its exit code.
func (u *Up) Stop(t testing.TB) int {
	t.Helper()
	_ = u.cmd.Process.Signal(syscall.SIGINT)
	return u.Wait(t, time.Minute)
}

// Wait returns the exit code, -1 after a signal.
func (u *Up) Wait(t testing.TB, limit time.Duration) int {
	t.Helper()
	select {
	case <-u.exited:
	case <-time.After(limit):
		t.Fatalf("queuemill up still runs after %v:\n%s", limit, u.Log())
	}
	return u.cmd.ProcessState.ExitCode()
}

// Exited is closed when the process has ended.
func (u *Up) Exited() <-chan struct{} { return u.exited }

// Log is what it wrote so far.
func (u *Up) Log() string {
	text, err := os.ReadFile(u.output)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// WaitReady returns when the HTTP API says that it is ready.
func (u *Up) WaitReady(t testing.TB) {
	t.Helper()
	err := Poll(t.Context(), time.Minute, func() (bool, error) {
		select {
		case <-u.exited:
			return false, fmt.Errorf("queuemill up ended: %w", u.err)
		default:
		}
		resp, err := http.Get(u.URL + "/readyz")
		if err != nil {
			return false, nil
		}
		resp.Body.Close()
		return resp.StatusCode == http.StatusOK, nil
	})
	if err != nil {
		t.Fatalf("not ready: %v\n%s", err, u.Log())
	}
}

// Get reads a JSON document of the HTTP API.
func (u *Up) Get(path string, into any) error {
	resp, err := http.Get(u.URL + path)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("GET %s: %s", path, resp.Status)
	}
	return json.NewDecoder(resp.Body).Decode(into)
}

// ErrTimeout is returned by Poll when its time is over.
var ErrTimeout = errors.New("timed out")

// Poll asks until done, every 20 ms, at most for limit.
func Poll(ctx context.Context, limit time.Duration, done func() (bool, error)) error {
	ctx, cancel := context.WithTimeoutCause(ctx, limit, ErrTimeout)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if ok, err := done(); ok || err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
