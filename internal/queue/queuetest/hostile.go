package queuetest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/queuemill/queuemill/internal/queue"
)

// Op is a call of a Fake.
type Op string

// The calls that can be scripted and counted.
const (
	OpReceive Op = "receive"
	OpDelete  Op = "delete"
	OpExtend  Op = "extend"
	OpSend    Op = "send"
	OpDepth   Op = "depth"
	OpPurge   Op = "purge"
	OpPeek    Op = "peek"
	OpRedrive Op = "redrive"
	OpReject  Op = "reject"
)

// Fault is what goes wrong with a call:
//
//	Fault{}                     nothing: the call is as it should be
//	Fault{Err: e}               refused: not done, and e
//	Fault{Err: e, Done: true}   the answer is lost: done, but e
//	Fault{Forgotten: true}      answered as done, but not done
//
// Receive, Delete, Extend and Send know Done; Delete and Extend know Forgotten.
type Fault struct {
	Err       error
	Done      bool
	Forgotten bool
}

// Hostility is how badly a queue behaves, for soak tests. The chances are from
// 0 to 1 and drawn per item with a fixed seed; the zero value is a good queue.
type Hostility struct {
	Seed uint64

	DuplicateAfterDelete float64 // a deleted message is delivered again, and has to be deleted again
	ForgetDelete         float64 // a delete is answered and not done
	LoseAnswer           float64 // delete, extend, send: done, answered ErrUnreachable; receive: messages taken, not shown
	Throttle             float64 // any call: not done, ErrThrottled
	Unreachable          bool    // every call: not done, ErrUnreachable
	StaleCounts          bool    // Depth repeats what it answered last before this was set
}

// SetHostility changes the queue's behaviour from the next call on.
func (f *Fake) SetHostility(h Hostility) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.hostility = h
	f.random = rand.New(rand.NewPCG(h.Seed, 1))
	f.wake()
}

// Script gives the next calls of op these faults, one each for the whole call,
// before the Hostility is asked. Further Scripts queue up behind.
func (f *Fake) Script(op Op, faults ...Fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.script[op] = append(f.script[op], faults...)
}

// Calls is how many calls of op were made, failed ones included.
func (f *Fake) Calls(op Op) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.calls[op]
}

// Deleted are the IDs of the messages whose delete was done, in order; one that
// came back as a duplicate and was deleted again stands there twice.
func (f *Fake) Deleted() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.deleted)
}

// Messages are all messages in the queue, in flight and delayed ones included,
// without receipts and without counting as receives.
func (f *Fake) Messages() []queue.Message {
	f.mu.Lock()
	defer f.mu.Unlock()
	var all []queue.Message
	for _, e := range f.entries {
		all = append(all, copyOf(e))
	}
	return all
}

// Count is Depth, true whatever the Hostility.
func (f *Fake) Count() queue.Depth {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.count()
}

// Expire makes the visibility timeout of a message in flight end now; false
// when there is no such message.
func (f *Fake) Expire(id string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	e := f.byID[id]
	if e == nil {
		return false
	}
	e.visibleAt = e.message.SentAt
	f.wake()
	return true
}

// Duplicate delivers a message of the queue, or one that was deleted, once more
// with the same ID: what at-least-once delivery allows.
func (f *Fake) Duplicate(m queue.Message) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if e := f.byID[m.ID]; e != nil {
		e.visibleAt = e.message.SentAt
		f.wake()
		return
	}
	m.Receipt = ""
	f.insert(&entry{message: m})
}

// begin counts a call and decides whether it is made at all.
func (f *Fake) begin(ctx context.Context, op Op) (Fault, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls[op]++
	if err := ctx.Err(); err != nil {
		return Fault{}, err
	}
	fault := f.next(op)
	switch {
	case fault.Err != nil && !fault.Done:
		return Fault{}, f.failure(op, fault.Err)
	case f.hostility.Unreachable:
		return Fault{}, f.failure(op, queue.ErrUnreachable)
	case f.chance(f.hostility.Throttle):
		return Fault{}, f.failure(op, queue.ErrThrottled)
	case op == OpReceive && f.chance(f.hostility.LoseAnswer):
		return Fault{Err: queue.ErrUnreachable, Done: true}, nil
	}
	return fault, nil
}

func (f *Fake) next(op Op) Fault {
	if len(f.script[op]) == 0 {
		return Fault{}
	}
	fault := f.script[op][0]
	f.script[op] = f.script[op][1:]
	return fault
}

func (f *Fake) chance(p float64) bool { return p > 0 && f.random.Float64() < p }

func (f *Fake) failure(op Op, err error) error {
	return fmt.Errorf("%s %s: %w", op, f.options.Name, err)
}

// each does one batch call, item by item.
func each[T any](ctx context.Context, f *Fake, op Op, items []T, do func(T) error) []error {
	answers := make([]error, len(items))
	fault, err := f.begin(ctx, op)
	if err != nil {
		for i := range answers {
			answers[i] = err
		}
		return answers
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for i, item := range items {
		if fault.Forgotten && op != OpSend || op == OpDelete && f.chance(f.hostility.ForgetDelete) {
			continue
		}
		if answers[i] = do(item); answers[i] != nil {
			answers[i] = f.failure(op, answers[i])
		}
		if fault.Err != nil {
			answers[i] = f.failure(op, fault.Err)
		} else if f.chance(f.hostility.LoseAnswer) {
			answers[i] = f.failure(op, queue.ErrUnreachable)
		}
	}
	return answers
}
