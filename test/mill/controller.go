package mill

import (
	"errors"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Controller is a running `queuemill controller`.
type Controller struct {
	URL string // of its metrics and probes
	Pid int

	cmd    *exec.Cmd
	output string
	exited chan struct{}
	err    error // of Wait, once exited is closed
}

// StartController runs `queuemill controller` with the arguments, and --listen
// on a free address, and returns at once. env stands besides the test's own.
// What is left of it when the test ends is killed.
func StartController(t testing.TB, binary string, env []string, args ...string) *Controller {
	t.Helper()
	listen := FreeAddress(t)
	c := &Controller{URL: "http://" + listen, exited: make(chan struct{})}
	c.cmd = exec.Command(binary, append([]string{"controller", "--listen", listen}, args...)...)
	c.cmd.Env = append(os.Environ(), env...)
	c.cmd.Dir = t.TempDir()
	output, err := os.Create(filepath.Join(t.TempDir(), "output"))
	if err != nil {
		t.Fatal(err)
	}
	defer output.Close()
	c.output = output.Name()
	c.cmd.Stdout, c.cmd.Stderr = output, output
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	c.Pid = c.cmd.Process.Pid
	go func() {
		c.err = c.cmd.Wait()
		close(c.exited)
	}()
	t.Cleanup(c.Kill)
	return c
}

// Kill is kill -9; it returns when the process is reaped.
func (c *Controller) Kill() {
	c.Signal(syscall.SIGKILL)
	<-c.exited
}

// Signal sends a signal; to one that has ended it does nothing.
func (c *Controller) Signal(s syscall.Signal) { _ = c.cmd.Process.Signal(s) }

// Stop asks it to end as Kubernetes does and returns its exit code.
func (c *Controller) Stop(t testing.TB) int {
	t.Helper()
	c.Signal(syscall.SIGTERM)
	select {
	case <-c.exited:
	case <-time.After(time.Minute):
		t.Fatalf("queuemill controller still runs a minute after SIGTERM:\n%s", c.Log())
	}
	return c.cmd.ProcessState.ExitCode()
}

// Exited is closed when the process has ended.
func (c *Controller) Exited() <-chan struct{} { return c.exited }

// Ended tells whether it has, and how.
func (c *Controller) Ended() (bool, error) {
	select {
	case <-c.exited:
		return true, c.err
	default:
		return false, nil
	}
}

// Log is what it wrote so far.
func (c *Controller) Log() string {
	text, err := os.ReadFile(c.output)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// Broken is what its log says of data races and panics, "" when nothing.
func (c *Controller) Broken() string {
	text := c.Log()
	for _, sign := range []string{"DATA RACE", "panic:", "fatal error:"} {
		if i := strings.Index(text, sign); i >= 0 {
			return text[i:min(len(text), i+8000)]
		}
	}
	return ""
}

// WaitReady returns when it says that it is ready.
func (c *Controller) WaitReady(t testing.TB) {
	t.Helper()
	err := Poll(t.Context(), time.Minute, func() (bool, error) {
		if ended, err := c.Ended(); ended {
			return false, errors.Join(errors.New("queuemill controller ended"), err)
		}
		resp, err := http.Get(c.URL + "/readyz")
		if err != nil {
			return false, nil
		}
		resp.Body.Close()
		return resp.StatusCode == http.StatusOK, nil
	})
	if err != nil {
		t.Fatalf("not ready: %v\n%s", err, c.Log())
	}
}
