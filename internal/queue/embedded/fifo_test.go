package embedded

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/queuemill/queuemill/internal/store"
)

// bubble runs fn in a bubble of virtual time with a broker in memory.
func bubble(t *testing.T, o Options, fn func(t *testing.T, b *Broker)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b, closeAll := memBroker(t, vfs.NewMem(), o)
		defer closeAll()
		fn(t, b)
	})
}

func memBroker(t testing.TB, fs vfs.FS, o Options) (*Broker, func()) {
	t.Helper()
	db, err := store.Open("data", store.Options{FS: fs})
	if err != nil {
		t.Fatal(err)
	}
	b, err := Open(db, o)
	if err != nil {
		t.Fatal(err)
	}
	return b, func() {
		if err := errors.Join(b.Close(), db.Close()); err != nil {
			t.Error(err)
		}
	}
}

func fifoEntry(group, body string) SendEntry {
	return SendEntry{Body: body, GroupID: group, DeduplicationID: group + body}
}

func fifoEntries(group string, from, to int) []SendEntry {
	var e []SendEntry
	for i := from; i <= to; i++ {
		e = append(e, fifoEntry(group, group+strconv.Itoa(i)))
	}
	return e
}

func TestFIFOReceiveTakesOneGroupThenOthers(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, b *Broker) {
		q := createQueue(t, b, "q.fifo", nil)
		send(t, q, fifoEntries("a", 1, 4)...)
		send(t, q, fifoEntries("b", 1, 4)...)
		send(t, q, fifoEntries("a", 5, 8)...)
		if got := bodies(receive(t, q, 10)); got != "[a1 a2 a3 a4 a5 a6 a7 a8 b1 b2]" {
			t.Fatal(got)
		}
		if got := receive(t, q, 10); len(got) != 0 {
			t.Fatalf("groups in flight gave %v", bodies(got))
		}
	})
}

func TestFIFOAfterPartialExpiryOnlyWhatIsBeforeTheFirstInvisible(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, b *Broker) {
		q := createQueue(t, b, "q.fifo", nil)
		send(t, q, fifoEntries("a", 1, 5)...)
		got := receive(t, q, 4)
		errs := q.ChangeVisibility(t.Context(), []VisibilityChange{{got[2].Handle, time.Hour}, {got[3].Handle, time.Second}})
		if errors.Join(errs...) != nil {
			t.Fatal(errs)
		}
		time.Sleep(31 * time.Second)
		// a1, a2 and a4 are visible again; a3 is not, so neither a4 nor a5 may come.
		if got := bodies(receive(t, q, 10)); got != "[a1 a2]" {
			t.Fatal(got)
		}
	})
}

func TestFIFOExpiredReceiptIsRefused(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, b *Broker) {
		q := createQueue(t, b, "q.fifo", nil)
		send(t, q, fifoEntry("a", "1"))
		got := receive(t, q, 1)
		time.Sleep(30 * time.Second)
		errs := q.Delete(t.Context(), []string{got[0].Handle})
		if !errors.Is(errs[0], &Error{Code: CodeInvalidParameterValue}) {
			t.Fatalf("delete with an expired receipt: %v", errs[0])
		}
		again := receive(t, q, 1)
		if errs := q.Delete(t.Context(), []string{got[0].Handle}); errs[0] == nil {
			t.Fatal("the old receipt deleted a message that is in flight for another receive")
		}
		deleteAll(t, q, again)
		if errs := q.Delete(t.Context(), []string{again[0].Handle}); errs[0] != nil {
			t.Fatalf("deleting again: %v", errs[0])
		}
	})
}

func TestFIFODeduplicatesForFiveMinutesAlsoAfterDelete(t *testing.T) {
	fs := vfs.NewMem()
	synctest.Test(t, func(t *testing.T) {
		b, closeAll := memBroker(t, fs, Options{})
		q := createQueue(t, b, "q.fifo", nil)
		first := send(t, q, fifoEntry("a", "1"), fifoEntry("b", "1"), fifoEntry("a", "1"))
		if first[0].ID == first[1].ID || first[0] != first[2] {
			t.Fatalf("%+v", first)
		}
		deleteAll(t, q, receive(t, q, 10))
		closeAll()
		time.Sleep(2 * time.Minute)

		b, closeAll = memBroker(t, fs, Options{})
		defer closeAll()
		q, err := b.Queue("", "q.fifo")
		if err != nil {
			t.Fatal(err)
		}
		if again := send(t, q, fifoEntry("a", "1")); again[0] != first[0] {
			t.Fatalf("duplicate after a restart answered %+v, first %+v", again[0], first[0])
		}
		time.Sleep(3*time.Minute + time.Millisecond)
		if again := send(t, q, fifoEntry("a", "1")); again[0].ID == first[0].ID || again[0].SequenceNumber <= first[0].SequenceNumber {
			t.Fatalf("after five minutes: %+v, first %+v", again[0], first[0])
		}
		if len(q.dedup.entries) != 1 {
			t.Errorf("%d deduplication entries are kept", len(q.dedup.entries))
		}
	})
}

