package worker

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/queuemill/queuemill/api/v1alpha1"
	"github.com/queuemill/queuemill/internal/message"
	"github.com/queuemill/queuemill/internal/queue"
	"github.com/queuemill/queuemill/internal/worker/flags"
)

func newTestCommand(t *testing.T, change func(*flags.Flags), words ...string) *Command {
	t.Helper()
	f := flags.Defaults()
	f.TempDir, f.Command = t.TempDir(), words
	if change != nil {
		change(&f)
	}
	c, err := NewCommand(&f, silent)
	if err != nil {
		t.Fatal(err)
	}
	running(t, c)
	return c
}

func TestWhatAnExitCodeSays(t *testing.T) {
	c := newTestCommand(t, nil, "sh", "-c", `eval "$(cat)"`)
	for script, want := range map[string]Result{
		"true":   {Kind: Done},
		"exit 3": {Kind: Rejected, Reason: "exit code 3"},
		"echo ' no such customer ' > $QUEUEMILL_RESULT_FILE; exit 3": {Kind: Rejected, Reason: "no such customer"},
		"exit 4": {Kind: NotNow, Reason: "exit code 4"},
		"echo 90 > $QUEUEMILL_RESULT_FILE; exit 4":           {Kind: NotNow, Reason: "exit code 4", Delay: 90 * time.Second},
		"echo 2m > $QUEUEMILL_RESULT_FILE; exit 4":           {Kind: NotNow, Reason: "exit code 4", Delay: 2 * time.Minute},
		"echo -5 > $QUEUEMILL_RESULT_FILE; exit 4":           {Kind: NotNow, Reason: "-5"},
		"echo lunch > $QUEUEMILL_RESULT_FILE; exit 4":        {Kind: NotNow, Reason: "lunch"},
		"mkdir $QUEUEMILL_RESULT_FILE; exit 3":               {Kind: Rejected, Reason: "exit code 3"},
		"mkfifo $QUEUEMILL_RESULT_FILE; exit 3":              {Kind: Rejected, Reason: "exit code 3"},
		"ln -s /etc/hostname $QUEUEMILL_RESULT_FILE; exit 3": {Kind: Rejected, Reason: "exit code 3"},
		"exit 1": {Kind: Failed, Reason: "exit code 1"},
		"echo 'disk full' > $QUEUEMILL_RESULT_FILE; exit 75": {Kind: Failed, Reason: "disk full"},
		"exit 137":      {Kind: Failed, Reason: "exit code 137"},
		"kill -SEGV $$": {Kind: Failed, Reason: "ended by SIGSEGV"},
	} {
		if diff := cmp.Diff(want, c.Handle(t.Context(), task(t, queue.Message{ID: "m", Body: script}))); diff != "" {
			t.Errorf("%s: -want +got\n%s", script, diff)
		}
	}
}

func TestACommandThatCantBeStarted(t *testing.T) {
	for word, want := range map[string]string{"no-such-program": "no such program in PATH", "/": "", "./no/such": "no such"} {
		c := newTestCommand(t, nil, word)
		if r := c.Handle(t.Context(), task(t, queue.Message{Body: "b"})); r.Kind != Failed || !strings.Contains(r.Reason, want) {
			t.Errorf("%s: %+v", word, r)
		}
	}
}

// given is what a command saw.
func given(t *testing.T, change func(*flags.Flags), spec v1alpha1.MessageSpec, m queue.Message, words ...string) (env map[string]string, out string) {
	t.Helper()
	dir := t.TempDir()
	c := newTestCommand(t, func(f *flags.Flags) {
		f.Message = spec
		if change != nil {
			change(f)
		}
	}, append([]string{"sh", "-c", `out=` + dir + `; env -0 > $out/env; { pwd; printf '%s\n' "$@"; cat; echo; cat "$QUEUEMILL_MESSAGE_FILE"; echo; cat "$QUEUEMILL_ATTRIBUTES_FILE"; } > $out/out`, "sh"}, words...)...)
	r, err := message.NewWorkerReader("orders", "pool", &spec)
	if err != nil {
		t.Fatal(err)
	}
	item := r.Read(message.Input{ID: m.ID, Body: m.Body, Attributes: m.Attributes})[0]
	if res := c.Handle(t.Context(), &Task{Message: &m, Item: &item}); res.Kind != Done {
		t.Fatal(res)
	}
	data, err := os.ReadFile(filepath.Join(dir, "env"))
	if err != nil {
		t.Fatal(err)
	}
	env = map[string]string{}
	for v := range strings.SplitSeq(string(data), "\x00") {
		name, value, _ := strings.Cut(v, "=")
		env[name] = value
	}
	data, err = os.ReadFile(filepath.Join(dir, "out"))
	if err != nil {
		t.Fatal(err)
	}
	return env, string(data)
}

