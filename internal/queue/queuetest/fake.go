package queuetest

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/queuemill/queuemill/internal/queue"
)

const maxVisibility = 12 * time.Hour // SQS

// Options make a Fake; the zero value is a standard queue with SQS's defaults.
type Options struct {
	Name            string
	Visibility      time.Duration // default 30 s
	MaxReceiveCount int           // 0: no redrive policy; else DeadLetters is needed
	DeadLetters     *Fake
	FIFO            bool // groups in order, blocked while in flight; deduplication by ID, for good
}

// Fake is a queue in memory with SQS's semantics, on the clock of time.Now and
// so on synctest's inside a bubble. Script and SetHostility make it misbehave.
// Safe for concurrent use.
type Fake struct {
	options Options

	mu       sync.Mutex
	entries  []*entry // in order of sending, the dead-letter queue's of arrival
	byID     map[string]*entry
	sent     map[string]string // FIFO: deduplication ID to message ID
	ids      int
	receives int
	changed  chan struct{} // closed and replaced when something may have become visible

	calls     map[Op]int
	deleted   []string
	script    map[Op][]Fault
	hostility Hostility
	random    *rand.Rand
	stale     *queue.Depth
}

// entry is a message and where it stands.
type entry struct {
	message   queue.Message // without Receipt
	visibleAt time.Time
	receipt   queue.Receipt // of the last receive; empty before the first
	source    *Fake         // where a dead letter came from
}

var (
	_ queue.Queue            = (*Fake)(nil)
	_ queue.DepthReporter    = (*Fake)(nil)
	_ queue.Purger           = (*Fake)(nil)
	_ queue.Peeker           = (*Fake)(nil)
	_ queue.Redriver         = (*Fake)(nil)
	_ queue.Rejecter         = (*Fake)(nil)
	_ queue.SettingsReporter = (*Fake)(nil)
)

// NewFake returns an empty queue.
func NewFake(o Options) *Fake {
	if o.Name == "" {
		o.Name = "fake"
	}
	if o.Visibility == 0 {
		o.Visibility = 30 * time.Second
	}
	return &Fake{
		options: o,
		byID:    map[string]*entry{},
		sent:    map[string]string{},
		changed: make(chan struct{}),
		calls:   map[Op]int{},
		script:  map[Op][]Fault{},
		random:  rand.New(rand.NewPCG(1, 1)),
	}
}

// Name is the queue's name.
func (f *Fake) Name() string { return f.options.Name }

// Receive is queue.Queue's.
func (f *Fake) Receive(ctx context.Context, o queue.ReceiveOptions) ([]queue.Message, error) {
	fault, err := f.begin(ctx, OpReceive)
	if err != nil {
		return nil, err
	}
	if o.Max < 1 || o.Max > 10 || o.Wait < 0 || o.Wait > 20*time.Second || o.Visibility < 0 || o.Visibility > maxVisibility {
		return nil, fmt.Errorf("receive from %s with %+v: %w", f.options.Name, o, queue.ErrInvalid)
	}
	deadline := time.Now().Add(o.Wait)
	for {
		f.mu.Lock()
		if err := ctx.Err(); err != nil {
			f.mu.Unlock()
			return nil, err
		}
		got := f.take(o)
		changed, next := f.changed, f.nextVisible()
		f.mu.Unlock()

		if len(got) > 0 {
			if fault.Err != nil { // taken, and the answer lost
				return nil, f.failure(OpReceive, fault.Err)
			}
			return got, nil
		}
		wait := time.Until(deadline)
		if wait <= 0 {
			if fault.Err != nil {
				return nil, f.failure(OpReceive, fault.Err)
			}
			return nil, nil
		}
		if !next.IsZero() {
			wait = min(wait, time.Until(next))
		}
		timer := time.NewTimer(wait)
		select {
		case <-changed:
		case <-timer.C:
		case <-ctx.Done():
		}
		timer.Stop()
	}
}

