package worker

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/queuemill/queuemill/internal/message"
)

// Files of a run's scratch directory.
const (
	messageName    = "message"
	attributesName = "attributes.json"
	resultName     = "result"
)

const (
	homePrefix = "queuemill-worker-"
	lockName   = "lock"

	// fresh is how young a home without a lock may be and yet somebody's.
	fresh = time.Minute

	maxResult = 4 << 10 // bytes of a result file that are read
)

// home is the directory of one worker: its lock, the supervisor's files, and a
// scratch directory of each run. The lock is held as long as the worker or its
// supervisor lives.
type home struct {
	dir  string
	lock *os.File
}

// newHome makes a home in temp, and removes those of workers that are no more:
// message bodies must not stay behind in a shared directory.
func newHome(temp string, log *slog.Logger) (*home, error) {
	if temp == "" {
		temp = os.TempDir()
	}
	temp, err := filepath.Abs(temp)
	if err != nil {
		return nil, fmt.Errorf("folder of message files: %w", err)
	}
	removeAbandoned(temp, log)
	dir, err := os.MkdirTemp(temp, homePrefix) // its owner's alone
	if err != nil {
		return nil, fmt.Errorf("folder of message files: %w", err)
	}
	h := &home{dir: dir}
	if h.lock, err = os.OpenFile(filepath.Join(dir, lockName), os.O_CREATE|os.O_RDWR, 0o600); err == nil {
		err = unix.Flock(int(h.lock.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	}
	for _, sub := range []string{"logs", "journal", "run"} {
		err = errors.Join(err, os.Mkdir(filepath.Join(dir, sub), 0o700))
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("folder of message files: %w", err), h.remove())
	}
	return h, nil
}

func (h *home) remove() error {
	if h.lock != nil {
		_ = h.lock.Close()
	}
	return removeAll(h.dir)
}

// removeAbandoned removes the homes of killed workers of this user.
func removeAbandoned(temp string, log *slog.Logger) {
	entries, err := os.ReadDir(temp)
	if err != nil {
		return // MkdirTemp says what is wrong
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), homePrefix) || !e.IsDir() {
			continue
		}
		dir := filepath.Join(temp, e.Name())
		lock, err := os.OpenFile(filepath.Join(dir, lockName), os.O_RDWR|unix.O_NOFOLLOW, 0)
		if err != nil {
			info, infoErr := e.Info()
			if !errors.Is(err, fs.ErrNotExist) || infoErr != nil || time.Since(info.ModTime()) < fresh {
				continue // somebody else's, or just being made
			}
		} else if unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB) != nil {
			_ = lock.Close()
			continue
		}
		if err := removeAll(dir); err != nil {
			log.Warn("what a killed worker left can't be removed", keyError, err)
		}
		if lock != nil {
			_ = lock.Close()
		}
	}
}

// scratch is the directory of one run, with the files of its message.
type scratch struct{ dir string }

func (s scratch) file(name string) string { return filepath.Join(s.dir, name) }

func (h *home) scratch(run string, item *message.Item) (scratch, error) {
	s := scratch{filepath.Join(h.dir, "run", run)}
	attributes := []byte("{}")
	var err error
	if len(item.Attributes) > 0 {
		attributes, err = json.Marshal(item.Attributes)
	}
	if err == nil {
		err = os.Mkdir(s.dir, 0o700)
	}
	if err == nil {
		err = os.WriteFile(s.file(messageName), []byte(item.Payload), 0o600)
	}
	if err == nil {
		err = os.WriteFile(s.file(attributesName), attributes, 0o600)
	}
	if err != nil {
		return s, errors.Join(fmt.Errorf("write the message's files: %w", err), removeAll(s.dir))
	}
	return s, nil
}

// result is what the command wrote into its result file, "" when nothing.
func (s scratch) result() string {
	f, err := os.OpenFile(s.file(resultName), os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return ""
	}
	defer func() { _ = f.Close() }()
	text := make([]byte, maxResult)
	n, _ := f.Read(text) // a directory or an empty file says nothing
	return strings.TrimSpace(string(text[:max(n, 0)]))
}

// removeAll removes a directory with all that a command left in it, be it
// without permission to write.
func removeAll(dir string) error {
	if os.RemoveAll(dir) == nil {
		return nil
	}
	_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			_ = os.Chmod(path, 0o700) // what this does not help, RemoveAll tells
		}
		return nil
	})
	return os.RemoveAll(dir)
}
