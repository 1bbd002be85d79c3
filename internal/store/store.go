package store

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"syscall"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// Options of a store. The zero value is the one for use.
type Options struct {
	Logger *slog.Logger // nil: none
	FS     vfs.FS       // nil: the disk. Otherwise dir is in FS, and no lock is taken on the disk.
	NoSync bool         // answers before the data is on disk: only for comparisons
}

// DB is an open store. Its methods are for concurrent use.
type DB struct {
	dir    string
	log    *slog.Logger
	pebble *pebble.DB
	wal    *walFS
	space  *space
	lock   *os.File

	ctx        context.Context // ends with Close
	stop       context.CancelFunc
	background sync.WaitGroup

	reclaimMu  sync.Mutex
	reclaiming bool // a reclaim runs
	removed    bool // something was removed since it began
	closing    bool
}

// Open opens the store under dir, which is made when missing, and takes it for
// this process. Errors: *InUseError, *NewerVersionError, *DirError.
func Open(dir string, o Options) (*DB, error) {
	db := &DB{dir: dir, log: o.Logger}
	if db.log == nil {
		db.log = slog.New(slog.DiscardHandler)
	}
	fs := o.FS
	if fs == nil {
		if err := db.takeDir(); err != nil {
			return nil, err
		}
		fs = vfs.Default
	} else if err := fs.MkdirAll(dir, 0o755); err != nil {
		return nil, dirError(dir, err)
	}
	db.ctx, db.stop = context.WithCancel(context.Background())
	db.space = newSpace(fs, dir, db.log)
	watched := compactFS{vfs.OnDiskFull(fs, db.space.overboard), db.space}
	db.wal = &walFS{FS: watched, noSync: o.NoSync}
	if err := db.open(); err != nil {
		db.stop()
		db.unlock()
		return nil, err
	}
	return db, nil
}

func (db *DB) takeDir() error {
	if err := os.MkdirAll(db.dir, 0o700); err != nil { // messages are nobody else's
		return dirError(db.dir, err)
	}
	lock, err := lockDir(db.dir)
	if err != nil {
		return err
	}
	db.lock = lock
	return nil
}

func (db *DB) open() error {
	path := db.wal.PathJoin(db.dir, "db")
	if err := makeDurable(db.wal, path); err != nil {
		return dirError(db.dir, err)
	}
	p, err := pebble.Open(path, db.pebbleOptions())
	if err != nil {
		return db.openError(err)
	}
	db.pebble = p
	if err := db.checkFormat(); err != nil {
		return errors.Join(err, p.Close())
	}
	return nil
}

// makeDurable makes a directory, and it and its parents survive a power cut.
func makeDurable(fs vfs.FS, path string) error {
	if err := fs.MkdirAll(path, 0o755); err != nil {
		return err
	}
	for range 3 {
		path = fs.PathDir(path)
		d, err := fs.OpenDir(path)
		if err != nil {
			// Not ours to read: then it was not ours to make.
			return nil
		}
		if err := errors.Join(d.Sync(), d.Close()); err != nil {
			return err
		}
	}
	return nil
}

func (db *DB) openError(err error) error {
	switch {
	case strings.Contains(err.Error(), "unknown format major version"):
		return &NewerVersionError{Dir: db.dir, Supported: formatVersion}
	case errors.Is(err, os.ErrPermission), errors.Is(err, syscall.EROFS), errors.Is(err, syscall.ENOTDIR), errors.Is(err, syscall.ENOSPC):
		return dirError(db.dir, err)
	}
	return fmt.Errorf("open data directory %s: %w", db.dir, err)
}

// checkFormat refuses a newer format and marks a new store with this one.
func (db *DB) checkFormat() error {
	value, closer, err := db.pebble.Get(formatKey)
	if errors.Is(err, pebble.ErrNotFound) {
		return db.pebble.Set(formatKey, binary.BigEndian.AppendUint32(nil, formatVersion), pebble.NoSync)
	}
	if err != nil {
		return fmt.Errorf("read format of %s: %w", db.dir, err)
	}
	defer closer.Close()
	if len(value) != 4 {
		return fmt.Errorf("data directory %s: its format mark is damaged (%d bytes)", db.dir, len(value))
	}
	if found := binary.BigEndian.Uint32(value); found > formatVersion {
		return &NewerVersionError{Dir: db.dir, Found: found, Supported: formatVersion}
	}
	return nil
}

// Pebble is the database itself, for reads and for making batches.
func (db *DB) Pebble() *pebble.DB { return db.pebble }

// Commit writes b and returns when it is on disk. ErrFull: the disk is full,
// nothing of b was written.
func (db *DB) Commit(b *pebble.Batch) error {
	if err := db.space.admit(b.Len()); err != nil {
		return err
	}
	return db.commit(b)
}

func (db *DB) commit(b *pebble.Batch) error {
	db.wal.durable.Add(1)
	err := b.Commit(pebble.Sync)
	db.wal.durable.Add(-1)
	return err
}

// CommitNoSync writes b and returns when the operating system has it: it
// survives the death of this process and may be lost with the power.
func (db *DB) CommitNoSync(b *pebble.Batch) error {
	return b.Commit(pebble.Sync)
}

// Close closes the database and gives the directory free.
func (db *DB) Close() error {
	db.reclaimMu.Lock()
	db.closing = true
	db.reclaimMu.Unlock()
	db.stop()
	db.background.Wait()
	err := db.pebble.Close()
	db.unlock()
	return err
}

func (db *DB) unlock() {
	if db.lock != nil {
		db.lock.Close()
	}
}
