package queuejob

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/queuemill/queuemill/internal/queue"
)

// operation is what may be in trouble.
type operation string

const (
	opReceive  operation = "receive"
	opDelete   operation = "delete"
	opExtend   operation = "extend"
	opExecutor operation = "executor"
)

// trouble is one caller whose calls fail, from the first failure until it ends.
// An operation is in trouble while any of its callers is: derived from who is
// waiting, so that it can't stick when they are gone.
type trouble struct {
	r     *Runner
	op    operation
	tries int
	err   error     // of the latest try
	next  time.Time // of the next try
}

// trouble returns a caller's trouble, none yet.
func (r *Runner) trouble(op operation) *trouble { return &trouble{r: r, op: op} }

// fail notes a failed try and says when to try again.
func (t *trouble) fail(err error) time.Time {
	r := t.r
	r.mu.Lock()
	defer r.unlock()
	delay := callBackoff.Full(t.tries)
	t.tries++
	t.err = err
	t.next = time.Now().Add(delay)
	first := len(r.troubles[t.op]) == 0
	if r.troubles[t.op] == nil {
		r.troubles[t.op] = map[*trouble]struct{}{}
	}
	r.troubles[t.op][t] = struct{}{}
	if first {
		r.event(true, EventUnhealthy, "", fmt.Sprintf("%s: %v", t.op, err))
		r.interruptReceive()
	}
	return t.next
}

// ok ends the trouble; a later fail begins anew.
func (t *trouble) ok() {
	r := t.r
	r.mu.Lock()
	defer r.unlock()
	if t.tries == 0 {
		return
	}
	t.tries = 0
	delete(r.troubles[t.op], t)
	if len(r.troubles[t.op]) == 0 {
		r.event(false, EventHealthy, "", string(t.op)+" works again")
		r.wakeReceive.poke()
	}
}

// wait notes a failed try and waits for the next; false when ctx ended.
func (t *trouble) wait(ctx context.Context, err error) bool {
	if ctx.Err() != nil {
		return false
	}
	timer := time.NewTimer(time.Until(t.fail(err)))
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}

// worst is an error of op's present trouble, nil without; r.mu is held.
func (r *Runner) worst(op operation) error {
	var latest *trouble
	for t := range r.troubles[op] {
		if latest == nil || t.tries > latest.tries {
			latest = t
		}
	}
	if latest == nil {
		return nil
	}
	return latest.err
}

// inTrouble tells whether any of the operations is; r.mu is held.
func (r *Runner) inTrouble(ops ...operation) bool {
	for _, op := range ops {
		if len(r.troubles[op]) > 0 {
			return true
		}
	}
	return false
}

// gone tells whether a call about a receipt failed for good: nothing that is
// repeated would help, and what there is to know comes with a redelivery.
func gone(err error) bool {
	return errors.Is(err, queue.ErrReceiptInvalid) || errors.Is(err, queue.ErrInvalid)
}
