//go:build unix && !linux

package supervisor

import (
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// EndsDescendants: a process that left its run's group may be left when the
// run's end is told.
const EndsDescendants = false

// becomeSubreaper does nothing: there are no subreapers here.
func becomeSubreaper() error { return nil }

// bootID is unknown, so that nothing is taken as of this boot.
func bootID() string { return "" }

// newPipe makes the pipe for a run's output: reading does not block, writing does.
func newPipe(p *[2]int) error {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	if err := unix.Pipe(p[:]); err != nil {
		return err
	}
	unix.CloseOnExec(p[0])
	unix.CloseOnExec(p[1])
	return unix.SetNonblock(p[0], true)
}

// forkExec starts a run in a process group of its own.
func forkExec(start *Start, io stdio) (pid, pidfd int, err error) {
	pid, err = syscall.ForkExec(start.Path, start.Argv, &syscall.ProcAttr{
		Dir: start.Dir, Env: start.Env,
		Files: []uintptr{uintptr(io[0]), uintptr(io[1]), uintptr(io[2])},
		Sys:   &syscall.SysProcAttr{Setpgid: true},
	})
	return pid, -1, err
}

// peakMemory is the most that one process of a run held, in bytes.
func peakMemory(usage *unix.Rusage) int64 {
	if runtime.GOOS == "darwin" {
		return usage.Maxrss // bytes
	}
	return usage.Maxrss << 10
}

// poller is a poll, and a pipe that tells of SIGCHLD.
type poller struct {
	conn     int
	exits    int
	out      bool // conn's events of writing are wanted
	children map[int]*child
}

func newPoller() (*poller, error) {
	var p [2]int
	if err := newPipe(&p); err != nil {
		return nil, fmt.Errorf("make a pipe: %w", err)
	}
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, unix.SIGCHLD)
	go func() { // until the process ends
		for range ended {
			_, _ = unix.Write(p[1], []byte{0})
		}
	}()
	return &poller{exits: p[0], children: make(map[int]*child)}, nil
}

func (p *poller) add(fd int, _ eventKind) error { p.conn = fd; return nil }

func (p *poller) addOutput(c *child) error { p.children[c.pipe] = c; return nil }
func (p *poller) removeOutput(c *child)    { delete(p.children, c.pipe) }
func (p *poller) addExit(*child) error     { return nil }
func (p *poller) removeExit(*child)        {}
func (p *poller) writable(_ int, on bool)  { p.out = on }

// wait waits up to d (negative: without end) and hands over what happened.
func (p *poller) wait(d time.Duration, handle func(fd int, kind eventKind)) error {
	fds := make([]unix.PollFd, 2, 2+len(p.children))
	fds[0] = unix.PollFd{Fd: int32(p.conn), Events: unix.POLLIN}
	if p.out {
		fds[0].Events |= unix.POLLOUT
	}
	fds[1] = unix.PollFd{Fd: int32(p.exits), Events: unix.POLLIN}
	for fd := range p.children {
		fds = append(fds, unix.PollFd{Fd: int32(fd), Events: unix.POLLIN})
	}
	ms := -1
	if d >= 0 {
		ms = int((d + time.Millisecond - 1) / time.Millisecond)
	}
	if _, err := unix.Poll(fds, ms); err != nil && err != unix.EINTR {
		return err
	}
	for i := range fds {
		if fds[i].Revents == 0 {
			continue
		}
		switch i {
		case 0:
			handle(p.conn, kindOfConn)
		case 1:
			var buf [64]byte
			_, _ = unix.Read(p.exits, buf[:])
			handle(p.exits, kindOfExit)
		default:
			handle(int(fds[i].Fd), kindOfOutput)
		}
	}
	return nil
}

// adopted is none: orphans go to the system's first process.
func adopted(map[int]*child) []int { return nil }

func ownerOf(int, string) RunID { return RunID{} }

// killDescendants does nothing more: the groups of the runs have been killed.
func killDescendants() {}

// Sweep finds nothing: the environment of processes is not looked at here.
func Sweep(string, time.Duration) (int, error) { return 0, nil }

func ownProgram() (string, error) { return os.Executable() }
