package worker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/queuemill/queuemill/internal/executor/process/environ"
	"github.com/queuemill/queuemill/internal/executor/process/supervisor"
	"github.com/queuemill/queuemill/internal/worker/flags"
)

// Exit codes of a command, beside 0 for done and any other for failed.
const (
	exitRejected = 3
	exitNotNow   = 4
)

const (
	// timeoutGrace is between SIGTERM and SIGKILL when a message's time is over,
	// hardGrace when the worker has to go.
	timeoutGrace = 5 * time.Second
	hardGrace    = time.Second

	maxNotNow = 12 * time.Hour // SQS's longest visibility timeout
)

// Command runs a command once per message.
type Command struct {
	*processes
	ownDir bool
}

var _ Handler = (*Command)(nil)

// NewCommand prepares the folder of message files. Its end removes it, so Run is
// to be called.
func NewCommand(f *flags.Flags, log *slog.Logger) (*Command, error) {
	p, err := newProcesses(f, log)
	if err != nil {
		return nil, err
	}
	c := &Command{processes: p, ownDir: f.OwnDir}
	for _, v := range f.Message.Env {
		if _, has := p.base.Lookup(v.Name); has && !f.CleanEnv {
			log.Warn("the worker's own environment has this variable, so the message's is not seen", "name", v.Name)
		}
	}
	return c, nil
}

// Run is Handler's.
func (c *Command) Run(ctx context.Context, changed func()) error { return c.run(ctx, changed) }

// Ready is Handler's.
func (c *Command) Ready() error { return c.ready() }

// Handle is Handler's.
func (c *Command) Handle(ctx context.Context, t *Task) Result {
	if ctx.Err() != nil {
		return cut(ctx, 0)
	}
	start := time.Now()
	id := c.name()
	s, err := c.home.scratch(strconv.FormatUint(id.UID, 10), t.Item)
	if err != nil { // a full disk, say: not the message's fault
		return Result{Kind: NotNow, Reason: err.Error()}
	}
	defer func() {
		if err := removeAll(s.dir); err != nil {
			c.log.Warn("a run's folder can't be removed", keyError, err)
		}
	}()
	dir := ""
	if c.ownDir {
		dir = s.dir
	}
	exit, problem := c.start(id, c.environment(t, s), dir, s.file(messageName))
	if problem != "" {
		return Result{Kind: Failed, Reason: problem}
	}
	select {
	case x := <-exit:
		return outcome(&x, s)
	case <-ctx.Done():
	}
	grace := hardGrace
	if errors.Is(context.Cause(ctx), errTimeout) {
		grace = timeoutGrace
	}
	c.stop(id, grace)
	x := <-exit
	if !x.Stopped && !x.Lost { // it had ended by itself just then
		return outcome(&x, s)
	}
	return cut(ctx, time.Since(start))
}

// cut is the result of work that ctx ended.
func cut(ctx context.Context, took time.Duration) Result {
	if errors.Is(context.Cause(ctx), errTimeout) {
		return Result{Kind: Failed, Reason: fmt.Sprintf("timed out after %v", took.Round(time.Millisecond))}
	}
	return Result{Kind: Interrupted, Reason: context.Cause(ctx).Error()}
}

// environment is a run's: what it inherits stands before the message's variables
// where that is all it may depend on, and hides them where it is the command's
// own, as a template's variables do in Kubernetes.
func (c *Command) environment(t *Task, s scratch) environ.Env {
	env := slices.Clone(c.base)
	for _, v := range t.Item.Env {
		if _, has := env.Lookup(v.Name); !has || c.flags.CleanEnv {
			env.Set(v.Name, v.Value)
		}
	}
	env.Set("QUEUEMILL_MESSAGE_FILE", s.file(messageName))
	env.Set("QUEUEMILL_ATTRIBUTES_FILE", s.file(attributesName))
	env.Set("QUEUEMILL_RESULT_FILE", s.file(resultName))
	env.Set("QUEUEMILL_ATTEMPT", strconv.Itoa(t.Message.ReceiveCount))
	return withOwn(env, c.flags)
}

// outcome is what a run's end says.
func outcome(x *supervisor.Exit, s scratch) Result {
	switch {
	case x.StartError != "":
		return Result{Kind: Failed, Reason: x.StartError}
	case x.Lost:
		return Result{Kind: Failed, Reason: "its supervisor was killed"}
	case x.Signal != 0:
		return Result{Kind: Failed, Reason: "ended by " + signalName(x.Signal)}
	}
	said := s.result()
	switch x.Code {
	case 0:
		return Result{Kind: Done}
	case exitRejected:
		return Result{Kind: Rejected, Reason: orElse(said, "exit code 3")}
	case exitNotNow:
		delay, ok := parseDelay(said)
		if !ok {
			return Result{Kind: NotNow, Reason: orElse(said, "exit code 4")}
		}
		return Result{Kind: NotNow, Reason: "exit code 4", Delay: delay}
	}
	return Result{Kind: Failed, Reason: orElse(said, fmt.Sprintf("exit code %d", x.Code))}
}

// parseDelay reads a delay: 90s, 5m, or a number of seconds. It is a second at
// least, so that nothing spins.
func parseDelay(s string) (time.Duration, bool) {
	if n, err := strconv.ParseFloat(s, 64); err == nil && n >= 0 {
		return max(time.Duration(min(n, maxNotNow.Seconds())*float64(time.Second)), time.Second), true
	}
	d, err := time.ParseDuration(s)
	if err != nil || d < 0 {
		return 0, false
	}
	return max(min(d, maxNotNow), time.Second), true
}

func orElse(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return strings.ToValidUTF8(s, "?")
}

func signalName(n int) string {
	if name := unix.SignalName(syscall.Signal(n)); name != "" {
		return name
	}
	return fmt.Sprintf("signal %d", n)
}