// take receives what is visible, f.mu held.
func (f *Fake) take(o queue.ReceiveOptions) []queue.Message {
	now := time.Now()
	visibility := o.Visibility
	if visibility == 0 {
		visibility = f.options.Visibility
	}
	var got []queue.Message
	blocked := map[string]bool{}
	for _, e := range slices.Clone(f.entries) {
		if len(got) == o.Max {
			break
		}
		group := f.options.FIFO && e.message.GroupID != ""
		if e.visibleAt.After(now) {
			blocked[e.message.GroupID] = group
			continue
		}
		if group && blocked[e.message.GroupID] {
			continue
		}
		if f.options.MaxReceiveCount > 0 && e.message.ReceiveCount >= f.options.MaxReceiveCount {
			f.bury(e)
			continue
		}
		f.receives++
		e.receipt = queue.Receipt(fmt.Sprintf("%s/%s/%d", f.options.Name, e.message.ID, f.receives))
		e.visibleAt = now.Add(visibility)
		e.message.ReceiveCount++
		if e.message.FirstReceivedAt.IsZero() {
			e.message.FirstReceivedAt = now
		}
		m := copyOf(e)
		m.Receipt = e.receipt
		got = append(got, m)
	}
	return got
}

// nextVisible is when the next message comes back, zero for never.
func (f *Fake) nextVisible() (next time.Time) {
	now := time.Now()
	for _, e := range f.entries {
		if e.visibleAt.After(now) && (next.IsZero() || e.visibleAt.Before(next)) {
			next = e.visibleAt
		}
	}
	return next
}

// bury moves e to the dead-letter queue.
func (f *Fake) bury(e *entry) {
	f.remove(e)
	dead := *e
	dead.source, dead.visibleAt, dead.receipt = f, time.Time{}, ""
	f.options.DeadLetters.put(&dead)
}

// put appends e under f.mu of its own.
func (f *Fake) put(e *entry) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.insert(e)
}

func (f *Fake) insert(e *entry) {
	f.entries = append(f.entries, e)
	f.byID[e.message.ID] = e
	f.wake()
}

func (f *Fake) remove(e *entry) {
	f.entries = slices.DeleteFunc(f.entries, func(other *entry) bool { return other == e })
	delete(f.byID, e.message.ID)
}

func (f *Fake) wake() {
	close(f.changed)
	f.changed = make(chan struct{})
}

// Delete is queue.Queue's.
func (f *Fake) Delete(ctx context.Context, receipts []queue.Receipt) []error {
	return each(ctx, f, OpDelete, receipts, func(r queue.Receipt) error {
		id, err := f.parse(r)
		if err != nil {
			return err
		}
		e := f.byID[id]
		if e == nil { // gone already; an old receipt deletes too, as on a standard queue
			return nil
		}
		if f.options.FIFO && (e.receipt != r || !e.visibleAt.After(time.Now())) {
			return queue.ErrReceiptInvalid
		}
		f.deleted = append(f.deleted, id)
		if f.chance(f.hostility.DuplicateAfterDelete) {
			e.visibleAt = e.message.SentAt
		} else {
			f.remove(e)
		}
		f.wake() // a FIFO group may be free
		return nil
	})
}

// Extend is queue.Queue's.
func (f *Fake) Extend(ctx context.Context, extensions []queue.Extension) []error {
	return each(ctx, f, OpExtend, extensions, func(x queue.Extension) error {
		id, err := f.parse(x.Receipt)
		if err != nil {
			return err
		}
		now := time.Now()
		e := f.byID[id]
		switch {
		case x.Visibility < 0 || x.Visibility > maxVisibility:
			return fmt.Errorf("visibility timeout %v: %w", x.Visibility, queue.ErrInvalid)
		case e == nil || e.receipt != x.Receipt || !e.visibleAt.After(now):
			return queue.ErrReceiptInvalid
		}
		e.visibleAt = now.Add(x.Visibility)
		f.wake()
		return nil
	})
}

// parse finds the message that a receipt names.
func (f *Fake) parse(r queue.Receipt) (id string, err error) {
	parts := strings.Split(string(r), "/")
	if len(parts) == 3 && parts[0] == f.options.Name {
		if n, err := strconv.Atoi(parts[2]); err == nil && n <= f.receives {
			return parts[1], nil
		}
	}
	return "", fmt.Errorf("receipt %q: %w", r, queue.ErrReceiptInvalid)
}

// Send is queue.Queue's.
func (f *Fake) Send(ctx context.Context, messages []queue.Outgoing) []queue.SendResult {
	results := make([]queue.SendResult, len(messages))
	places := make([]int, len(messages))
	for i := range places {
		places[i] = i
	}
	errs := each(ctx, f, OpSend, places, func(i int) error {
		m := messages[i]
		if err := check(m, f.options.FIFO); err != nil {
			return err
		}
		if id := f.sent[m.DeduplicationID]; id != "" {
			results[i].ID = id
			return nil
		}
		f.ids++
		id := fmt.Sprintf("%08x-0000-4000-8000-%012x", len(f.options.Name), f.ids)
		now := time.Now()
		f.insert(&entry{visibleAt: now.Add(m.Delay), message: queue.Message{
			ID: id, Body: m.Body, Attributes: maps.Clone(m.Attributes), SentAt: now,
			GroupID: m.GroupID, DeduplicationID: m.DeduplicationID,
		}})
		results[i].ID = id
		if f.options.FIFO && m.DeduplicationID != "" {
			f.sent[m.DeduplicationID] = id
		}
		return nil
	})
	for i, err := range errs {
		if err != nil {
			results[i] = queue.SendResult{Err: err}
		}
	}
	return results
}

