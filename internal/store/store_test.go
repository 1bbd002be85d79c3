package store

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

func open(t *testing.T, dir string, fs vfs.FS) *DB {
	t.Helper()
	db, err := Open(dir, Options{FS: fs})
	if err != nil {
		t.Fatal(err)
	}
	return db
}

var incompressible = func() []byte {
	b := make([]byte, 100_000)
	for i := range b {
		b[i] = byte(rand.Uint32())
	}
	return b
}()

func put(db *DB, commit func(*pebble.Batch) error, key string, size int) error {
	b := db.Pebble().NewBatch()
	defer b.Close()
	_ = b.Set(append([]byte{SpaceControl}, key...), incompressible[:size], nil)
	return commit(b)
}

func has(t *testing.T, db *DB, key string) bool {
	t.Helper()
	_, closer, err := db.Pebble().Get(append([]byte{SpaceControl}, key...))
	if errors.Is(err, pebble.ErrNotFound) {
		return false
	}
	if err != nil {
		t.Fatal(err)
	}
	return closer.Close() == nil
}

func TestPowerCutKeepsCommitsAndNeverTheirOrderOnly(t *testing.T) {
	for round := range 20 {
		fs := vfs.NewCrashableMem()
		db := open(t, "data", fs)
		for i := range 50 {
			commit := db.Commit
			if i%3 != 0 {
				commit = db.CommitNoSync
			}
			if err := put(db, commit, fmt.Sprint(i), 100); err != nil {
				t.Fatal(err)
			}
		}
		// The last durable one is 48; 49 may be there.
		after := fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: round * 5, RNG: rng(round)})
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		db = open(t, "data", after)
		for i := range 49 {
			if !has(t, db, fmt.Sprint(i)) {
				t.Errorf("round %d: %d is lost", round, i)
			}
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestSecondProcessIsToldWhoHasTheDirectory(t *testing.T) {
	dir := t.TempDir()
	db := open(t, dir, nil)
	_, err := Open(dir, Options{})
	var inUse *InUseError
	if !errors.As(err, &inUse) || inUse.PID != os.Getpid() || !strings.Contains(inUse.Command, filepath.Base(os.Args[0])) {
		t.Fatalf("%v", err)
	}
	if want := fmt.Sprintf("in use by process %d", os.Getpid()); !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "--data") {
		t.Errorf("%v", err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if err := open(t, dir, nil).Close(); err != nil {
		t.Fatal(err)
	}
}

func TestChildProcessesDoNotHoldTheDirectory(t *testing.T) {
	dir := t.TempDir()
	db := open(t, dir, nil)
	cmd := exec.Command("sleep", "60")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if err := open(t, dir, nil).Close(); err != nil {
		t.Fatal(err)
	}
}

func TestNewerFormatIsRefused(t *testing.T) {
	dir := t.TempDir()
	db := open(t, dir, nil)
	if err := db.Pebble().Set(formatKey, []byte{0, 0, 0, 9}, pebble.Sync); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	_, err := Open(dir, Options{})
	var newer *NewerVersionError
	if !errors.As(err, &newer) || newer.Found != 9 || newer.Supported != formatVersion {
		t.Fatalf("%v", err)
	}
	// It gave the directory free again, and left it as it was.
	if _, err := Open(dir, Options{}); !errors.As(err, &newer) {
		t.Fatalf("%v", err)
	}
}

func TestNewerEngineIsRefused(t *testing.T) {
	dir := t.TempDir()
	if err := open(t, dir, nil).Close(); err != nil {
		t.Fatal(err)
	}
	marks, err := filepath.Glob(filepath.Join(dir, "db", "marker.format-version.*"))
	if err != nil || len(marks) != 1 {
		t.Fatal(marks, err)
	}
	newer := filepath.Join(dir, "db", "marker.format-version.000099.099")
	if err := os.Rename(marks[0], newer); err != nil {
		t.Fatal(err)
	}
	var version *NewerVersionError
	if _, err := Open(dir, Options{}); !errors.As(err, &version) {
		t.Fatalf("%v", err)
	}
}

func TestDirectoryThatIsNone(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{file, filepath.Join(file, "below")} {
		_, err := Open(dir, Options{})
		var de *DirError
		if !errors.As(err, &de) || !strings.Contains(err.Error(), "is not a directory") || !strings.Contains(err.Error(), "--data") {
			t.Errorf("%v", err)
		}
	}
}

func TestReadOnlyDirectory(t *testing.T) {
	for _, errno := range []syscall.Errno{syscall.EROFS, syscall.EACCES} {
		injected := errorfs.InjectorFunc(func(op errorfs.Op) error {
			if op.Kind.ReadOrWrite() == errorfs.OpIsWrite {
				return &os.PathError{Op: "open", Path: op.Path, Err: errno}
			}
			return nil
		})
		_, err := Open("data", Options{FS: errorfs.Wrap(vfs.NewMem(), injected)})
		var de *DirError
		if !errors.As(err, &de) || !strings.Contains(err.Error(), "--data") {
			t.Errorf("%v: %v", errno, err)
		}
	}
}
