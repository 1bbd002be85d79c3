package supervisor

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// EndsDescendants: no process of a run is left once its end is told.
const EndsDescendants = true

// becomeSubreaper makes orphans of any depth this process's children.
func becomeSubreaper() error {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("become a subreaper: %w", err)
	}
	return nil
}

var bootID = sync.OnceValue(func() string {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "" // unknown: then nothing is taken as of this boot
	}
	return string(bytes.TrimSpace(id))
})

// newPipe makes the pipe for a run's output: reading does not block, writing does.
func newPipe(p *[2]int) error {
	if err := unix.Pipe2(p[:], unix.O_CLOEXEC); err != nil {
		return err
	}
	_, err := unix.FcntlInt(uintptr(p[0]), unix.F_SETFL, unix.O_NONBLOCK)
	return err
}

// forkExec starts a run in a process group of its own. The kernel kills it when
// this thread dies.
func forkExec(start *Start, io stdio) (pid, pidfd int, err error) {
	pidfd = -1
	pid, err = syscall.ForkExec(start.Path, start.Argv, &syscall.ProcAttr{
		Dir: start.Dir, Env: start.Env,
		Files: []uintptr{uintptr(io[0]), uintptr(io[1]), uintptr(io[2])},
		Sys:   &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL, PidFD: &pidfd},
	})
	return pid, pidfd, err
}

// peakMemory is the most that one process of a run held, in bytes. A process
// starts with the high-water mark of the one that forked it, this one: what is
// not above it is not known.
func peakMemory(usage *unix.Rusage) int64 {
	var own unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &own); err != nil || usage.Maxrss <= own.Maxrss {
		return 0
	}
	return usage.Maxrss << 10
}

// poller is an epoll.
type poller struct {
	fd       int
	events   [128]unix.EpollEvent
	children map[int]*child // by output
}

func newPoller() (*poller, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("make an epoll: %w", err)
	}
	return &poller{fd: fd, children: make(map[int]*child)}, nil
}

func (p *poller) add(fd int, kind eventKind) error {
	return p.control(unix.EPOLL_CTL_ADD, fd, unix.EPOLLIN, kind)
}

func (p *poller) control(op, fd int, events uint32, kind eventKind) error {
	if err := unix.EpollCtl(p.fd, op, fd, &unix.EpollEvent{Events: events, Fd: int32(fd), Pad: int32(kind)}); err != nil {
		return fmt.Errorf("watch a file descriptor: %w", err)
	}
	return nil
}

func (p *poller) addOutput(c *child) error {
	p.children[c.pipe] = c
	return p.add(c.pipe, kindOfOutput)
}

// removeOutput forgets a pipe that is about to be closed; that takes it out of
// the epoll.
func (p *poller) removeOutput(c *child) { delete(p.children, c.pipe) }

func (p *poller) addExit(c *child) error {
	if c.pidfd < 0 {
		return nil // a kernel before 5.3: the check for orphans finds its end
	}
	return p.add(c.pidfd, kindOfExit)
}

func (p *poller) removeExit(c *child) {
	if c.pidfd >= 0 {
		_ = unix.Close(c.pidfd)
		c.pidfd = -1
	}
}

// writable asks for an event when conn takes more, or no longer.
func (p *poller) writable(conn int, on bool) {
	events := uint32(unix.EPOLLIN)
	if on {
		events |= unix.EPOLLOUT
	}
	_ = p.control(unix.EPOLL_CTL_MOD, conn, events, kindOfConn) // conn is there for good
}

// wait waits up to d (negative: without end) and hands over what happened.
func (p *poller) wait(d time.Duration, handle func(fd int, kind eventKind)) error {
	ms := -1
	if d >= 0 {
		ms = int((d + time.Millisecond - 1) / time.Millisecond)
	}
	n, err := unix.EpollWait(p.fd, p.events[:], ms)
	if err != nil && err != unix.EINTR {
		return err
	}
	for i := range max(n, 0) {
		handle(int(p.events[i].Fd), eventKind(p.events[i].Pad))
	}
	return nil
}

