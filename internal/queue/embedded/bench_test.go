package embedded

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// Benchmarks of the queue without a network. Conditions: fsync before the
// answer, bodies of 1 KiB that don't compress, 64 callers.
//
//	go test -run '^$' -bench . -benchtime 3s ./internal/queue/embedded
//
// The directory is on the disk of TMPDIR.

const benchCallers = 64

func benchBody() string {
	b := make([]byte, 1024)
	for i := range b {
		b[i] = byte(' ' + rand.IntN(94))
	}
	return string(b)
}

func benchQueue(b *testing.B) *Queue {
	return createQueue(b, openBroker(b, b.TempDir(), Options{}), "bench", nil)
}

// callers runs fn b.N times from 64 goroutines.
func callers(b *testing.B, fn func()) {
	b.SetParallelism((benchCallers + runtime.GOMAXPROCS(0) - 1) / runtime.GOMAXPROCS(0))
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			fn()
		}
	})
	b.StopTimer()
}

func fill(tb testing.TB, q *Queue, n int) {
	entries := make([]SendEntry, 1000)
	for i := range entries {
		entries[i].Body = benchBody()
	}
	for sent := 0; sent < n; sent += len(entries) {
		send(tb, q, entries[:min(len(entries), n-sent)]...)
	}
}

func BenchmarkSend(b *testing.B) {
	q := benchQueue(b)
	body := benchBody()
	callers(b, func() { send(b, q, SendEntry{Body: body}) })
}

func BenchmarkSendBatchOfTen(b *testing.B) {
	q := benchQueue(b)
	entries := make([]SendEntry, 10)
	for i := range entries {
		entries[i].Body = benchBody()
	}
	callers(b, func() { send(b, q, entries...) })
	b.ReportMetric(float64(b.N)*10/b.Elapsed().Seconds(), "messages/s")
}

func benchCycle(b *testing.B, waiting, batch int) {
	q := benchQueue(b)
	fill(b, q, waiting)
	entries := make([]SendEntry, batch)
	for i := range entries {
		entries[i].Body = benchBody()
	}
	callers(b, func() {
		send(b, q, entries...)
		deleteAll(b, q, receive(b, q, batch))
	})
	b.ReportMetric(float64(b.N*batch)/b.Elapsed().Seconds(), "messages/s")
}

func BenchmarkSendReceiveDelete(b *testing.B)       { benchCycle(b, 0, 1) }
func BenchmarkSendReceiveDeleteOfTen(b *testing.B)  { benchCycle(b, 0, 10) }
func BenchmarkCycleWithMillionWaiting(b *testing.B) { benchCycle(b, 1_000_000, 1) }

func BenchmarkCycleOfTenWithMillionWaiting(b *testing.B) { benchCycle(b, 1_000_000, 10) }

// BenchmarkPickup is the time from the call of Send to the return of a waiting
// receive.
func BenchmarkPickup(b *testing.B) {
	q := benchQueue(b)
	got := make(chan time.Time)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		for ctx.Err() == nil {
			m, err := q.Receive(ctx, ReceiveOptions{Max: 1, Wait: dur(maxWait)})
			if err == nil && len(m) > 0 {
				got <- time.Now()
				deleteAll(b, q, m)
			}
		}
	}()
	var worst, sum time.Duration
	for b.Loop() {
		start := time.Now()
		send(b, q, SendEntry{Body: "x"})
		d := (<-got).Sub(start)
		worst, sum = max(worst, d), sum+d
	}
	b.ReportMetric(float64(worst.Microseconds()), "worst-µs")
}

// BenchmarkMillionWaiting reports the memory and the time of a restart.
func BenchmarkMillionWaiting(b *testing.B) {
	dir := b.TempDir()
	broker, closeAll := openBrokerClose(b, dir, Options{})
	fill(b, createQueue(b, broker, "bench", nil), 1_000_000)
	b.ReportMetric(residentMiB(), "MiB-peak-filling")
	closeAll()
	broker = nil //nolint:ineffassign,wastedassign // for the collector
	debug.FreeOSMemory()
	for b.Loop() {
		_, again := openBrokerClose(b, dir, Options{})
		b.StopTimer()
		b.ReportMetric(residentMiB(), "MiB-resident")
		again()
		b.StartTimer()
	}
}

// residentMiB is the resident memory of the process; 0 where it can't be read.
func residentMiB() float64 {
	data, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(data)) {
		var kb float64
		if _, err := fmt.Sscanf(line, "VmRSS: %f kB", &kb); err == nil {
			return kb / 1024
		}
	}
	return 0
}

// BenchmarkWaitingReceives is what a message costs while 10,000 receives wait.
func BenchmarkWaitingReceives(b *testing.B) {
	q := benchQueue(b)
	ctx, cancel := context.WithCancel(context.Background())
	var served atomic.Int64
	got := make(chan struct{}, 10_000)
	for range 10_000 {
		go func() {
			for ctx.Err() == nil {
				m, err := q.Receive(ctx, ReceiveOptions{Max: 1, Wait: dur(maxWait)})
				if err == nil && len(m) == 1 {
					served.Add(1)
					deleteAll(b, q, m)
					got <- struct{}{}
				}
			}
		}()
	}
	callers(b, func() {
		send(b, q, SendEntry{Body: "x"})
		<-got
	})
	cancel()
}
