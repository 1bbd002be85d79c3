// Package cli_test runs the command line as a person does: testscript files in
// testdata, each with a controller of its own on ports of the kernel's choice.
package cli_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/queuemill/queuemill/internal/cli"
	"github.com/queuemill/queuemill/internal/executor/process"
	"github.com/queuemill/queuemill/test/mill"
)

func TestMain(m *testing.M) {
	process.SupervisorMain()
	testscript.Main(m, map[string]func(){"queuemill": queuemill})
}

// queuemill is cmd/queuemill's main.
func queuemill() {
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	os.Exit(cli.Main(os.Args[1:], cli.Env{
		Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, Signals: signals, Version: "test",
	}))
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Setup: func(e *testscript.Env) error {
			e.Values[controllersKey{}] = &controllers{all: map[string]*controller{}}
			e.Setenv("HOME", e.WorkDir)
			e.Setenv("TZ", "UTC")
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"up": up, "signal": sendSignal, "down": down, "waitfor": mill.WaitFor, "occupy": occupy, "run": mill.RunCode, "lintmetrics": lintMetrics,
		},
		RequireUniqueNames:  true,
		RequireExplicitExec: true,
		UpdateScripts:       os.Getenv("UPDATE_SCRIPTS") != "",
	})
}

type controllersKey struct{}

// controllers are a script's, by name.
type controllers struct{ all map[string]*controller }

// controller is one `queuemill up` in the background.
type controller struct {
	cmd    *exec.Cmd
	exited chan struct{}
	ready  chan struct{} // closed when the banner is out
}

func controllerOf(ts *testscript.TestScript, name string) *controller {
	c := ts.Value(controllersKey{}).(*controllers).all[name]
	if c == nil {
		ts.Fatalf("there is no controller %s", name)
	}
	return c
}

var endpoint = regexp.MustCompile(`^  (SQS endpoint|HTTP API) +(http\S+)$`)

// up NAME ARG… starts `queuemill up ARG…` on free ports, waits until it answers
// and sets QUEUEMILL_SERVER and SQS. Its output goes to NAME.out and NAME.err.
// With ! it is to end by itself instead.
func up(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) == 0 {
		ts.Fatalf("usage: up NAME ARG…")
	}
	name := args[0]
	cmd := exec.Command("queuemill", append([]string{"up", "--listen", "127.0.0.1:0", "--sqs-listen", "127.0.0.1:0"}, args[1:]...)...)
	path, err := lookPath(ts, "queuemill")
	ts.Check(err)
	cmd.Path, cmd.Err = path, nil
	cmd.Dir = ts.MkAbs(".")
	for _, name := range []string{"PATH", "HOME", "TZ", "GOCOVERDIR", "QUEUEMILL_TOKEN", "QUEUEMILL_SQS_ACCESS_KEY_ID", "QUEUEMILL_SQS_SECRET_ACCESS_KEY"} {
		if value := ts.Getenv(name); value != "" {
			cmd.Env = append(cmd.Env, name+"="+value)
		}
	}
	stdout, err := cmd.StdoutPipe()
	ts.Check(err)
	errFile, err := os.Create(ts.MkAbs(name + ".err"))
	ts.Check(err)
	cmd.Stderr = errFile
	ts.Check(cmd.Start())
	ts.Check(errFile.Close())

	c := &controller{cmd: cmd, exited: make(chan struct{}), ready: make(chan struct{})}
	ts.Value(controllersKey{}).(*controllers).all[name] = c
	urls := map[string]string{}
	go func() {
		defer close(c.exited)
		out, err := os.Create(ts.MkAbs(name + ".out"))
		if err == nil {
			readBanner(io.TeeReader(stdout, out), urls, c.ready)
			_ = out.Close()
		}
		_ = cmd.Wait() // ProcessState tells how it ended
	}()
	ts.Defer(func() {
		_ = cmd.Process.Kill()
		<-c.exited
	})
	select {
	case <-c.ready:
		if neg {
			ts.Fatalf("%s is up", name)
		}
		ts.Setenv("QUEUEMILL_SERVER", urls["HTTP API"])
		ts.Setenv("SQS", urls["SQS endpoint"])
	case <-c.exited:
		if !neg {
			ts.Fatalf("%s ended: %s", name, ts.ReadFile(name+".err"))
		}
	}
}

func readBanner(r io.Reader, urls map[string]string, ready chan struct{}) {
	var once sync.Once
	for lines := bufio.NewScanner(r); lines.Scan(); {
		if m := endpoint.FindStringSubmatch(lines.Text()); m != nil {
			urls[m[1]] = m[2]
		}
		if len(urls) == 2 {
			once.Do(func() { close(ready) })
		}
	}
}

func lookPath(ts *testscript.TestScript, name string) (string, error) {
	for _, dir := range filepath.SplitList(ts.Getenv("PATH")) {
		if path := filepath.Join(dir, name); isExecutable(path) {
			return path, nil
		}
	}
	return "", fmt.Errorf("%s is not in PATH", name)
}

func isExecutable(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode()&0o111 != 0
}

var signals = map[string]syscall.Signal{"INT": syscall.SIGINT, "TERM": syscall.SIGTERM, "KILL": syscall.SIGKILL, "HUP": syscall.SIGHUP}

// signal NAME SIGNAL
func sendSignal(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 2 || signals[args[1]] == 0 {
		ts.Fatalf("usage: signal NAME INT|TERM|KILL|HUP")
	}
	ts.Check(controllerOf(ts, args[0]).cmd.Process.Signal(signals[args[1]]))
}

// down NAME CODE waits for the end and its exit code; a signal that ended it
// is its negative number.
func down(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: down NAME CODE")
	}
	c := controllerOf(ts, args[0])
	select {
	case <-c.exited:
	case <-time.After(time.Minute):
		ts.Fatalf("%s does not end:\n%s", args[0], ts.ReadFile(args[0]+".err"))
	}
	code := c.cmd.ProcessState.ExitCode()
	if status, ok := c.cmd.ProcessState.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		code = -int(status.Signal())
	}
	if strconv.Itoa(code) != args[1] {
		ts.Fatalf("%s ended with %d, want %s:\n%s", args[0], code, args[1], ts.ReadFile(args[0]+".err"))
	}
}

// occupy NAME takes a port for the script's time and sets NAME to it.
func occupy(ts *testscript.TestScript, _ bool, args []string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	ts.Defer(func() { _ = l.Close() })
	ts.Setenv(args[0], strconv.Itoa(l.Addr().(*net.TCPAddr).Port))
}

// lintmetrics checks the controller's metrics as promtool does.
func lintMetrics(ts *testscript.TestScript, _ bool, _ []string) {
	res, err := http.Get(ts.Getenv("QUEUEMILL_SERVER") + "/metrics")
	ts.Check(err)
	defer res.Body.Close()
	problems, err := promlint.New(res.Body).Lint()
	ts.Check(err)
	for _, p := range problems {
		ts.Logf("%s: %s", p.Metric, p.Text)
	}
	if len(problems) > 0 || res.StatusCode != http.StatusOK {
		ts.Fatalf("status %s, %d problems", res.Status, len(problems))
	}
}
