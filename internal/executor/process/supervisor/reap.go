package supervisor

import (
	"time"

	"golang.org/x/sys/unix"
)

// reap takes every process that has ended: jobs, and the orphans that were
// adopted from them.
func (s *server) reap() {
	var status unix.WaitStatus
	var usage unix.Rusage
	ended := len(s.ending) > 0
	for {
		pid, err := unix.Wait4(-1, &status, unix.WNOHANG, &usage)
		if err == unix.EINTR {
			continue
		}
		if err != nil || pid <= 0 {
			break
		}
		delete(s.orphans, pid)
		if c := s.pids[pid]; c != nil {
			s.exited(c, status, &usage)
			ended = true
		}
	}
	if ended || len(s.orphans) > 0 {
		s.killOrphans()
	}
}

// exited notes how a run's main process ended and kills what is left of its
// group. The group's number can't be another's yet: a process that still has it
// keeps it taken, and where none has, the next fork is still to come.
func (s *server) exited(c *child, status unix.WaitStatus, usage *unix.Rusage) {
	delete(s.pids, c.pid)
	s.poll.removeExit(c)
	now := time.Now()
	c.exited, c.exitedAt = true, now
	c.exit = Exit{
		ID: c.id, StartedAt: c.startedAt, FinishedAt: c.startedAt.Add(now.Sub(c.startedAt)), Code: -1,
		TimedOut: c.timedOut, Stopped: c.stopped, PeakMemory: peakMemory(usage),
	}
	if status.Signaled() {
		c.exit.Signal = int(status.Signal())
	} else {
		c.exit.Code = status.ExitStatus()
	}
	s.ending = append(s.ending, c)
}

// report tells the ends of the runs of which nothing is left.
func (s *server) report(now time.Time) {
	if len(s.ending) == 0 {
		return
	}
	waiting := s.ending[:0]
	for _, c := range s.ending {
		left := unix.Kill(-c.pid, unix.SIGKILL) != unix.ESRCH || s.hasOrphans(c.id)
		if left && now.Sub(c.exitedAt) < lingerLimit {
			waiting = append(waiting, c)
			continue
		}
		for s.readOutput(c) {
		}
		s.closeOutput(c)
		c.log.close()
		c.exit.LogSize = c.log.total
		delete(s.runs, c.id)
		s.tellEnd(&c.exit)
	}
	clear(s.ending[len(waiting):])
	s.ending = waiting
}

// tellEnd puts an end into the journal and before the controller.
func (s *server) tellEnd(x *Exit) {
	delete(s.followed, x.ID)
	s.journal.ended(x)
	s.out = appendExit(s.out, x)
}

func (s *server) hasOrphans(id RunID) bool {
	for _, owner := range s.orphans {
		if owner == id {
			return true
		}
	}
	return false
}

// killOrphans looks at the adopted processes and kills those whose run's main
// process has ended. One that does not tell whose it is, is killed when no run
// is left that it could belong to.
func (s *server) killOrphans() {
	for _, pid := range adopted(s.pids) {
		owner, known := s.orphans[pid]
		if !known {
			owner = ownerOf(pid, s.config.Marker)
			s.orphans[pid] = owner
		}
		c := s.runs[owner]
		if owner == (RunID{}) && len(s.pids) > 0 || c != nil && !c.exited {
			continue
		}
		_ = unix.Kill(pid, unix.SIGKILL)
	}
}

// endAll kills and reaps every descendant. Runs that had ended by themselves
// are written down; one that this kills is not, so that it counts as
// interrupted.
func (s *server) endAll() {
	s.starts = nil
	s.reap()
	s.report(time.Now().Add(2 * lingerLimit))
	_ = s.journal.flush()
	for {
		for pid := range s.pids {
			_ = unix.Kill(-pid, unix.SIGKILL)
		}
		killDescendants()
		if !s.reapKilled() {
			return
		}
	}
}

// reapKilled waits for one process to end and takes all that have. False: there
// are none left.
func (s *server) reapKilled() bool {
	var status unix.WaitStatus
	var usage unix.Rusage
	for options := 0; ; options = unix.WNOHANG {
		pid, err := unix.Wait4(-1, &status, options, &usage)
		switch {
		case err == unix.EINTR:
			continue
		case err != nil:
			return false
		case pid <= 0:
			return true
		}
		if c := s.pids[pid]; c != nil {
			delete(s.pids, pid)
			if status.Signaled() && status.Signal() == unix.SIGKILL {
				continue
			}
			s.exited(c, status, &usage)
			s.report(time.Now().Add(2 * lingerLimit))
			_ = s.journal.flush()
		}
	}
}
