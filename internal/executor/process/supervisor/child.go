package supervisor

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// child is one run, from its fork until its end is told.
type child struct {
	id        RunID
	pid       int // also its process group
	pidfd     int // -1: none
	pipe      int // its output; -1: at its end
	log       output
	grace     time.Duration
	startedAt time.Time
	exit      Exit
	exited    bool
	exitedAt  time.Time
	timedOut  bool
	stopped   bool
	killed    bool  // SIGKILL was sent after the grace
	told      int64 // bytes of output last told
}

func (s *server) outputs(fd int) *child { return s.poll.children[fd] }

// launch forks what was asked for. The starts of a batch go to the journal in
// one write before the first of them is forked.
func (s *server) launch(now time.Time) {
	if len(s.starts) == 0 || now.Before(s.held) {
		return
	}
	batch := s.starts[:min(len(s.starts), launchBatch)]
	at := time.Now()
	for i := range batch {
		s.journal.started(batch[i].ID, at)
	}
	if err := s.journal.flush(); err != nil {
		s.held = now.Add(retryPause)
		return
	}
	done := 0
	for i := range batch {
		if !s.fork(&batch[i]) {
			s.held = now.Add(retryPause)
			break
		}
		done++
	}
	clear(s.starts[:done])
	s.starts = s.starts[done:]
	if len(s.starts) == 0 {
		s.starts = nil
	}
}

// fork starts one run. False: the machine has no room for it now.
func (s *server) fork(start *Start) bool {
	c := &child{id: start.ID, pidfd: -1, pipe: -1, grace: start.Grace, startedAt: time.Now()}
	c.log = output{path: "logs/" + start.ID.String() + ".log", limit: start.LogLimit, fd: -1}
	stdio, ours, err := s.open(start)
	if err == nil {
		c.pid, c.pidfd, err = forkExec(start, stdio)
		s.closeTheirs(stdio)
	}
	if err != nil {
		if ours >= 0 {
			_ = unix.Close(ours)
		}
		if noRoom(err) && len(s.runs) > 0 {
			return false
		}
		x := Exit{ID: start.ID, StartedAt: c.startedAt, FinishedAt: time.Now(), Code: -1, StartError: startError(start, err)}
		s.tellEnd(&x)
		return true
	}
	c.pipe = ours
	s.runs[c.id], s.pids[c.pid] = c, c
	if err := errors.Join(s.addOutput(c), s.poll.addExit(c)); err != nil {
		// Without its events the run can't be seen through.
		fmt.Fprintln(os.Stderr, "queuemill supervisor:", err)
		_ = unix.Kill(-c.pid, unix.SIGKILL)
		s.exits = true
	}
	if start.Timeout > 0 {
		s.deadlines.push(deadline{at: c.startedAt.Add(start.Timeout), run: c.id, what: sendTerm})
	}
	s.out = appendStarted(s.out, c.id, c.startedAt)
	return true
}

// stdio are a run's standard input, output and error.
type stdio [3]int

// open opens a run's stdio; ours is the reading end of its output, -1 where
// nothing is kept of it.
func (s *server) open(start *Start) (io stdio, ours int, err error) {
	io, ours = stdio{s.devNull, 1, 2}, -1
	if start.Stdin != "" {
		if io[0], err = unix.Open(start.Stdin, unix.O_RDONLY|unix.O_CLOEXEC, 0); err != nil {
			return io, ours, fmt.Errorf("read %s: %w", start.Stdin, err)
		}
	}
	if start.Inherit {
		return io, ours, nil
	}
	var pipe [2]int
	if err := newPipe(&pipe); err != nil {
		s.closeTheirs(io)
		return io, ours, err
	}
	io[1], io[2] = pipe[1], pipe[1]
	return io, pipe[0], nil
}

// closeTheirs closes what was opened for a run alone.
func (s *server) closeTheirs(io stdio) {
	if io[0] != s.devNull {
		_ = unix.Close(io[0])
	}
	if io[1] != 1 {
		_ = unix.Close(io[1])
	}
}

func (s *server) addOutput(c *child) error {
	if c.pipe < 0 {
		return nil
	}
	return s.poll.addOutput(c)
}

