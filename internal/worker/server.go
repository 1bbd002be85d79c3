package worker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/queuemill/queuemill/internal/executor/process/supervisor"
	"github.com/queuemill/queuemill/internal/worker/flags"
)

const (
	// serverGrace is between SIGTERM and SIGKILL when the server has nothing to do
	// any more.
	serverGrace = 5 * time.Second

	// longLife of a server makes the next restart as quick as the first.
	longLife = time.Minute
)

// server is a command that is started once and that messages are posted to. It
// is started again when it ends.
type server struct {
	*processes
	gate *gate

	mu      sync.Mutex
	id      supervisor.RunID // of the present run
	ended   chan struct{}    // closed when nothing of it is left; nil: none runs
	ending  bool             // not started again
	problem error            // why it does not run
}

func newServer(f *flags.Flags, g *gate, log *slog.Logger) (*server, error) {
	if g.probe(context.Background()) {
		return nil, fmt.Errorf("something listens at %s already: the command can't be the server there", g.address)
	}
	p, err := newProcesses(f, log)
	if err != nil {
		return nil, err
	}
	return &server{processes: p, gate: g, problem: errors.New("the server is not started yet")}, nil
}

// run keeps it running until ctx ends; then it gets SIGTERM, and its time.
func (s *server) run(ctx context.Context, changed func()) error {
	living, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	up := newSignal()
	done := make(chan error, 1)
	go func() { done <- s.processes.run(living, func() { up.poke(); changed() }) }()
	failures := 0
	for ctx.Err() == nil && !s.isEnding() {
		if s.processes.ready() != nil {
			select {
			case <-up:
			case err := <-done:
				return err
			case <-ctx.Done():
			}
			continue
		}
		began := time.Now()
		s.once(ctx, changed)
		if time.Since(began) > longLife {
			failures = 0
		}
		if ctx.Err() != nil || s.isEnding() {
			break
		}
		select {
		case <-time.After(restartBackoff.Full(failures)):
			failures++
		case <-ctx.Done():
		}
	}
	<-ctx.Done()
	stop()
	return <-done
}

// once runs it until it ends.
func (s *server) once(ctx context.Context, changed func()) {
	id := s.name()
	s.mu.Lock()
	if s.ending {
		s.mu.Unlock()
		return
	}
	exit, problem := s.start(id, withOwn(slices.Clone(s.base), s.flags), "", "")
	if problem == "" {
		s.id, s.ended, s.problem = id, make(chan struct{}), nil
	} else {
		s.problem = errors.New(problem)
	}
	s.mu.Unlock()
	changed()
	if problem != "" {
		s.log.Error("the server can't be started", keyError, problem)
		return
	}
	stop := context.AfterFunc(ctx, func() { s.stop(id, serverGrace) })
	x := <-exit
	stop()
	s.mu.Lock()
	close(s.ended)
	s.ended, s.problem = nil, errors.New("the server ended: "+howEnded(&x))
	err, expected := s.problem, s.ending || ctx.Err() != nil
	s.mu.Unlock()
	s.gate.close(err)
	changed()
	if !expected {
		s.log.Error("the server ended: starting it again", keyReason, howEnded(&x))
	}
}

func howEnded(x *supervisor.Exit) string {
	switch {
	case x.StartError != "":
		return x.StartError
	case x.Lost:
		return "its supervisor was killed"
	case x.Signal != 0:
		return signalName(x.Signal)
	}
	return fmt.Sprintf("exit code %d", x.Code)
}

// end ends it for good and returns when nothing of it is left.
func (s *server) end(grace time.Duration) {
	s.mu.Lock()
	first := !s.ending
	s.ending = true
	id, ended := s.id, s.ended
	s.mu.Unlock()
	if ended == nil {
		return
	}
	if first {
		s.stop(id, grace)
	}
	<-ended
}

func (s *server) isEnding() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ending
}

// ready says why it does not run.
func (s *server) ready() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.problem
}
