package embedded

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestWaitingReceivesAreServedInOrderOfArrival(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, b *Broker) {
		q := createQueue(t, b, "q", nil)
		var mu sync.Mutex
		var order []string
		var wg sync.WaitGroup
		for i := range 5 {
			wg.Go(func() {
				got, err := q.Receive(t.Context(), ReceiveOptions{Max: 1, Wait: dur(20 * time.Second)})
				if err != nil || len(got) != 1 {
					t.Error(got, err)
					return
				}
				mu.Lock()
				defer mu.Unlock()
				order = append(order, fmt.Sprint(i, got[0].Body))
			})
			synctest.Wait()
		}
		for i := range 5 {
			sendBodies(t, q, fmt.Sprint(i))
			synctest.Wait()
		}
		wg.Wait()
		if fmt.Sprint(order) != "[00 11 22 33 44]" {
			t.Fatal(order)
		}
	})
}

func TestReceiveWhoseClientLeftTakesNoMessage(t *testing.T) {
	b := openBroker(t, t.TempDir(), Options{})
	q := createQueue(t, b, "q", map[string]string{"VisibilityTimeout": "43200"})
	for i := range 300 {
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan int, 1)
		go func() {
			got, err := q.Receive(ctx, ReceiveOptions{Max: 1, Wait: dur(20 * time.Second)})
			if err != nil && !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
			deleteAll(t, q, got)
			done <- len(got)
		}()
		sent := make(chan struct{})
		go func() { sendBodies(t, q, fmt.Sprint(i)); close(sent) }()
		if i%2 == 0 {
			<-sent
		}
		cancel()
		<-sent
		n := <-done
		got := receive(t, q, 10)
		if n+len(got) != 1 {
			t.Fatalf("round %d: the receive got %d, the next one %d; depth %+v", i, n, len(got), q.Depth())
		}
		if len(got) == 1 && got[0].ReceiveCount != 1 {
			t.Fatalf("round %d: counted %d receives, nobody saw the first", i, got[0].ReceiveCount)
		}
		deleteAll(t, q, got)
	}
}

func TestClientThatLeavesAfterItWasServedGivesItsMessagesBack(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, b *Broker) {
		q := createQueue(t, b, "q", nil)
		sendBodies(t, q, "one", "two")
		ctx, cancel := context.WithCancel(t.Context())
		w := takeByHand(t, q)
		cancel()
		if got, err := q.finish(ctx, &w.got, ""); !errors.Is(err, context.Canceled) || len(got) != 0 {
			t.Fatalf("%v %v", got, err)
		}
		if got := receive(t, q, 10); bodies(got) != "[one two]" || got[0].ReceiveCount != 1 {
			t.Fatalf("%v", bodies(got))
		}
	})
}

func TestCloseEndsWaitingReceivesAndFurtherCalls(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, b *Broker) {
		q := createQueue(t, b, "q", nil)
		errs := make(chan error, 2)
		go func() {
			_, err := q.Receive(t.Context(), ReceiveOptions{Max: 1, Wait: dur(20 * time.Second)})
			errs <- err
		}()
		synctest.Wait()
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
		if err := <-errs; !errors.Is(err, ErrClosed) {
			t.Errorf("waiting receive: %v", err)
		}
		if r := q.Send(t.Context(), []SendEntry{{Body: "x"}}); !errors.Is(r[0].Err, ErrClosed) {
			t.Errorf("send: %v", r[0].Err)
		}
		if _, err := b.Queue("", "q"); !errors.Is(err, ErrClosed) {
			t.Errorf("queue: %v", err)
		}
	})
}

func TestDeletingAQueueEndsItsWaitingReceives(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, b *Broker) {
		q := createQueue(t, b, "q", nil)
		sendBodies(t, q, "x")
		receive(t, q, 1)
		errs := make(chan error, 1)
		go func() {
			_, err := q.Receive(t.Context(), ReceiveOptions{Max: 1, Wait: dur(20 * time.Second)})
			errs <- err
		}()
		synctest.Wait()
		if err := b.DeleteQueue("", "q"); err != nil {
			t.Fatal(err)
		}
		if err := <-errs; errCode(err) != CodeQueueDoesNotExist {
			t.Errorf("waiting receive: %v", err)
		}
		if _, err := b.CreateQueue("", "q", nil, nil); errCode(err) != CodeQueueDeletedRecently {
			t.Errorf("the name at once: %v", err)
		}
		if n := len(storedKeys(t, q)); n != 0 {
			t.Errorf("%d keys are left", n)
		}
		time.Sleep(time.Minute)
		if q := createQueue(t, b, "q", nil); q.Depth().Total() != 0 {
			t.Errorf("the new queue has %+v", q.Depth())
		}
	})
}

