package operator

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/fsnotify/fsnotify"
)

// How the file is followed: a mounted ConfigMap changes by a swap of links in
// its folder. Where such a change is not told, the file is looked at every
// accessLook all the same.
const (
	accessSettle = 100 * time.Millisecond
	accessLook   = 30 * time.Second
)

// AccessFile is an Access in a file, followed. What can't be read leaves the
// last good one in force.
type AccessFile struct {
	path    string
	log     *slog.Logger
	text    []byte // as last read
	current atomic.Pointer[Access]
}

// OpenAccess reads the file. One that is not there yet allows nothing: the
// install does not bring it, so that an upgrade can't empty a person's list.
func OpenAccess(path string, log *slog.Logger) (*AccessFile, error) {
	f := &AccessFile{path: path, log: log}
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		log.Warn("there is no allow-list yet: nothing is allowed", "file", path)
	} else if err != nil {
		return nil, fmt.Errorf("read the allow-list: %w", err)
	}
	a, err := ParseAccess(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	f.text = text
	f.current.Store(a)
	return f, nil
}

// Access is the list in force. Of a nil AccessFile it is nil: all is allowed.
func (f *AccessFile) Access() *Access {
	if f == nil {
		return nil
	}
	return f.current.Load()
}

// follow calls changed when another list is in force, until ctx ends.
func (f *AccessFile) follow(ctx context.Context, changed func()) {
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		watcher = &fsnotify.Watcher{} // its channels are nil: nothing comes
	} else {
		defer func() { _ = watcher.Close() }()
		err = watcher.Add(filepath.Dir(f.path))
	}
	if err != nil {
		f.log.Warn("changes of the allow-list are seen late", "file", f.path, "every", accessLook, keyError, err)
	}
	look := time.NewTimer(accessLook)
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-watcher.Events:
			look.Reset(accessSettle)
		case <-watcher.Errors:
			look.Reset(accessSettle)
		case <-look.C:
			if f.reload() {
				changed()
			}
			look.Reset(accessLook)
		}
	}
}

// reload tells whether another list is in force now.
func (f *AccessFile) reload() bool {
	text, err := os.ReadFile(f.path)
	if errors.Is(err, fs.ErrNotExist) {
		text, err = nil, nil // taken away: nothing is allowed
	}
	if err == nil && bytes.Equal(text, f.text) {
		return false
	}
	var a *Access
	if err == nil {
		f.text = text
		a, err = ParseAccess(text)
	}
	if err != nil {
		f.log.Error("the allow-list can't be read; the last good one holds", "file", f.path, keyError, err)
		return false
	}
	f.current.Store(a)
	f.log.Info("allow-list read", "file", f.path, "lines", len(a.Allow))
	return true
}
