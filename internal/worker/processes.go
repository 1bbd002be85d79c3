package worker

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/queuemill/queuemill/internal/backoff"
	"github.com/queuemill/queuemill/internal/executor/process/environ"
	"github.com/queuemill/queuemill/internal/executor/process/supervisor"
	"github.com/queuemill/queuemill/internal/message"
	"github.com/queuemill/queuemill/internal/worker/flags"
)

const sweepLimit = 5 * time.Second // for killed processes to be gone

// restartBackoff is between two supervisors, and between two starts of a server.
var restartBackoff = backoff.Backoff{Base: 200 * time.Millisecond, Cap: 15 * time.Second}

// processes are the commands of a worker, below a supervisor: the same binary
// re-executed, which ends every descendant of theirs when this process is no
// more, however it ended.
type processes struct {
	log    *slog.Logger
	flags  *flags.Flags
	base   environ.Env // what commands inherit
	marker string
	home   *home

	mu   sync.Mutex
	link *supervisor.Link // nil: none at the moment
	next uint64
	runs map[supervisor.RunID]chan supervisor.Exit
}

func newProcesses(f *flags.Flags, log *slog.Logger) (*processes, error) {
	h, err := newHome(f.TempDir, log)
	if err != nil {
		return nil, err
	}
	return &processes{
		log: log, flags: f, home: h, base: inherit(f),
		marker: "worker-" + hex.EncodeToString([]byte(rand.Text()))[:16],
		runs:   map[supervisor.RunID]chan supervisor.Exit{},
	}, nil
}

// ofWorkers are the variables that no command has from its worker's environment:
// secrets, and what is said of another message.
var ofWorkers = []string{
	"QUEUEMILL_WORKER_", "QUEUEMILL_MESSAGE_", "QUEUEMILL_ATTR", "QUEUEMILL_ATTEMPT", "QUEUEMILL_IDEMPOTENCY_KEY",
	"QUEUEMILL_QUEUEJOB", "QUEUEMILL_WORKERPOOL", "QUEUEMILL_RESULT_FILE", "QUEUEMILL_RUN", "QUEUEMILL_SUPERVISOR", "QUEUEMILL_TOKEN",
}

// inherit is what commands have of the worker's own environment.
func inherit(f *flags.Flags) (env environ.Env) {
	if f.CleanEnv {
		return environ.Inherited()
	}
	for _, v := range os.Environ() {
		name, value, _ := strings.Cut(v, "=")
		own := false
		for _, prefix := range ofWorkers {
			own = own || strings.HasPrefix(name, prefix)
		}
		if !own {
			env.Set(name, value)
		}
	}
	return env
}

// withOwn adds the command's own variables, which win and are expanded from those
// before them.
func withOwn(env environ.Env, f *flags.Flags) environ.Env {
	for _, v := range f.Env {
		env.Set(v.Name, message.Expand(v.Value, env.Lookup))
	}
	return env
}

// run keeps a supervisor until ctx ends, then ends what is left.
func (p *processes) run(ctx context.Context, changed func()) error {
	failures := 0
	for {
		link, err := p.launch(uint64(failures) + 1)
		if err != nil {
			return errors.Join(err, p.home.remove())
		}
		p.mu.Lock()
		p.link = link
		p.mu.Unlock()
		changed()
		stop := context.AfterFunc(ctx, link.Hangup)
		p.serve(link)
		stop()
		err = link.Close()

		p.mu.Lock()
		p.link = nil
		p.mu.Unlock()
		changed()
		if ctx.Err() != nil {
			p.lose()
			return p.home.remove()
		}
		p.log.Error("the supervisor of the commands is gone, and they with it: starting another", keyError, err)
		if _, err := supervisor.Sweep(p.marker, sweepLimit); err != nil {
			p.log.Error("what it left can't be ended", keyError, err)
		}
		p.lose()
		select {
		case <-time.After(restartBackoff.Full(failures)):
			failures++
		case <-ctx.Done():
			return p.home.remove()
		}
	}
}

func (p *processes) launch(generation uint64) (*supervisor.Link, error) {
	return supervisor.Launch(supervisor.Config{Dir: p.home.dir, Marker: p.marker, Generation: generation}, p.home.lock, os.Stdout, os.Stderr)
}

// serve hands out how runs ended until the supervisor is gone.
func (p *processes) serve(link *supervisor.Link) {
	var events []supervisor.Event
	for {
		var err error
		events, err = link.Receive(events[:0])
		for i := range events {
			switch e := &events[i]; {
			case e.Exit != nil:
				p.ended(e.Exit)
			case e.Rotated > 0:
				_ = supervisor.RemoveHistory(p.home.dir, e.Rotated) // tried again at the next
			}
		}
		clear(events)
		if err != nil {
			return
		}
	}
}

func (p *processes) ended(x *supervisor.Exit) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if exit := p.runs[x.ID]; exit != nil {
		delete(p.runs, x.ID)
		exit <- *x
	}
}

// lose ends all runs as lost: nobody saw how they ended, and nothing of them is
// left.
func (p *processes) lose() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for id, exit := range p.runs {
		delete(p.runs, id)
		exit <- supervisor.Exit{ID: id, Code: -1, Lost: true, FinishedAt: time.Now()}
	}
}

var errNoSupervisor = errors.New("the supervisor of the commands is being started")

func (p *processes) ready() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.link == nil {
		return errNoSupervisor
	}
	return nil
}

// name reserves the ID of a run.
func (p *processes) name() supervisor.RunID {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.next++
	return supervisor.RunID{UID: p.next, Attempt: 1}
}

// start starts a command; how it ends comes once, when nothing of it is left.
// env is all of its environment but the marker. problem says why it can't be
// started.
func (p *processes) start(id supervisor.RunID, env environ.Env, dir, stdin string) (exit <-chan supervisor.Exit, problem string) {
	env.Set(supervisor.MarkerEnv, supervisor.Mark(p.marker, id))
	command, problem := env.Command(p.flags.Command...)
	if problem != "" {
		return nil, problem
	}
	if dir == "" {
		dir = p.flags.WorkingDir
	}
	if dir == "" {
		dir = "."
	}
	if !strings.HasPrefix(dir, "/") {
		wd, err := os.Getwd()
		if err != nil {
			return nil, fmt.Sprintf("working directory: %v", err)
		}
		dir = wd + "/" + dir
	}
	ended := make(chan supervisor.Exit, 1)
	p.mu.Lock()
	link := p.link
	if link != nil {
		p.runs[id] = ended
	}
	p.mu.Unlock()
	if link == nil {
		return nil, errNoSupervisor.Error()
	}
	// An error is the supervisor's end, which serve sees.
	_ = link.Start(&supervisor.Start{
		ID: id, Path: command.Path, Argv: command.Argv, Env: command.Env, Dir: dir, Stdin: stdin, Inherit: true,
	})
	return ended, ""
}

// stop sends SIGTERM, and SIGKILL when grace is over.
func (p *processes) stop(id supervisor.RunID, grace time.Duration) {
	p.mu.Lock()
	link := p.link
	p.mu.Unlock()
	if link != nil {
		_ = link.Stop(id, grace) // as start
	}
}
