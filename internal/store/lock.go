package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// lockDir takes DIR/lock, whose content names its holder: the pid, a line
// break, the command line. The kernel frees the lock when the process ends,
// however it ends.
func lockDir(dir string) (*os.File, error) {
	path := filepath.Join(dir, "lock")
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, dirError(dir, err)
	}
	if err := takeLock(f, dir, path); err != nil {
		defer f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, holder(dir, path)
		}
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	line := fmt.Sprintf("%d\n%s\n", os.Getpid(), strings.Join(os.Args, " "))
	if err := errors.Join(f.Truncate(0), writeAt(f, line)); err != nil && !errors.Is(err, syscall.ENOSPC) {
		f.Close()
		return nil, fmt.Errorf("write %s: %w", path, err)
	}
	return f, nil
}

// orphanedLock is how long a lock may outlive its holder: a process that was
// killed while it started another one has it until that one's program runs.
const orphanedLock = 2 * time.Second

func takeLock(f *os.File, dir, path string) error {
	for deadline := time.Now().Add(orphanedLock); ; time.Sleep(5 * time.Millisecond) {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if !errors.Is(err, unix.EWOULDBLOCK) || time.Now().After(deadline) {
			return err
		}
		var inUse *InUseError
		if !errors.As(holder(dir, path), &inUse) || inUse.PID == 0 || !errors.Is(unix.Kill(inUse.PID, 0), unix.ESRCH) {
			return err
		}
	}
}

func writeAt(f *os.File, s string) error {
	_, err := f.WriteAt([]byte(s), 0)
	return err
}

// holder says who has the lock.
func holder(dir, path string) error {
	e := &InUseError{Dir: dir}
	data, err := os.ReadFile(path)
	if err != nil {
		return e
	}
	pid, command, _ := strings.Cut(strings.TrimSpace(string(data)), "\n")
	if e.PID, err = strconv.Atoi(pid); err != nil {
		e.PID = 0
	}
	e.Command = command
	return e
}

// dirError puts what the system says of the directory into words.
func dirError(dir string, err error) error {
	e := &DirError{Dir: dir, Err: err}
	switch {
	case errors.Is(err, syscall.ENOTDIR), errors.Is(err, syscall.EEXIST):
		e.What, e.Hint = "is not a directory", "move the file away, or choose another directory with --data"
	case errors.Is(err, syscall.EROFS):
		e.What, e.Hint = "is on a read-only file system", "choose a directory that can be written to with --data"
	case errors.Is(err, os.ErrPermission):
		e.What, e.Hint = "is not writable", "change its owner or mode, or choose another directory with --data"
	case errors.Is(err, syscall.ENOSPC):
		e.What, e.Hint = "has no space left", "free some space on that disk, or choose another directory with --data"
	default:
		e.What, e.Hint = "can't be used", "choose another directory with --data"
	}
	return e
}
