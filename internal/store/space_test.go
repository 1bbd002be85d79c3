package store

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

func rng(seed int) *rand.Rand { return rand.New(rand.NewPCG(uint64(seed), 1)) }

// quotaFS is a disk of limited size, in memory.
type quotaFS struct {
	vfs.FS
	mu    sync.Mutex
	total int64
	other int64 // bytes that somebody else has
	size  map[string]int64
}

func newQuotaFS(total int64) *quotaFS {
	return &quotaFS{FS: vfs.NewMem(), total: total, size: map[string]int64{}}
}

func (q *quotaFS) used() int64 {
	n := q.other
	for _, s := range q.size {
		n += s
	}
	return n
}

// grow sets a file's size, unless that is too much.
func (q *quotaFS) grow(name string, to int64) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if to <= q.size[name] {
		return nil
	}
	if q.used()+to-q.size[name] > q.total {
		return syscall.ENOSPC
	}
	q.size[name] = to
	return nil
}

func (q *quotaFS) setOther(n int64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.other = n
}

func (q *quotaFS) avail() int64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	return max(q.total-q.used(), 0)
}

func (q *quotaFS) GetDiskUsage(string) (vfs.DiskUsage, error) {
	return vfs.DiskUsage{AvailBytes: uint64(q.avail()), TotalBytes: uint64(q.total)}, nil
}

func (q *quotaFS) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := q.FS.Create(name, c)
	q.forget(name)
	return &quotaFile{File: f, fs: q, name: name}, err
}

func (q *quotaFS) ReuseForWrite(oldname, newname string, c vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := q.FS.ReuseForWrite(oldname, newname, c)
	q.rename(oldname, newname)
	return &quotaFile{File: f, fs: q, name: newname}, err
}

func (q *quotaFS) Remove(name string) error {
	err := q.FS.Remove(name)
	if err == nil {
		q.forget(name)
	}
	return err
}

func (q *quotaFS) Rename(oldname, newname string) error {
	q.rename(oldname, newname)
	return q.FS.Rename(oldname, newname)
}

func (q *quotaFS) forget(name string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	delete(q.size, name)
}

func (q *quotaFS) rename(oldname, newname string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.size[newname] = q.size[oldname]
	delete(q.size, oldname)
}

type quotaFile struct {
	vfs.File
	fs   *quotaFS
	name string
	off  int64
}

func (f *quotaFile) Write(p []byte) (int, error) {
	if err := f.fs.grow(f.name, f.off+int64(len(p))); err != nil {
		return 0, err
	}
	n, err := f.File.Write(p)
	f.off += int64(n)
	return n, err
}

func (f *quotaFile) Preallocate(off, n int64) error { return f.fs.grow(f.name, off+n) }

const quota = 64 << 20

func fillUp(t *testing.T, db *DB) (written int) {
	t.Helper()
	for ; written < 10_000; written++ {
		err := put(db, db.Commit, fmt.Sprint("k", written), 100_000)
		if errors.Is(err, ErrFull) {
			return written
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	t.Fatal("never full")
	return 0
}

func TestFullDiskRefusesDataLosesNothingAndRecovers(t *testing.T) {
	fs := newQuotaFS(quota)
	db := open(t, "data", fs)
	n := fillUp(t, db)
	if err := put(db, db.CommitFreeing, "settled", 10); err != nil {
		t.Fatalf("what must be said was refused: %v", err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	db = open(t, "data", fs)
	defer db.Close()
	for i := range n {
		if !has(t, db, fmt.Sprint("k", i)) {
			t.Fatalf("%d of %d is lost", i, n)
		}
	}
	for i := range n {
		b := db.Pebble().NewBatch()
		_ = b.DeleteSized(append([]byte{SpaceControl}, fmt.Sprint("k", i)...), 100_000, nil)
		if err := db.CommitFreeing(b); err != nil {
			t.Fatal(err)
		}
		b.Close()
	}
	eventually(t, "new data is taken again", func() bool { return put(db, db.Commit, "x", 10) == nil })
}

// eventually polls for what goes on in the store's own goroutines.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("not within 20 s: %s", what)
		}
	}
}

func TestBallastSavesTheLogWhenSomebodyElseFillsTheDisk(t *testing.T) {
	fs := newQuotaFS(quota)
	db := open(t, "data", fs)
	defer db.Close()
	if _, err := fs.Stat("data/ballast"); err != nil {
		t.Fatal(err)
	}
	fs.setOther(fs.avail()) // between two looks of ours
	db.space.checked.Store(int64(time.Hour))
	var err error
	for i := 0; err == nil && i < 200; i++ {
		if err = put(db, db.Commit, fmt.Sprint(i), 50_000); err == nil && !has(t, db, fmt.Sprint(i)) {
			t.Fatal("answered and not there")
		}
	}
	if !errors.Is(err, ErrFull) {
		t.Fatalf("%v, want ErrFull", err)
	}
	if _, err := fs.Stat("data/ballast"); err == nil {
		t.Error("the ballast is still there")
	}
	if err := put(db, db.CommitFreeing, "settled", 1000); err != nil {
		t.Fatal(err)
	}
	fs.setOther(0)
	db.space.checked.Store(0)
	eventually(t, "new data is taken again", func() bool { return put(db, db.Commit, "x", 10) == nil })
	eventually(t, "the ballast is held again", func() bool {
		_, err := fs.Stat("data/ballast")
		db.space.look()
		return err == nil
	})
}

func TestCompactionsLeaveTheLastSpaceToTheLog(t *testing.T) {
	fs := newQuotaFS(quota)
	db := open(t, "data", fs)
	defer db.Close()
	fs.setOther(fs.avail() - 1<<20)
	if _, err := (compactFS{fs, db.space}).Create("data/x.sst", "pebble-compaction"); err == nil || !strings.Contains(err.Error(), "compactions wait") {
		t.Fatalf("%v", err)
	}
	f, err := (compactFS{fs, db.space}).Create("data/y.sst", "pebble-memtable-flush")
	if err != nil {
		t.Fatal(err)
	}
	_ = f.Close()
}
