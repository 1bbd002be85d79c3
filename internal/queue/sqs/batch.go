package sqs

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"golang.org/x/sync/errgroup"

	"github.com/queuemill/queuemill/internal/queue"
)

const parallelBatches = 4 // of one call with more items than a batch holds

// batchCall is one call of any number of items, made in batches.
type batchCall struct {
	verb    string
	n       int
	ordered bool                                                    // batches one after another
	size    func(i int) int                                         // bytes of an item; nil: they don't count
	refuse  func(i int) error                                       // why an item can't go at all
	do      func(ctx context.Context, from, to int) (answer, error) // entries' IDs are their places
}

// answer is a batch's: which entries are done and which are not.
type answer struct {
	done   []*string
	failed []types.BatchResultErrorEntry
}

func entryID(i int) *string {
	s := strconv.Itoa(i)
	return &s
}

func index(id *string, from, to int) (int, bool) {
	i, err := strconv.Atoi(value(id))
	return i, err == nil && i >= from && i < to
}

// batches makes the call and returns an answer for each item.
func (q *Queue) batches(ctx context.Context, c batchCall) []error {
	errs := make([]error, c.n)
	var group errgroup.Group
	group.SetLimit(parallelBatches)
	if c.ordered {
		group.SetLimit(1)
	}
	for next := 0; next < c.n; {
		from := next
		if err := c.refuse(from); err != nil {
			errs[from] = fmt.Errorf("%s %s: %w", c.verb, q.name, err)
			next++
			continue
		}
		to := c.end(from)
		group.Go(func() error {
			q.batch(ctx, c, from, to, errs)
			return nil
		})
		next = to
	}
	group.Wait() //nolint:errcheck // each item has its own error
	return errs
}

// end is where the batch that starts at from ends: before the item that would
// be one too many, too large, or must not be sent.
func (c batchCall) end(from int) int {
	bytes := 0
	for i := from; i < c.n; i++ {
		if c.size != nil {
			bytes += c.size(i)
		}
		tooMuch := i-from == maxBatch || bytes > maxBatchBytes || c.refuse(i) != nil
		if i > from && tooMuch {
			return i
		}
	}
	return c.n
}

// batch makes one request and files its answers in errs[from:to].
func (q *Queue) batch(ctx context.Context, c batchCall, from, to int, errs []error) {
	call, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	a, err := c.do(call, from, to)
	if err != nil {
		err = q.failure(c.verb, err)
		if ctx.Err() != nil {
			err = fmt.Errorf("%s %s: %w", c.verb, q.name, ctx.Err())
		}
		// One bad entry may cost the service's patience with all: ask alone.
		refused := errors.Is(err, queue.ErrInvalid) || errors.Is(err, queue.ErrReceiptInvalid)
		for i := from; i < to; i++ {
			if refused && to-from > 1 {
				q.batch(ctx, c, i, i+1, errs)
			} else {
				errs[i] = err
			}
		}
		return
	}
	for i := from; i < to; i++ {
		errs[i] = fmt.Errorf("%s %s: %w: the service left the item out of its answer", c.verb, q.name, queue.ErrUnreachable)
	}
	for _, id := range a.done {
		if i, ok := index(id, from, to); ok {
			errs[i] = nil
		}
	}
	for _, e := range a.failed {
		if i, ok := index(e.Id, from, to); ok {
			errs[i] = q.refusal(c.verb, e)
		}
	}
}
