package queue

import "context"

// Bounded is q whose deletes and extensions end with done, whoever's they are:
// what a Batcher calls outlives the callers.
func Bounded(q Queue, done context.Context) Queue { //nolint:revive // done is not of this call
	return bounded{q, done}
}

type bounded struct {
	Queue
	done context.Context
}

func (b bounded) Delete(ctx context.Context, receipts []Receipt) []error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(b.done, cancel)()
	return b.Queue.Delete(ctx, receipts)
}

func (b bounded) Extend(ctx context.Context, extensions []Extension) []error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(b.done, cancel)()
	return b.Queue.Extend(ctx, extensions)
}