// adopted are the children of this process that are not in known: orphans of
// its runs.
func adopted(known map[int]*child) []int {
	var list []int
	for _, pid := range children() {
		if known[pid] == nil {
			list = append(list, pid)
		}
	}
	return list
}

var childrenFile = sync.OnceValue(func() *os.File {
	f, err := os.Open(fmt.Sprintf("/proc/self/task/%d/children", os.Getpid()))
	if err != nil {
		return nil
	}
	return f
})

// children are the pids of this process's children. The main thread forks and
// adopts all of them; a kernel without its list is asked process by process.
func children() []int {
	f := childrenFile()
	if f == nil {
		return childrenByWalk()
	}
	var list []int
	var buf [4096]byte
	var offset int64
	pid := 0
	for {
		n, _ := f.ReadAt(buf[:], offset)
		if n <= 0 {
			return list
		}
		offset += int64(n)
		for _, b := range buf[:n] {
			if b != ' ' {
				pid = pid*10 + int(b-'0')
			} else if pid != 0 {
				list, pid = append(list, pid), 0
			}
		}
	}
}

func childrenByWalk() []int {
	var list []int
	for pid, parent := range processes() {
		if parent == os.Getpid() {
			list = append(list, pid)
		}
	}
	return list
}

// ownerOf is the run that an adopted process was started by, the zero ID when
// its environment does not tell.
func ownerOf(pid int, marker string) RunID {
	environ, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/environ")
	if err != nil {
		return RunID{}
	}
	id, _ := parseMark(string(environ), marker)
	return id
}

// processes are all processes with their parents.
func processes() map[int]int {
	dir, err := os.Open("/proc")
	if err != nil {
		return nil
	}
	defer func() { _ = dir.Close() }()
	names, _ := dir.Readdirnames(-1) // what could be read is what there is to go by
	parents := make(map[int]int, len(names))
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		stat, err := os.ReadFile("/proc/" + name + "/stat")
		if err != nil {
			continue
		}
		// pid (name) state parent …; the name may hold anything.
		fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
		if len(fields) > 1 {
			parents[pid], _ = strconv.Atoi(fields[1])
		}
	}
	return parents
}

// killDescendants kills all processes below this one.
func killDescendants() {
	killBelow(processes(), func(pid int) bool { return pid == os.Getpid() })
}

// killBelow kills every process that has one of roots above it.
func killBelow(parents map[int]int, root func(pid int) bool) {
	for pid := range parents {
		for p := parents[pid]; p > 1; p = parents[p] {
			if root(p) {
				_ = unix.Kill(pid, unix.SIGKILL)
				break
			}
		}
	}
}

// Sweep kills what runs of an earlier supervisor of the same marker are left,
// and everything below them, and returns how many processes it found. It is
// called with the supervisor's lock held.
func Sweep(marker string, limit time.Duration) (int, error) {
	found := make(map[int]bool)
	for deadline := time.Now().Add(limit); ; time.Sleep(5 * time.Millisecond) {
		parents := processes()
		marked := make(map[int]bool)
		for pid := range parents {
			environ, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/environ")
			if err != nil || !bytes.Contains(environ, []byte(MarkerEnv+"="+marker+".")) {
				continue
			}
			marked[pid], found[pid] = true, true
		}
		if len(marked) == 0 {
			return len(found), nil
		}
		killBelow(parents, func(pid int) bool { return marked[pid] })
		for pid := range marked {
			_ = unix.Kill(pid, unix.SIGKILL)
		}
		if time.Now().After(deadline) {
			return len(found), fmt.Errorf("%d processes of an earlier run can't be killed", len(marked))
		}
	}
}

// ownProgram is this very program, also when its file was replaced since.
func ownProgram() (string, error) { return "/proc/self/exe", nil }
