package kubecli_test

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/rogpeppe/go-internal/testscript"
)

// background is what a script runs beside itself, by name.
type background map[string]*exec.Cmd

type backgroundKey struct{}

func backgroundOf(ts *testscript.TestScript, name string) *exec.Cmd {
	cmd := ts.Value(backgroundKey{}).(background)[name]
	if cmd == nil {
		ts.Fatalf("nothing runs as %s", name)
	}
	return cmd
}

// start NAME COMMAND ARG… runs a command beside the script; what it writes goes
// to NAME.out and NAME.err.
func start(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) < 2 {
		ts.Fatalf("usage: start NAME COMMAND ARG…")
	}
	name := args[0]
	cmd := exec.Command(args[1], args[2:]...)
	for _, dir := range filepath.SplitList(ts.Getenv("PATH")) {
		if path := filepath.Join(dir, args[1]); isFile(path) {
			cmd.Path, cmd.Err = path, nil
			break
		}
	}
	cmd.Dir = ts.MkAbs(".")
	for _, name := range []string{"PATH", "HOME", "TZ", "KUBECONFIG", "GOCOVERDIR"} {
		cmd.Env = append(cmd.Env, name+"="+ts.Getenv(name))
	}
	for ending, to := range map[string]*io.Writer{".out": &cmd.Stdout, ".err": &cmd.Stderr} {
		file, err := os.Create(ts.MkAbs(name + ending))
		ts.Check(err)
		ts.Defer(func() { file.Close() })
		*to = file
	}
	ts.Check(cmd.Start())
	ts.Value(backgroundKey{}).(background)[name] = cmd
	ts.Defer(func() {
		if cmd.ProcessState == nil {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
	})
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

// finish NAME SIGNAL CODE|… signals (- for none) and waits for the end.
func finish(ts *testscript.TestScript, _ bool, args []string) {
	signals := map[string]syscall.Signal{"INT": syscall.SIGINT, "TERM": syscall.SIGTERM, "-": 0}
	if len(args) != 3 {
		ts.Fatalf("usage: finish NAME INT|TERM|- CODE")
	}
	cmd := backgroundOf(ts, args[0])
	if s := signals[args[1]]; s != 0 {
		ts.Check(cmd.Process.Signal(s))
	}
	_ = cmd.Wait() // ProcessState tells how it ended
	if code := strconv.Itoa(cmd.ProcessState.ExitCode()); !slices.Contains(strings.Split(args[2], "|"), code) {
		ts.Fatalf("%s ended with %s, want %s:\n%s", args[0], code, args[2], ts.ReadFile(args[0]+".err"))
	}
}

// grab VAR FILE REGEXP sets VAR to what the group matches in the file.
func grab(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 3 {
		ts.Fatalf("usage: grab VAR FILE REGEXP")
	}
	want, err := regexp.Compile("(?m)" + args[2])
	ts.Check(err)
	found := want.FindStringSubmatch(ts.ReadFile(args[1]))
	if len(found) != 2 {
		ts.Fatalf("%s has no %s:\n%s", args[1], args[2], ts.ReadFile(args[1]))
	}
	ts.Setenv(args[0], found[1])
}
