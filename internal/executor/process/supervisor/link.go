package supervisor

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Event is one thing a supervisor tells: exactly one of its kinds.
type Event struct {
	ID      RunID
	Started time.Time // not zero: the run started then
	Exit    *Exit     // the run ended so
	Grew    int64     // not zero: a followed run has written so many bytes
	Rotated uint64    // not zero: the journal's generation from now on
}

// Link is the controller's end of a supervisor. Its methods may be called from
// any goroutine, Receive from one.
type Link struct {
	cmd  *exec.Cmd
	conn *os.File
	in   []byte

	mu      sync.Mutex
	pending []byte // to be sent by whoever is sending
	spare   []byte
	sending bool
	err     error
}

// Launch starts a supervisor and waits until it is up. lock is an open file
// that holds the directory's lock; the supervisor keeps it open as long as it
// lives, so the caller closes its own. What it has to say of its own failure
// goes to stderr; stdout (nil: nowhere) is for runs that inherit it.
func Launch(c Config, lock, stdout, stderr *os.File) (*Link, error) {
	program, err := ownProgram()
	if err != nil {
		return nil, fmt.Errorf("start the supervisor: %w", err)
	}
	ours, theirs, err := socketPair()
	if err != nil {
		return nil, fmt.Errorf("start the supervisor: %w", err)
	}
	cmd := &exec.Cmd{
		Path: program, Args: []string{"queuemill-supervisor"}, Env: Env(),
		Stderr: stderr, ExtraFiles: []*os.File{theirs, lock},
		SysProcAttr: &syscall.SysProcAttr{Setsid: true},
	}
	if stdout != nil { // a nil *os.File in an io.Writer is not nil
		cmd.Stdout = stdout
	}
	err = cmd.Start()
	_ = theirs.Close() // only the child's copy matters
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start the supervisor: %w", err), ours.Close())
	}
	l := &Link{cmd: cmd, conn: ours}
	if err := l.greet(c); err != nil {
		return nil, errors.Join(fmt.Errorf("start the supervisor: %w", err), l.Close())
	}
	return l, nil
}

// greet sends the configuration and reads up to the supervisor's hello.
func (l *Link) greet(c Config) error {
	if err := l.send(appendConfig(nil, c)); err != nil {
		return err
	}
	for {
		kind, _, rest, err := nextFrame(l.in)
		switch {
		case err == nil && kind == kindHello:
			l.in = rest
			return nil
		case err == nil:
			return errCorrupt
		case err != errShort:
			return err
		}
		if err := l.fill(); err != nil {
			return err
		}
	}
}

func socketPair() (ours, theirs *os.File, err error) {
	syscall.ForkLock.RLock()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err == nil {
		unix.CloseOnExec(fds[0])
		unix.CloseOnExec(fds[1])
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return nil, nil, err
	}
	if err := unix.SetNonblock(fds[0], true); err != nil {
		return nil, nil, err
	}
	return os.NewFile(uintptr(fds[0]), "supervisor"), os.NewFile(uintptr(fds[1]), "controller"), nil
}

// Start asks for a run. An error means that the supervisor is gone; whether it
// had started the run its journal tells.
func (l *Link) Start(s *Start) error {
	return l.post(func(b []byte) []byte { return appendStart(b, s) })
}

// Stop asks to end a run: SIGTERM now, SIGKILL when grace is over.
func (l *Link) Stop(id RunID, grace time.Duration) error {
	return l.post(func(b []byte) []byte { return appendNumber(b, kindStop, id, int64(grace)) })
}

// Follow asks to be told when a run's output grows, or no longer.
func (l *Link) Follow(id RunID, on bool) error {
	var n int64
	if on {
		n = 1
	}
	return l.post(func(b []byte) []byte { return appendNumber(b, kindFollow, id, n) })
}

// post puts a frame behind those that wait. Whoever finds nobody sending sends
// until nothing waits, so that many callers share a write.
func (l *Link) post(add func([]byte) []byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.pending = add(l.pending)
	if l.sending {
		return l.err
	}
	l.sending = true
	for len(l.pending) > 0 && l.err == nil {
		batch := l.pending
		l.pending, l.spare = l.spare[:0], nil
		l.mu.Unlock()
		err := l.send(batch)
		l.mu.Lock()
		if cap(batch) <= 1<<20 {
			l.spare = batch
		}
		l.err = err
	}
	l.sending = false
	return l.err
}

func (l *Link) send(b []byte) error {
	if _, err := l.conn.Write(b); err != nil {
		return fmt.Errorf("tell the supervisor: %w", err)
	}
	return nil
}

// Receive appends to events what came, at least one. An error means that the
// supervisor is gone.
func (l *Link) Receive(events []Event) ([]Event, error) {
	for {
		had := len(events)
		rest := l.in
		for {
			kind, body, after, err := nextFrame(rest)
			if err == errShort {
				break
			}
			if err != nil {
				return events, err
			}
			rest = after
			event, err := decodeEvent(kind, body)
			if err != nil {
				return events, err
			}
			events = append(events, event)
		}
		l.in = append(l.in[:0], rest...)
		if len(events) > had {
			return events, nil
		}
		if err := l.fill(); err != nil {
			return events, err
		}
	}
}

func (l *Link) fill() error {
	const room = 32 << 10
	if cap(l.in)-len(l.in) < room {
		l.in = append(make([]byte, 0, len(l.in)+2*room), l.in...)
	}
	n, err := l.conn.Read(l.in[len(l.in):cap(l.in)])
	l.in = l.in[:len(l.in)+n]
	if n == 0 && err == nil {
		err = io.ErrUnexpectedEOF
	}
	return err
}

func decodeEvent(kind byte, body []byte) (e Event, err error) {
	switch kind {
	case kindStarted:
		e.ID, e.Started, err = decodeStarted(body)
	case kindExit:
		var x Exit
		x, err = decodeExit(body)
		e.ID, e.Exit = x.ID, &x
	case kindGrew:
		e.ID, e.Grew, err = decodeNumber(body)
	case kindRotated:
		var n int64
		_, n, err = decodeNumber(body)
		e.Rotated = uint64(n)
	default:
		err = errCorrupt
	}
	return e, err
}

// Pid is the supervisor's process.
func (l *Link) Pid() int { return l.cmd.Process.Pid }

// Hangup closes the connection in our direction, upon which the supervisor ends
// all that runs and itself; Receive's error tells when.
func (l *Link) Hangup() {
	raw, err := l.conn.SyscallConn()
	if err == nil {
		err = raw.Control(func(fd uintptr) { _ = unix.Shutdown(int(fd), unix.SHUT_WR) })
	}
	if err != nil {
		_ = l.conn.Close() // the same, with less grace
	}
}

// Close closes the connection and waits until the supervisor is gone.
func (l *Link) Close() error {
	err := l.conn.Close()
	if waitErr := l.cmd.Wait(); waitErr != nil {
		err = errors.Join(err, fmt.Errorf("supervisor: %w", waitErr))
	}
	return err
}