func TestWhatACommandIsGiven(t *testing.T) {
	t.Setenv(flags.TokenEnv, "s3cret")
	t.Setenv("QUEUEMILL_MESSAGE_ID", "another")
	t.Setenv("QUEUEMILL_ATTR_STALE", "another")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "s3cret")
	t.Setenv("TAKEN", "the worker's own")
	spec := v1alpha1.MessageSpec{Env: []v1alpha1.FieldEnv{{Name: "TARGET", FieldPath: "target"}, {Name: "TAKEN", FieldPath: "target"}}}
	m := queue.Message{
		ID: "m-1", Body: `{"target": "$(HOME) $$(X) ; rm"}`, ReceiveCount: 4,
		Attributes: map[string]queue.Attribute{"k": {DataType: "String", StringValue: "v"}},
	}
	own := func(f *flags.Flags) {
		f.Env = []v1alpha1.EnvVar{{Name: "FROM", Value: "<$(TARGET)>"}, {Name: "QUEUEMILL_ATTEMPT", Value: "mine"}}
	}
	env, out := given(t, own, spec, m, "$(TARGET)", "$$(TARGET)", "$(NONE)")
	wd, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	const target = `$(HOME) $$(X) ; rm`
	want := strings.Join([]string{wd, target, "$(TARGET)", "$(NONE)", m.Body, m.Body, `{"k":{"dataType":"String","stringValue":"v"}}`}, "\n")
	if diff := cmp.Diff(want, out); diff != "" {
		t.Errorf("working directory, arguments, standard input, files: -want +got\n%s", diff)
	}
	for name, want := range map[string]string{
		"QUEUEMILL_MESSAGE_ID": "m-1", "QUEUEMILL_ATTEMPT": "mine", "QUEUEMILL_WORKERPOOL": "pool", "QUEUEMILL_ATTR_K": "v",
		"TARGET": target, "TAKEN": "the worker's own", "FROM": "<" + target + ">", "AWS_SECRET_ACCESS_KEY": "s3cret", "PATH": os.Getenv("PATH"),
	} {
		if env[name] != want {
			t.Errorf("%s is %q, want %q", name, env[name], want)
		}
	}
	for _, name := range []string{flags.TokenEnv, "QUEUEMILL_ATTR_STALE", "QUEUEMILL_QUEUEJOB"} {
		if v, has := env[name]; has {
			t.Errorf("%s is %q", name, v)
		}
	}

	env, out = given(t, func(f *flags.Flags) { f.CleanEnv, f.OwnDir = true, true }, spec, m)
	for name := range env {
		known := slices.Contains([]string{"", "PATH", "HOME", "LANG", "TZ", "TMPDIR", "TARGET", "TAKEN", "PWD", "OLDPWD", "SHLVL", "_", "out"}, name)
		if !known && (!strings.HasPrefix(name, "QUEUEMILL_") || name == flags.TokenEnv) {
			t.Errorf("a clean environment has %s", name)
		}
	}
	if env["TAKEN"] != target || env["QUEUEMILL_ATTEMPT"] != "4" {
		t.Errorf("TAKEN %q, QUEUEMILL_ATTEMPT %q", env["TAKEN"], env["QUEUEMILL_ATTEMPT"])
	}
	if dir := filepath.Dir(env["QUEUEMILL_MESSAGE_FILE"]); !strings.HasPrefix(out, dir+"\n") {
		t.Errorf("it started elsewhere than in %s:\n%s", dir, out)
	}
	if _, err := os.Stat(env["QUEUEMILL_MESSAGE_FILE"]); !os.IsNotExist(err) {
		t.Errorf("the message's file is left: %v", err)
	}
}

