package process_test

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/queuemill/queuemill/internal/executor"
	"github.com/queuemill/queuemill/internal/executor/process"
	"github.com/queuemill/queuemill/internal/store"
)

// The two benchmarks are for each other: jobs that do nothing, 32 at a time, by
// the executor with records, scratch directories, message files and fsync, and
// by xargs with none of these. cpu-µs/op is what all processes used, the jobs
// and whoever starts them.
//
//	go test -run '^$' -bench 'NoOp|Xargs' -benchtime 2000x ./internal/executor/process

const atATime = 32

func BenchmarkNoOpJobs(b *testing.B) {
	dir := b.TempDir()
	db, err := store.Open(dir, store.Options{})
	if err != nil {
		b.Fatal(err)
	}
	e, err := process.Open(b.Context(), process.Options{DB: db, Dir: filepath.Join(dir, "jobs")})
	if err != nil {
		b.Fatal(err)
	}
	room := make(chan struct{}, atATime)
	ended := make(chan struct{}, b.N)
	ctx, cancel := context.WithCancel(b.Context())
	ready, watched := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(watched)
		_ = e.Watch(ctx, "", func() { close(ready) }, func(event executor.Event) {
			if event.Record.State.Finished() {
				<-room
				ended <- struct{}{}
			}
		})
	}()
	<-ready
	template := spec("true")
	before := cpuTime(b)
	b.ResetTimer()
	go func() {
		for i := range b.N {
			room <- struct{}{}
			go func() {
				if _, err := e.Create(ctx, newJob(fmt.Sprintf("job-%d", i), template)); err != nil {
					b.Error(err)
				}
			}()
		}
	}()
	for range b.N {
		<-ended
	}
	b.StopTimer()
	cancel()
	<-watched
	if err := e.Close(); err != nil {
		b.Error(err)
	}
	b.ReportMetric(float64((cpuTime(b)-before).Microseconds())/float64(b.N), "cpu-µs/op")
	if err := db.Close(); err != nil {
		b.Error(err)
	}
}

func BenchmarkXargs(b *testing.B) {
	var in strings.Builder
	for i := range b.N {
		fmt.Fprintln(&in, i)
	}
	before := cpuTime(b)
	b.ResetTimer()
	cmd := exec.Command("xargs", "-P", fmt.Sprint(atATime), "-n", "1", "true")
	cmd.Stdin = strings.NewReader(in.String())
	if out, err := cmd.CombinedOutput(); err != nil {
		b.Fatalf("xargs: %v: %s", err, out)
	}
	b.StopTimer()
	b.ReportMetric(float64((cpuTime(b)-before).Microseconds())/float64(b.N), "cpu-µs/op")
}

// cpuTime is what this process and all that it waited for have used.
func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var total time.Duration
	for _, who := range []int{unix.RUSAGE_SELF, unix.RUSAGE_CHILDREN} {
		var u unix.Rusage
		if err := unix.Getrusage(who, &u); err != nil {
			b.Fatal(err)
		}
		total += time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	return total
}
