package queue_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/queuemill/queuemill/internal/queue"
)

// recorder notes the batches that reach it and answers with what reply says.
type recorder struct {
	queue.Queue
	reply func(ctx context.Context, r queue.Receipt) error

	mu      sync.Mutex
	batches [][]queue.Receipt
	at      []time.Time
}

func (q *recorder) Delete(ctx context.Context, receipts []queue.Receipt) []error {
	q.mu.Lock()
	q.batches = append(q.batches, slices.Clone(receipts))
	q.at = append(q.at, time.Now())
	q.mu.Unlock()
	errs := make([]error, len(receipts))
	for i, r := range receipts {
		if q.reply != nil {
			errs[i] = q.reply(ctx, r)
		}
	}
	return errs
}

func (q *recorder) Extend(ctx context.Context, extensions []queue.Extension) []error {
	return make([]error, len(extensions)-1) // one answer short: a provider's bug
}

func receipt(i int) queue.Receipt { return queue.Receipt(fmt.Sprint(i)) }

func TestBatcherSendsFullBatchAtOnceAndRestAfterLinger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := &recorder{}
		b := queue.NewBatcher(q, queue.BatcherOptions{})
		start := time.Now()
		var wg sync.WaitGroup
		for i := range 23 {
			wg.Go(func() {
				if err := b.Delete(t.Context(), receipt(i)); err != nil {
					t.Errorf("delete %d: %v", i, err)
				}
			})
		}
		wg.Wait()
		if len(q.batches) != 3 {
			t.Fatalf("%d batches for 23 deletes, want 3", len(q.batches))
		}
		for i, want := range []int{10, 10, 3} {
			if len(q.batches[i]) != want {
				t.Errorf("batch %d has %d deletes, want %d", i, len(q.batches[i]), want)
			}
		}
		for i, want := range []time.Duration{0, 0, 20 * time.Millisecond} {
			if got := q.at[i].Sub(start); got != want {
				t.Errorf("batch %d left after %v, want %v", i, got, want)
			}
		}
		b.Close()
	})
}

func TestBatcherAnswersItemByItem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := &recorder{reply: func(_ context.Context, r queue.Receipt) error {
			if r == "3" {
				return queue.ErrReceiptInvalid
			}
			return nil
		}}
		b := queue.NewBatcher(q, queue.BatcherOptions{})
		defer b.Close()
		var wg sync.WaitGroup
		for i := range 7 {
			wg.Go(func() {
				err := b.Delete(t.Context(), receipt(i))
				if want := i == 3; errors.Is(err, queue.ErrReceiptInvalid) != want {
					t.Errorf("delete %d: %v", i, err)
				}
			})
		}
		wg.Wait()
	})
}

func TestBatcherCallerThatLeavesDoesNotTakeItsBatchAlong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var callErr error
		q := &recorder{reply: func(ctx context.Context, _ queue.Receipt) error {
			callErr = ctx.Err()
			return nil
		}}
		b := queue.NewBatcher(q, queue.BatcherOptions{})
		defer b.Close()
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() {
			if err := b.Delete(ctx, "leaves"); !errors.Is(err, context.Canceled) {
				t.Errorf("the caller that left got %v", err)
			}
		})
		wg.Go(func() {
			if err := b.Delete(t.Context(), "stays"); err != nil {
				t.Errorf("the caller that stayed got %v", err)
			}
		})
		synctest.Wait()
		cancel()
		wg.Wait()
		if len(q.batches) != 1 || len(q.batches[0]) != 2 || callErr != nil {
			t.Errorf("batches %v with context error %v, want both deletes in one", q.batches, callErr)
		}
		if err := b.Delete(ctx, "late"); !errors.Is(err, context.Canceled) || len(q.batches) != 1 {
			t.Errorf("delete under an ended context: %v", err)
		}
	})
}

func TestBatcherCloseSendsAndWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		answered := false
		q := &recorder{reply: func(context.Context, queue.Receipt) error {
			<-time.After(time.Second)
			answered = true
			return nil
		}}
		b := queue.NewBatcher(q, queue.BatcherOptions{Linger: time.Hour})
		go b.Delete(t.Context(), "1")
		synctest.Wait()
		start := time.Now()
		b.Close()
		if !answered || time.Since(start) != time.Second {
			t.Errorf("close returned after %v, answered: %v", time.Since(start), answered)
		}
		if err := b.Delete(t.Context(), "2"); !errors.Is(err, queue.ErrBatcherClosed) {
			t.Errorf("delete after close: %v", err)
		}
	})
}

func TestBatcherBoundsTheCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := &recorder{reply: func(ctx context.Context, _ queue.Receipt) error {
			<-ctx.Done()
			return ctx.Err()
		}}
		b := queue.NewBatcher(q, queue.BatcherOptions{Timeout: time.Minute})
		defer b.Close()
		if err := b.Delete(t.Context(), "1"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("delete that is never answered: %v", err)
		}
	})
}

func TestBatcherTakesNoShortAnswerForSuccess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := queue.NewBatcher(&recorder{}, queue.BatcherOptions{})
		defer b.Close()
		if err := b.Extend(t.Context(), queue.Extension{Receipt: "1"}); err == nil {
			t.Error("an item without an answer counts as done")
		}
	})
}

func TestBatcherIsIdleBetweenBatches(t *testing.T) {
	// A goroutine or a timer left behind would be a deadlock or a leak to synctest.
	synctest.Test(t, func(t *testing.T) {
		b := queue.NewBatcher(&recorder{}, queue.BatcherOptions{})
		for i := range 10 {
			go b.Delete(t.Context(), receipt(i))
		}
		synctest.Wait()
	})
}