func TestFIFODeduplicationScopeAndContent(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, b *Broker) {
		same := func(q *Queue, x, y SendEntry) bool {
			r := send(t, q, x, y)
			return r[0].ID == r[1].ID
		}
		e := func(group, dedup, body string) SendEntry {
			return SendEntry{GroupID: group, DeduplicationID: dedup, Body: body}
		}
		q := createQueue(t, b, "queue.fifo", nil)
		if !same(q, e("a", "k", "1"), e("b", "k", "2")) {
			t.Error("scope queue: the same ID in two groups is a duplicate")
		}
		g := createQueue(t, b, "group.fifo", map[string]string{"DeduplicationScope": "messageGroup", "FifoThroughputLimit": "perMessageGroupId"})
		if same(g, e("a", "k", "1"), e("b", "k", "2")) || !same(g, e("c", "k", "1"), e("c", "k", "2")) {
			t.Error("scope messageGroup: duplicates are within a group")
		}
		c := createQueue(t, b, "content.fifo", map[string]string{"ContentBasedDeduplication": "true"})
		if !same(c, e("a", "", "1"), e("a", "", "1")) || same(c, e("a", "", "2"), e("a", "x", "2")) {
			t.Error("content: the same body is a duplicate unless an ID says otherwise")
		}
		if r := q.Send(t.Context(), []SendEntry{e("a", "", "x")}); r[0].Err == nil {
			t.Error("neither an ID nor deduplication by content was accepted")
		}
	})
}

func TestReceiveAttemptIsRepeated(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, b *Broker) {
		q := createQueue(t, b, "q.fifo", nil)
		send(t, q, fifoEntries("a", 1, 3)...)
		attempt := func() []*Message {
			m, err := q.Receive(t.Context(), ReceiveOptions{Max: 2, AttemptID: "try"})
			if err != nil {
				t.Fatal(err)
			}
			return m
		}
		first := attempt()
		time.Sleep(20 * time.Second)
		second := attempt()
		if bodies(second) != "[a1 a2]" || second[0].Handle != first[0].Handle || second[0].ReceiveCount != 1 {
			t.Fatalf("repeated: %v", bodies(second))
		}
		time.Sleep(20 * time.Second) // the repeat set the visibility timeout anew
		if got := receive(t, q, 10); len(got) != 0 {
			t.Fatalf("visible: %v", bodies(got))
		}
		deleteAll(t, q, second[:1])
		if got := attempt(); len(got) != 0 {
			t.Fatalf("repeated after a delete: %v", bodies(got))
		}
	})
}

func TestFIFOOrderUnderConcurrentSendersAndReceivers(t *testing.T) {
	b := openBroker(t, t.TempDir(), Options{})
	q := createQueue(t, b, "q.fifo", nil)
	const groups, each = 8, 60
	var wg sync.WaitGroup
	for g := range groups {
		wg.Go(func() {
			for i := range each {
				send(t, q, fifoEntry(fmt.Sprint(g), fmt.Sprintf("%d.%d", g, i)))
			}
		})
	}
	var mu sync.Mutex
	next := make([]int, groups)
	left := groups * each
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	for range 6 {
		wg.Go(func() {
			for {
				got, err := q.Receive(ctx, ReceiveOptions{Max: 3, Wait: dur(20 * time.Second)})
				if err != nil {
					return
				}
				mu.Lock()
				for _, m := range got {
					var g, i int
					_, _ = fmt.Sscanf(m.Body, "%d.%d", &g, &i)
					if next[g] != i {
						t.Errorf("group %d: got %d, want %d", g, i, next[g])
					}
					next[g] = i + 1
				}
				mu.Unlock()
				deleteAll(t, q, got)
				mu.Lock()
				if left -= len(got); left == 0 {
					cancel()
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if left != 0 || q.Depth().Total() != 0 {
		t.Errorf("%d left, depth %+v", left, q.Depth())
	}
}