func TestPurgeUnderLoadLeavesIndexAndStoreAgreeing(t *testing.T) {
	b := openBroker(t, t.TempDir(), Options{NoCooldowns: true})
	q := createQueue(t, b, "q", map[string]string{"VisibilityTimeout": "0"})
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for w := range 6 {
		wg.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				sendBodies(t, q, fmt.Sprint(w, i))
				if got := receive(t, q, 3); i%2 == 0 {
					deleteAll(t, q, got)
				}
			}
		})
	}
	for range 30 {
		if err := q.Purge(ctx); err != nil {
			t.Error(err)
		}
	}
	cancel()
	wg.Wait()
	if n, keys := q.Depth().Total(), len(storedKeys(t, q)); keys != 2*n {
		t.Errorf("the index has %d messages, the store %d keys", n, keys)
	}
}

func TestSecondPurgeWithinAMinuteIsRefused(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, b *Broker) {
		q := createQueue(t, b, "q", nil)
		sendBodies(t, q, "one")
		if err := q.Purge(t.Context()); err != nil || q.Depth().Total() != 0 {
			t.Fatal(err, q.Depth())
		}
		if err := q.Purge(t.Context()); errCode(err) != CodePurgeQueueInProgress {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if err := q.Purge(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
}

func TestTooManyInFlight(t *testing.T) {
	bubble(t, Options{MaxInFlight: 3}, func(t *testing.T, b *Broker) {
		q := createQueue(t, b, "q", nil)
		f := createQueue(t, b, "f.fifo", nil)
		sendBodies(t, q, "1", "2", "3", "4")
		for i := range 4 {
			send(t, f, fifoEntry(fmt.Sprint(i), "x"))
		}
		if n := len(receive(t, q, 10)); n != 3 {
			t.Fatalf("%d in flight", n)
		}
		if _, err := q.Receive(t.Context(), ReceiveOptions{Max: 1}); errCode(err) != CodeOverLimit {
			t.Errorf("standard: %v", err)
		}
		if n := len(receive(t, f, 10)); n != 3 {
			t.Fatalf("%d in flight", n)
		}
		if got := receive(t, f, 10); len(got) != 0 {
			t.Errorf("FIFO: %v", bodies(got))
		}
	})
}

func TestReceiveServedInTheMomentItsClientLeftGivesBack(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, b *Broker) {
		q := createQueue(t, b, "q", nil)
		sendBodies(t, q, "one", "two")
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		for range 40 { // await takes either way out, by chance
			w := takeByHand(t, q)
			w.done = make(chan struct{})
			close(w.done)
			if served, err := q.await(ctx, w, time.Minute); served != nil {
				if got, _ := q.finish(ctx, &served.got, ""); len(got) != 0 {
					t.Fatalf("got %v", bodies(got))
				}
			} else if !errors.Is(err, context.Canceled) {
				t.Fatal(err)
			}
			if d := q.Depth(); d.Visible != 2 || d.InFlight != 0 || q.ops != 0 {
				t.Fatalf("%+v, %d operations", d, q.ops)
			}
		}
		if got := receive(t, q, 10); bodies(got) != "[one two]" || got[0].ReceiveCount != 1 {
			t.Fatalf("%v", bodies(got))
		}
	})
}

// takeByHand takes a message as a receive does, and leaves the operation under way.
func takeByHand(t *testing.T, q *Queue) *waiter {
	t.Helper()
	if err := q.begin(); err != nil {
		t.Fatal(err)
	}
	defer q.mu.Unlock()
	defer q.end()
	return &waiter{got: q.take(q.b.clock.moment(), 1, time.Hour)}
}

func TestPurgeWaitsForWhatIsUnderWay(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, b *Broker) {
		q := createQueue(t, b, "q", nil)
		sendBodies(t, q, "one", "two")
		w := takeByHand(t, q)
		purged := make(chan error, 1)
		go func() { purged <- q.Purge(t.Context()) }()
		synctest.Wait()
		select {
		case err := <-purged:
			t.Fatalf("purged (%v) while a receive is writing its record", err)
		default:
		}
		if _, err := q.finish(t.Context(), &w.got, ""); err != nil {
			t.Fatal(err)
		}
		if err := <-purged; err != nil {
			t.Fatal(err)
		}
		if n := len(storedKeys(t, q)); n != 0 || q.Depth().Total() != 0 {
			t.Fatalf("%d keys, %+v", n, q.Depth())
		}
	})
}
