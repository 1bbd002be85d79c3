package embedded

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// TestPowerCutLosesNothingAnswered cuts the power at a moment of full work and
// compares what is there with what had been answered by then.
func TestPowerCutLosesNothingAnswered(t *testing.T) {
	for round := range 10 {
		fs := vfs.NewCrashableMem()
		b, closeAll := memBroker(t, fs, Options{})
		q := createQueue(t, b, "q", map[string]string{"VisibilityTimeout": "0"})
		dead := createQueue(t, b, "dead", nil)
		r := createQueue(t, b, "r", redrivePolicy(dead, 1))
		var l powerLedger
		var wg sync.WaitGroup
		var stop atomic.Bool
		for w := range 8 {
			wg.Go(func() {
				for i := 0; !stop.Load(); i++ {
					l.work(t, []*Queue{q, r}[w%2], fmt.Sprint(w, ".", i))
				}
			})
		}
		for l.count() < 150 {
			receive(t, dead, 1) // keeps the race for the cut going
		}
		sent, gone, deleting := l.snapshot()
		after := fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 50, RNG: rand.New(rand.NewPCG(uint64(round), 0))})
		_, _, deletingAfter := l.snapshot()
		stop.Store(true)
		wg.Wait()
		closeAll()

		b, closeAll = memBroker(t, after, Options{})
		found := map[string]int{}
		for _, q := range b.Queues("", "") {
			for body := range contents(t, q) {
				found[body]++
			}
		}
		for body := range sent {
			switch {
			case gone[body] && found[body] != 0:
				t.Errorf("round %d: %s is back after its delete was answered", round, body)
			case !deleting[body] && !deletingAfter[body] && found[body] != 1:
				t.Errorf("round %d: %s is there %d times", round, body, found[body])
			}
		}
		closeAll()
	}
}

type powerLedger struct {
	mu                   sync.Mutex
	sent, gone, deleting map[string]bool
}

func (l *powerLedger) note(m *map[string]bool, body string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if *m == nil {
		*m = map[string]bool{}
	}
	(*m)[body] = true
}

func (l *powerLedger) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.gone)
}

func (l *powerLedger) snapshot() (sent, gone, deleting map[string]bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	clone := func(m map[string]bool) map[string]bool {
		c := make(map[string]bool, len(m))
		for k := range m {
			c[k] = true
		}
		return c
	}
	return clone(l.sent), clone(l.gone), clone(l.deleting)
}

func (l *powerLedger) work(t *testing.T, q *Queue, body string) {
	if r := q.Send(t.Context(), []SendEntry{{Body: body}}); r[0].Err != nil {
		t.Error(r[0].Err)
		return
	}
	l.note(&l.sent, body)
	for _, m := range receive(t, q, 2) {
		if q.name != "q" || rand.IntN(2) == 0 {
			continue // of r all end as dead letters, where the receipt doesn't reach
		}
		l.note(&l.deleting, m.Body)
		if errs := q.Delete(t.Context(), []string{m.Handle}); errs[0] == nil {
			l.note(&l.gone, m.Body)
		}
	}
}

// usageFS is a file system whose free space the test sets.
type usageFS struct {
	vfs.FS
	free atomic.Uint64
}

func (fs *usageFS) GetDiskUsage(string) (vfs.DiskUsage, error) {
	return vfs.DiskUsage{AvailBytes: fs.free.Load(), TotalBytes: 10 << 30}, nil
}

func TestFullDiskRefusesSendsWhileReceivesAndDeletesGoOn(t *testing.T) {
	fs := &usageFS{FS: vfs.NewMem()}
	fs.free.Store(1 << 30)
	b, closeAll := memBroker(t, fs, Options{})
	defer closeAll()
	q := createQueue(t, b, "q.fifo", map[string]string{"VisibilityTimeout": "600"})
	send(t, q, fifoEntries("a", 1, 5)...)
	fs.free.Store(1 << 20)
	var last SendResult
	for i := 0; last.Err == nil && i < 1000; i++ { // 1 MiB at most until it looks
		last = q.Send(t.Context(), []SendEntry{{Body: string(make0(10_000)), GroupID: "b", DeduplicationID: fmt.Sprint(i)}})[0]
	}
	if errCode(last.Err) != CodeServiceUnavailable {
		t.Fatalf("%v", last.Err)
	}
	got := receive(t, q, 5)
	if len(got) != 5 {
		t.Fatalf("received %d", len(got))
	}
	if errs := q.ChangeVisibility(t.Context(), []VisibilityChange{{got[4].Handle, 0}}); errs[0] != nil {
		t.Fatal(errs[0])
	}
	deleteAll(t, q, got[:4])
	before := q.Depth().Total()
	// A refused message was not remembered for deduplication.
	fs.free.Store(1 << 30)
	for err := last.Err; err != nil; {
		err = q.Send(t.Context(), []SendEntry{{Body: "again", GroupID: "b", DeduplicationID: "refused"}})[0].Err
	}
	if q.Depth().Total() != before+1 {
		t.Errorf("depth %+v, before %d", q.Depth(), before)
	}
}

func make0(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = '0'
	}
	return b
}
