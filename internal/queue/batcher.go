package queue

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

const (
	batchSize    = 10                    // SQS: entries of a batch at most
	batchLinger  = 20 * time.Millisecond // the first item of a batch waits so long for company
	batchTimeout = 30 * time.Second
)

// ErrBatcherClosed answers what is handed to a Batcher after its Close.
var ErrBatcherClosed = errors.New("batcher is closed")

// BatcherOptions are a Batcher's limits; zero values are the defaults.
type BatcherOptions struct {
	Size    int           // items of one batch at most; default 10, SQS's own
	Linger  time.Duration // the wait of a batch's first item for more; default 20 ms
	Timeout time.Duration // of one call to the queue; default 30 s
}

// Batcher gathers single deletes and extensions into batches, so that a burst
// of settled jobs costs a tenth of the requests. A full batch leaves at once, a
// partial one when its first item has waited Linger. It owns no goroutine and
// no timer while nothing is handed to it. Safe for concurrent use.
type Batcher struct {
	deletes    lane[Receipt]
	extensions lane[Extension]
}

// NewBatcher returns a Batcher in front of q. Close it when done.
func NewBatcher(q Queue, o BatcherOptions) *Batcher {
	if o.Size <= 0 {
		o.Size = batchSize
	}
	if o.Linger <= 0 {
		o.Linger = batchLinger
	}
	if o.Timeout <= 0 {
		o.Timeout = batchTimeout
	}
	return &Batcher{
		deletes:    lane[Receipt]{options: o, call: q.Delete},
		extensions: lane[Extension]{options: o, call: q.Extend},
	}
}

// Delete removes one message and returns the queue's answer for it, or ctx's
// error when ctx ends first: the delete itself is then still on its way.
// Errors are Queue.Delete's, and ErrBatcherClosed.
func (b *Batcher) Delete(ctx context.Context, r Receipt) error {
	return b.deletes.do(ctx, r)
}

// Extend changes one message's visibility, as Delete deletes one.
//
// The time counts from when the batch leaves, so up to Linger late.
func (b *Batcher) Extend(ctx context.Context, e Extension) error {
	return b.extensions.do(ctx, e)
}

// Close sends what is gathered at once and waits for all answers, at most
// Timeout.
func (b *Batcher) Close() {
	b.deletes.close()
	b.extensions.close()
	b.deletes.calls.Wait()
	b.extensions.calls.Wait()
}

// lane gathers items of one kind of call.
type lane[T any] struct {
	options BatcherOptions
	call    func(context.Context, []T) []error

	calls sync.WaitGroup // batches begun and not yet answered

	mu     sync.Mutex
	open   *batch[T] // takes items; nil while there are none
	closed bool
}

// batch is one call: answers is valid once done is closed.
type batch[T any] struct {
	items   []T
	answers []error
	done    chan struct{}
	linger  *time.Timer
}

func (l *lane[T]) do(ctx context.Context, item T) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	b, i, err := l.add(item)
	if err != nil {
		return err
	}
	select {
	case <-b.done:
		return b.answers[i]
	case <-ctx.Done():
		return ctx.Err()
	}
}

// add puts item into the open batch and says at which place.
func (l *lane[T]) add(item T) (*batch[T], int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil, 0, ErrBatcherClosed
	}
	b := l.open
	if b == nil {
		b = &batch[T]{done: make(chan struct{})}
		l.open = b
		l.calls.Add(1)
		b.linger = time.AfterFunc(l.options.Linger, func() {
			if l.take(b) {
				l.send(b)
			}
		})
	}
	b.items = append(b.items, item)
	if len(b.items) == l.options.Size {
		l.open = nil
		b.linger.Stop()
		go l.send(b)
	}
	return b, len(b.items) - 1, nil
}

// take closes b to further items; false when somebody else did before.
func (l *lane[T]) take(b *batch[T]) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open != b {
		return false
	}
	l.open = nil
	return true
}

// send makes the call. Its context is the batch's own: no caller's end may
// fail the items of others.
func (l *lane[T]) send(b *batch[T]) {
	defer l.calls.Done()
	ctx, cancel := context.WithTimeout(context.Background(), l.options.Timeout)
	defer cancel()
	answers := l.call(ctx, b.items)
	if len(answers) != len(b.items) {
		err := fmt.Errorf("queue answered %d of %d items", len(answers), len(b.items))
		answers = make([]error, len(b.items))
		for i := range answers {
			answers[i] = err
		}
	}
	b.answers = answers
	close(b.done)
}

func (l *lane[T]) close() {
	l.mu.Lock()
	l.closed = true
	b := l.open
	l.open = nil
	l.mu.Unlock()
	if b != nil {
		b.linger.Stop()
		go l.send(b)
	}
}