// noRoom tells whether a fork failed for what other processes use.
func noRoom(err error) bool {
	return errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.ENOMEM) || errors.Is(err, unix.EMFILE) || errors.Is(err, unix.ENFILE)
}

// startError says in words why a run could not be started. The kernel tells
// one number for the directory, the program and its interpreter.
func startError(start *Start, err error) string {
	if info, dirErr := os.Stat(start.Dir); dirErr != nil {
		return fmt.Sprintf("working directory %s: %v", start.Dir, pathCause(dirErr))
	} else if !info.IsDir() {
		return fmt.Sprintf("working directory %s: not a directory", start.Dir)
	}
	program := start.Argv[0]
	switch {
	case errors.Is(err, unix.E2BIG):
		return fmt.Sprintf("start %s: arguments and environment are larger than the system takes: %v", program, err)
	case errors.Is(err, unix.ENOEXEC):
		return fmt.Sprintf("start %s: %v: neither a program of this machine nor a script with #! in its first line", program, err)
	case errors.Is(err, unix.ENOENT):
		if _, statErr := os.Stat(start.Path); statErr == nil {
			return fmt.Sprintf("start %s: its interpreter (first line, or the loader of the program) does not exist", program)
		}
	}
	return fmt.Sprintf("start %s: %v", program, err)
}

func pathCause(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}

// readOutput takes what a run wrote, one buffer at most, so that a loud one
// does not keep the others waiting.
func (s *server) readOutput(c *child) (more bool) {
	if c.pipe < 0 {
		return false
	}
	n, err := unix.Read(c.pipe, s.buf[:])
	switch {
	case err == unix.EINTR:
		return true
	case err == unix.EAGAIN:
		return false
	case err != nil || n == 0:
		s.closeOutput(c)
		return false
	}
	c.log.write(s.buf[:n])
	s.grew(c)
	return true
}

func (s *server) closeOutput(c *child) {
	if c.pipe >= 0 {
		s.poll.removeOutput(c)
		_ = unix.Close(c.pipe)
		c.pipe = -1
	}
}

// follow tells of a run's output from now on, or no longer. The run may be one
// that waits for its fork; one that has ended is told by its end.
func (s *server) follow(id RunID, on bool) {
	c := s.runs[id]
	waits := slices.ContainsFunc(s.starts, func(start Start) bool { return start.ID == id })
	if !on || c == nil && !waits {
		delete(s.followed, id)
		return
	}
	s.followed[id] = true
	if c != nil {
		s.grew(c)
	}
}

func (s *server) grew(c *child) {
	if s.followed[c.id] && c.told != c.log.total {
		c.told = c.log.total
		s.out = appendNumber(s.out, kindGrew, c.id, c.log.total)
	}
}

// stop sends SIGTERM to a run's group, and SIGKILL when grace is over. What is
// not yet started never is.
func (s *server) stop(id RunID, grace time.Duration) {
	if c := s.runs[id]; c != nil {
		if !c.exited {
			c.stopped = true
			s.terminate(c, grace)
		}
		return
	}
	for i := range s.starts {
		if s.starts[i].ID == id {
			x := Exit{ID: id, FinishedAt: time.Now(), Code: -1, Stopped: true}
			s.starts = append(s.starts[:i:i], s.starts[i+1:]...)
			s.tellEnd(&x)
			return
		}
	}
}

func (s *server) terminate(c *child, grace time.Duration) {
	_ = unix.Kill(-c.pid, unix.SIGTERM) // gone already: its end is on the way
	s.deadlines.push(deadline{at: time.Now().Add(grace), run: c.id, what: sendKill})
}

// fire acts on the deadlines that are due.
func (s *server) fire(now time.Time) {
	for len(s.deadlines) > 0 && !s.deadlines[0].at.After(now) {
		d := s.deadlines.pop()
		c := s.runs[d.run]
		if c == nil || c.exited {
			continue
		}
		if d.what == sendKill {
			c.killed = true
			_ = unix.Kill(-c.pid, unix.SIGKILL)
			continue
		}
		if !c.stopped {
			c.timedOut = true
			s.terminate(c, c.grace)
		}
	}
}
