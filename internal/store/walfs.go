package store

import (
	"strings"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// walFS makes the two grades of commit out of Pebble's one. Pebble hands a
// commit without sync to the operating system only when a block of the log is
// full; the death of the process would lose it. So every commit here is one
// with sync, and the fsync below is left out while no caller is waiting for one.
//
// Why leaving it out is safe: durable is raised before a durable commit enters
// Pebble and lowered after it has been answered, and Pebble syncs the log
// between the two.
type walFS struct {
	vfs.FS
	durable atomic.Int64 // durable commits under way
	noSync  bool         // never fsync
}

func (fs *walFS) wrap(name string, f vfs.File, err error) (vfs.File, error) {
	if err != nil || !strings.HasSuffix(name, ".log") {
		return f, err
	}
	return &walFile{File: f, fs: fs}, nil
}

func (fs *walFS) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := fs.FS.Create(name, c)
	return fs.wrap(name, f, err)
}

func (fs *walFS) ReuseForWrite(oldname, newname string, c vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := fs.FS.ReuseForWrite(oldname, newname, c)
	return fs.wrap(newname, f, err)
}

// Unwrap returns the file system below.
func (fs *walFS) Unwrap() vfs.FS { return fs.FS }

// walFile is a log file. Pebble writes, syncs and closes it from one goroutine
// at a time.
type walFile struct {
	vfs.File
	fs    *walFS
	dirty atomic.Bool // written and not synced
}

func (f *walFile) Write(p []byte) (int, error) {
	f.dirty.Store(true)
	return f.File.Write(p)
}

func (f *walFile) Sync() error     { return f.sync(f.File.Sync) }
func (f *walFile) SyncData() error { return f.sync(f.File.SyncData) }

func (f *walFile) sync(do func() error) error {
	if f.fs.durable.Load() == 0 || f.fs.noSync {
		return nil
	}
	f.dirty.Store(false)
	if err := do(); err != nil {
		f.dirty.Store(true)
		return err
	}
	return nil
}

// Close syncs what is left, so that a finished log is whole before the next
// one has anything in it.
func (f *walFile) Close() error {
	if f.dirty.Load() && !f.fs.noSync {
		if err := f.File.SyncData(); err != nil {
			_ = f.File.Close()
			return err
		}
	}
	return f.File.Close()
}
