//go:build linux

package process_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"golang.org/x/sys/unix"

	"github.com/queuemill/queuemill/api/v1alpha1"
	"github.com/queuemill/queuemill/internal/executor"
	"github.com/queuemill/queuemill/internal/reason"
	"github.com/queuemill/queuemill/internal/record"
	"github.com/queuemill/queuemill/internal/store"
)

// usageFS is a file system in memory whose free space the test sets.
type usageFS struct {
	vfs.FS
	free atomic.Uint64
}

func (fs *usageFS) GetDiskUsage(string) (vfs.DiskUsage, error) {
	return vfs.DiskUsage{AvailBytes: fs.free.Load(), TotalBytes: 10 << 30}, nil
}

// fill takes the space away and creates records until the store has seen it.
func (r *rig) fill(fs *usageFS) {
	r.t.Helper()
	fs.free.Store(1 << 20)
	var err error
	for i := 0; err == nil && i < 1000; i++ {
		job := newJob(fmt.Sprint("filler-", i), nil)
		job.Invalid = &reason.Cause{Reason: reason.NotJSON}
		job.Message.Body = strings.Repeat("x", 10_000)
		_, err = r.Create(r.t.Context(), job)
	}
	if !errors.Is(err, store.ErrFull) || !errors.Is(err, executor.ErrUnavailable) || !strings.Contains(err.Error(), "full") {
		r.t.Fatalf("create on a full disk: %v", err)
	}
}

// held is a job that waits for a line of the FIFO at path and then ends with
// code, of its first attempt; further attempts succeed.
func held(path string, code int) *v1alpha1.QueueJobSpec {
	s := shell(fmt.Sprintf(`echo up; read -r x < "$FIFO"; [ "$QUEUEMILL_ATTEMPT" -gt 1 ] || exit %d`, code))
	s.Process.Env = []v1alpha1.EnvVar{{Name: "FIFO", Value: path}}
	return s
}

func TestAFullDiskRefusesNewJobsAndNothingElse(t *testing.T) {
	fs := &usageFS{FS: vfs.NewMem()}
	fs.free.Store(1 << 30)
	r := &rig{t: t, dir: t.TempDir(), fs: fs}
	r.open()
	t.Cleanup(r.close)
	fifo := filepath.Join(r.dir, "fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	r.run(newJob("old", spec("true")))
	r.run(newJob("failed", spec("false")))
	retried := held(fifo, 1)
	retried.Process.Retries = 1
	for name, s := range map[string]*v1alpha1.QueueJobSpec{"ends": held(fifo, 0), "retried": retried, "interrupted": once()} {
		r.create(newJob(name, s))
		r.awaitOutput(name, 1)
	}
	r.fill(fs)

	// Held open for both ends, so that no reader waits for a writer.
	lines, err := os.OpenFile(fifo, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = lines.Close() }()
	if _, err := lines.WriteString("go\ngo\ngo\n"); err != nil {
		t.Fatal(err)
	}
	if rec := r.await("ends", finished); rec.State != record.Succeeded || len(rec.Attempts) != 1 {
		t.Errorf("the job that ran ended as %+v", rec)
	}
	if rec := r.await("retried", finished); rec.State != record.Succeeded || len(rec.Attempts) != 2 {
		t.Errorf("the job with a retry ended as %+v", rec)
	}
	if err := r.Delete(t.Context(), "old", ""); err != nil {
		t.Error(err)
	}
	yes := true
	if _, err := r.Patch(t.Context(), "failed", "", executor.Patch{RetryRequested: &yes}); err != nil {
		t.Errorf("a retry can't be asked for: %v", err)
	}

	r.close()
	r.open() // still full
	if rec := r.await("interrupted", finished); rec.State != record.Succeeded || len(rec.Attempts) != 2 {
		t.Errorf("the interrupted job ended as %+v", rec)
	}
	if rec := r.await("ends", finished); rec.State != record.Succeeded || len(rec.Attempts) != 1 {
		t.Errorf("after a restart the job that ended is %+v", rec)
	}
	if rec := r.await("failed", finished); !rec.RetryRequested {
		t.Error("after a restart the request to retry is forgotten")
	}
	if _, err := r.Get(t.Context(), "old"); !errors.Is(err, executor.ErrNotFound) {
		t.Errorf("after a restart the deleted job is there: %v", err)
	}
	if _, err := r.Create(t.Context(), newJob("refused", spec("true"))); !errors.Is(err, store.ErrFull) {
		t.Errorf("create on a disk that is still full: %v", err)
	}

	fs.free.Store(1 << 30)
	tick := time.NewTicker(5 * time.Millisecond) // the store looks every 250 ms
	defer tick.Stop()
	for {
		_, err := r.Create(t.Context(), newJob("refused", spec("true")))
		if err == nil {
			break
		}
		if !errors.Is(err, store.ErrFull) {
			t.Fatal(err)
		}
		<-tick.C
	}
	if rec := r.await("refused", finished); rec.State != record.Succeeded {
		t.Errorf("the job that had been refused ended as %+v", rec)
	}
}
