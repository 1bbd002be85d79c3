package embedded

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/queuemill/queuemill/internal/queue"
)

// provider is a Queue behind the seam that the rest of Queuemill reads.
type provider struct{ q *Queue }

var (
	_ queue.Queue            = (*provider)(nil)
	_ queue.DepthReporter    = (*provider)(nil)
	_ queue.Purger           = (*provider)(nil)
	_ queue.Peeker           = (*provider)(nil)
	_ queue.Redriver         = (*provider)(nil)
	_ queue.Rejecter         = (*provider)(nil)
	_ queue.SettingsReporter = (*provider)(nil)

	_ queue.DeadLetterReporter = (*provider)(nil)
)

// AsQueue is the queue as a provider inside the process: same limits, same
// rules, errors as in package queue.
func (q *Queue) AsQueue() queue.Queue { return &provider{q} }

func (p *provider) Receive(ctx context.Context, o queue.ReceiveOptions) ([]queue.Message, error) {
	ro := ReceiveOptions{Max: o.Max, Wait: &o.Wait}
	if o.Visibility > 0 {
		ro.Visibility = &o.Visibility
	}
	got, err := p.q.Receive(ctx, ro)
	if err != nil {
		return nil, seamError(err)
	}
	return seamMessages(got), nil
}

func seamMessages(got []*Message) []queue.Message {
	out := make([]queue.Message, len(got))
	for i, m := range got {
		out[i] = queue.Message{
			ID: m.ID, Body: m.Body, Attributes: m.Attributes, Receipt: queue.Receipt(m.Handle),
			ReceiveCount: m.ReceiveCount, SentAt: m.SentAt, FirstReceivedAt: m.FirstReceivedAt,
			GroupID: m.GroupID, DeduplicationID: m.DeduplicationID,
		}
	}
	return out
}

func (p *provider) Delete(ctx context.Context, receipts []queue.Receipt) []error {
	if err := ctx.Err(); err != nil {
		return sameErrors(err, len(receipts))
	}
	handles := make([]string, len(receipts))
	for i, r := range receipts {
		handles[i] = string(r)
	}
	return seamErrors(p.q.Delete(ctx, handles))
}

func (p *provider) Extend(ctx context.Context, extensions []queue.Extension) []error {
	if err := ctx.Err(); err != nil {
		return sameErrors(err, len(extensions))
	}
	changes := make([]VisibilityChange, len(extensions))
	for i, e := range extensions {
		changes[i] = VisibilityChange{Handle: string(e.Receipt), Timeout: e.Visibility}
	}
	return seamErrors(p.q.ChangeVisibility(ctx, changes))
}

func (p *provider) Send(ctx context.Context, messages []queue.Outgoing) []queue.SendResult {
	entries := make([]SendEntry, len(messages))
	for i, m := range messages {
		entries[i] = SendEntry{Body: m.Body, Attributes: m.Attributes, GroupID: m.GroupID, DeduplicationID: m.DeduplicationID}
		if m.Delay > 0 {
			// Whole seconds; a part of one counts as one.
			s := int((m.Delay + time.Second - 1) / time.Second)
			entries[i].DelaySeconds = &s
		}
	}
	out := make([]queue.SendResult, len(messages))
	if err := ctx.Err(); err != nil {
		for i := range out {
			out[i].Err = err
		}
		return out
	}
	for i, r := range p.q.Send(ctx, entries) {
		out[i] = queue.SendResult{ID: r.ID, Err: seamError(r.Err)}
	}
	return out
}

func (p *provider) Depth(context.Context) (queue.Depth, error) {
	if err := p.q.gone(); err != nil {
		return queue.Depth{}, seamError(err)
	}
	return p.q.Depth(), nil
}

func (p *provider) Purge(ctx context.Context) error { return seamError(p.q.Purge(ctx)) }

func (p *provider) Peek(_ context.Context, n int) ([]queue.Message, error) {
	if err := p.q.gone(); err != nil {
		return nil, seamError(err)
	}
	return seamMessages(p.q.Peek(n)), nil
}

func (p *provider) PeekCounts() bool { return false }

func (p *provider) Redrive(ctx context.Context, limit int) (int, error) {
	moved, err := p.q.redrive(ctx, limit)
	return moved, seamError(err)
}

func (p *provider) DeadLetters(context.Context) (queue.Depth, error) {
	dead, err := p.deadLetterQueue()
	if err != nil {
		return queue.Depth{}, err
	}
	return dead.Depth(), nil
}

func (p *provider) Reject(ctx context.Context, m queue.Message, reason string) error {
	dead, err := p.deadLetterQueue()
	if err != nil {
		return err
	}
	if err := dead.AsQueue().Send(ctx, []queue.Outgoing{queue.Rejected(&m, reason, dead.fifo)})[0].Err; err != nil {
		return fmt.Errorf("reject to the dead-letter queue of %s: %w", p.q.name, err)
	}
	return nil
}

func (p *provider) deadLetterQueue() (*Queue, error) {
	p.q.mu.Lock()
	defer p.q.mu.Unlock()
	if dead := p.q.deadLetterQueue(); dead != nil {
		return dead, nil
	}
	return nil, fmt.Errorf("%s has no dead-letter queue: %w", p.q.name, queue.ErrNotFound)
}

func (p *provider) Settings(context.Context) (queue.Settings, error) {
	if err := p.q.gone(); err != nil {
		return queue.Settings{}, seamError(err)
	}
	p.q.mu.Lock()
	defer p.q.mu.Unlock()
	s := queue.Settings{Visibility: p.q.set.visibility, Retention: p.q.set.retention, MaxReceiveCount: p.q.set.maxReceive, FIFO: p.q.fifo}
	if d := p.q.deadLetterQueue(); d != nil {
		s.DeadLetterQueue = d.name
	}
	return s, nil
}

// gone is why the queue can't be used any more; nil: it can.
func (q *Queue) gone() error {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.shutErr
}

func seamErrors(errs []error) []error {
	for i, err := range errs {
		errs[i] = seamError(err)
	}
	return errs
}

// sameErrors answers n items of a call that is not made.
func sameErrors(err error, n int) []error {
	errs := make([]error, n)
	for i := range errs {
		errs[i] = err
	}
	return errs
}

// seamError wraps err into what package queue calls it.
func seamError(err error) error {
	var e *Error
	if err == nil || !errors.As(err, &e) {
		return err
	}
	switch e.Code {
	case CodeQueueDoesNotExist:
		return fmt.Errorf("%w: %w", queue.ErrNotFound, err)
	case CodeOverLimit, CodeServiceUnavailable, CodePurgeQueueInProgress:
		return fmt.Errorf("%w: %w", queue.ErrThrottled, err)
	case CodeReceiptHandleIsInvalid, CodeMessageNotInflight:
		return fmt.Errorf("%w: %w", queue.ErrReceiptInvalid, err)
	case CodeInternalFailure:
		return err
	}
	if errors.Is(err, errStaleReceipt) {
		return fmt.Errorf("%w: %w", queue.ErrReceiptInvalid, err)
	}
	return fmt.Errorf("%w: %w", queue.ErrInvalid, err)
}