func TestACommandEndsWithAllItsDescendants(t *testing.T) {
	for cause, want := range map[error]Kind{errTimeout: Failed, errHardStop: Interrupted} {
		dir := t.TempDir()
		c := newTestCommand(t, nil, "sh", "-c", `trap '' TERM; sleep 600 & setsid sh -c 'echo $$$$ > `+dir+`/deep; exec sleep 600' & echo $! > `+dir+`/child; mv `+dir+`/child `+dir+`/ready; wait; wait; wait; while :; do sleep 600; done`)
		ctx, cancel := context.WithCancelCause(t.Context())
		go func() {
			for _, name := range []string{"ready", "deep"} {
				for data := ""; !strings.HasSuffix(data, "\n"); <-time.After(5 * time.Millisecond) {
					text, _ := os.ReadFile(filepath.Join(dir, name))
					data = string(text)
				}
			}
			cancel(cause)
		}()
		start := time.Now()
		if r := c.Handle(ctx, task(t, queue.Message{Body: "b"})); r.Kind != want {
			t.Errorf("%v: %+v", cause, r)
		}
		if want == Interrupted && time.Since(start) > 10*time.Second {
			t.Errorf("it took %v", time.Since(start))
		}
		text, err := os.ReadFile(filepath.Join(dir, "deep"))
		if err != nil {
			t.Fatal(err)
		}
		pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
		if err != nil {
			t.Fatal(err)
		}
		if err := syscall.Kill(pid, 0); err != syscall.ESRCH {
			t.Errorf("%v: a descendant is left when the message is given back: %v", cause, err)
		}
	}
}

func TestAKilledSupervisorIsReplaced(t *testing.T) {
	c := newTestCommand(t, nil, "sh", "-c", `eval "$(cat)"`)
	if r := c.Handle(t.Context(), task(t, queue.Message{Body: "kill -9 $PPID; sleep 600"})); r.Kind != Failed {
		t.Errorf("under the supervisor that was killed: %+v", r)
	}
	late := time.After(20 * time.Second)
	for c.Ready() != nil {
		select {
		case <-time.After(10 * time.Millisecond):
		case <-late:
			t.Fatal("there is no other supervisor")
		}
	}
	if r := c.Handle(t.Context(), task(t, queue.Message{Body: "exit 0"})); r.Kind != Done {
		t.Errorf("under the next one: %+v", r)
	}
}

func TestWhatAKilledWorkerLeftIsRemoved(t *testing.T) {
	temp := t.TempDir()
	living, err := newHome(temp, silent)
	if err != nil {
		t.Fatal(err)
	}
	defer living.remove()
	killed, err := newHome(temp, silent)
	if err != nil {
		t.Fatal(err)
	}
	item := &message.Item{Payload: "secret", Attributes: map[string]message.Attribute{"a": {DataType: "String", StringValue: "v"}}}
	s, err := killed.scratch("1", item)
	if err != nil {
		t.Fatal(err)
	}
	if data, err := os.ReadFile(s.file(attributesName)); err != nil || !json.Valid(data) {
		t.Errorf("%s, %v", data, err)
	}
	if err := os.Mkdir(s.file("sealed"), 0); err != nil {
		t.Fatal(err)
	}
	killed.lock.Close()
	other := filepath.Join(temp, "queuemill-worker-just-made")
	if err := os.Mkdir(other, 0o700); err != nil {
		t.Fatal(err)
	}
	next, err := newHome(temp, silent)
	if err != nil {
		t.Fatal(err)
	}
	defer next.remove()
	for dir, want := range map[string]bool{living.dir: true, killed.dir: false, other: true} {
		if _, err := os.Stat(dir); (err == nil) != want {
			t.Errorf("%s: %v", dir, err)
		}
	}
}