// Depth is queue.DepthReporter's.
func (f *Fake) Depth(ctx context.Context) (queue.Depth, error) {
	if _, err := f.begin(ctx, OpDepth); err != nil {
		return queue.Depth{}, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.hostility.StaleCounts && f.stale != nil {
		return *f.stale, nil
	}
	d := f.count()
	f.stale = &d
	return d, nil
}

func (f *Fake) count() (d queue.Depth) {
	now := time.Now()
	for _, e := range f.entries {
		switch {
		case !e.visibleAt.After(now):
			d.Visible++
			d.OldestAge = max(d.OldestAge, now.Sub(e.message.SentAt))
		case e.receipt == "":
			d.Delayed++
		default:
			d.InFlight++
		}
	}
	return d
}

// Purge is queue.Purger's.
func (f *Fake) Purge(ctx context.Context) error {
	if _, err := f.begin(ctx, OpPurge); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.entries = nil
	clear(f.byID)
	return nil
}

// Peek is queue.Peeker's.
func (f *Fake) Peek(ctx context.Context, limit int) ([]queue.Message, error) {
	if _, err := f.begin(ctx, OpPeek); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	now := time.Now()
	var got []queue.Message
	for _, e := range f.entries {
		if len(got) < limit && !e.visibleAt.After(now) {
			got = append(got, copyOf(e))
		}
	}
	return got, nil
}

// PeekCounts is queue.Peeker's.
func (f *Fake) PeekCounts() bool { return false }

// Redrive is queue.Redriver's.
func (f *Fake) Redrive(ctx context.Context, limit int) (int, error) {
	if _, err := f.begin(ctx, OpRedrive); err != nil {
		return 0, err
	}
	f.mu.Lock()
	var back []*entry
	now := time.Now()
	for _, e := range slices.Clone(f.entries) {
		if e.source == nil || e.visibleAt.After(now) || limit > 0 && len(back) == limit {
			continue
		}
		f.remove(e)
		back = append(back, e)
	}
	f.mu.Unlock()
	for _, e := range back {
		home := *e
		home.source, home.visibleAt, home.receipt = nil, time.Time{}, ""
		home.message.ReceiveCount, home.message.FirstReceivedAt = 0, time.Time{}
		e.source.put(&home)
	}
	return len(back), nil
}

// DeadLetters is queue.DeadLetterReporter's.
func (f *Fake) DeadLetters(ctx context.Context) (queue.Depth, error) {
	if f.options.DeadLetters == nil || f.options.MaxReceiveCount == 0 {
		return queue.Depth{}, f.failure(OpDepth, queue.ErrNotFound)
	}
	return f.options.DeadLetters.Depth(ctx)
}

// Reject is queue.Rejecter's.
func (f *Fake) Reject(ctx context.Context, m queue.Message, reason string) error {
	if _, err := f.begin(ctx, OpReject); err != nil {
		return err
	}
	dead := f.options.DeadLetters
	if dead == nil || f.options.MaxReceiveCount == 0 {
		return f.failure(OpReject, queue.ErrNotFound)
	}
	r := dead.Send(ctx, []queue.Outgoing{queue.Rejected(&m, reason, dead.options.FIFO)})[0]
	if r.Err == nil {
		dead.mu.Lock()
		defer dead.mu.Unlock()
		if e := dead.byID[r.ID]; e != nil {
			e.source = f
		}
	}
	return r.Err
}

// Settings is queue.SettingsReporter's.
func (f *Fake) Settings(context.Context) (queue.Settings, error) {
	s := queue.Settings{
		Visibility: f.options.Visibility, MaxReceiveCount: f.options.MaxReceiveCount, FIFO: f.options.FIFO,
	}
	if f.options.DeadLetters != nil {
		s.DeadLetterQueue = f.options.DeadLetters.options.Name
	}
	return s, nil
}

func copyOf(e *entry) queue.Message {
	m := e.message
	m.Attributes = maps.Clone(m.Attributes)
	return m
}
