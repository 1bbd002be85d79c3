package embedded

import (
	"context"
	"errors"
	"time"
)

const (
	maxReceive    = 10
	maxWait       = 20 * time.Second
	maxVisibility = 12 * time.Hour
)

// taken is what a receive took out of the index, under way to its caller. Its
// slots are busy.
type taken struct {
	deliver []takenSlot
	dead    []takenSlot // to be moved to the dead-letter queue
	expired []takenSlot // older than the retention period
	over    bool        // too much is in flight
	again   bool        // deliver repeats an earlier receive
}

// takenSlot is a slot as it was when it was taken.
type takenSlot struct {
	slot
	ref   ref
	group string
}

func (t *taken) empty() bool { return len(t.deliver)+len(t.dead)+len(t.expired) == 0 }

// Bounds of what one receive moves and drops by the way.
const (
	maxDead    = 10
	maxExpired = 1000
)

// Receive returns messages as soon as there is at least one, none when the wait
// is over. A receive whose ctx ends returns ctx's error and takes no message.
func (q *Queue) Receive(ctx context.Context, o ReceiveOptions) ([]*Message, error) {
	r, err := q.request(o)
	if err != nil {
		return nil, err
	}
	var deadline instant
	for {
		w, err := q.takeOrWait(ctx, r, &deadline)
		if err != nil || w == nil {
			return nil, err
		}
		messages, err := q.finish(ctx, &w.got, r.attempt)
		if err != nil || len(messages) > 0 {
			return messages, err
		}
	}
}

// receiveRequest is a ReceiveOptions with the queue's defaults in it.
type receiveRequest struct {
	max              int
	wait, visibility time.Duration
	attempt          string
}

func (q *Queue) request(o ReceiveOptions) (receiveRequest, error) {
	q.mu.Lock()
	r := receiveRequest{max: o.Max, wait: q.set.wait, visibility: q.set.visibility}
	q.mu.Unlock()
	if o.Max < 1 || o.Max > maxReceive {
		return r, errorf(CodeInvalidParameterValue, "Value %d for parameter MaxNumberOfMessages is invalid. Reason: Must be between 1 and 10, if provided.", o.Max)
	}
	if o.Wait != nil {
		r.wait = *o.Wait
	}
	if r.wait < 0 || r.wait > maxWait {
		return r, errorf(CodeInvalidParameterValue, "Value %d for parameter WaitTimeSeconds is invalid. Reason: Must be >= 0 and <= 20, if provided.", int(r.wait.Seconds()))
	}
	if o.Visibility != nil {
		r.visibility = *o.Visibility
	}
	if r.visibility < 0 || r.visibility > maxVisibility {
		return r, errorf(CodeInvalidParameterValue, "Value %d for parameter VisibilityTimeout is invalid. Reason: Must be between 0 and 43200.", int(r.visibility.Seconds()))
	}
	if o.AttemptID != "" && (!q.fifo || !validID(o.AttemptID)) {
		reason := "ReceiveRequestAttemptId can only include alphanumeric and punctuation characters. 1 to 128 in length."
		if !q.fifo {
			reason = "The request includes a parameter that is not valid for this queue type."
		}
		return r, errorf(CodeInvalidParameterValue, "Value %s for parameter ReceiveRequestAttemptId is invalid. Reason: %s", o.AttemptID, reason)
	}
	r.attempt = o.AttemptID
	return r, nil
}

// takeOrWait takes what is ready, else waits. It returns nil and no error when
// the wait is over. deadline is set at the first call.
func (q *Queue) takeOrWait(ctx context.Context, r receiveRequest, deadline *instant) (*waiter, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	w := &waiter{max: r.max, visibility: r.visibility}
	if err := q.begin(); err != nil {
		return nil, err
	}
	now := q.b.clock.moment()
	if r.attempt != "" && *deadline == 0 {
		q.index.advance(now.at)
		w.got = q.replay(r.attempt, now.at, r.visibility)
	}
	if w.got.empty() {
		w.got = q.take(now, r.max, r.visibility)
	}
	q.end()
	if !w.got.empty() {
		q.mu.Unlock()
		return w, nil
	}
	if w.got.over {
		q.mu.Unlock()
		return nil, errorf(CodeOverLimit, "Too many messages in flight for queue %s: the maximum is %d. Delete messages that are done.", q.name, q.b.o.MaxInFlight)
	}
	if *deadline == 0 {
		*deadline = now.at.add(r.wait)
	}
	left := deadline.sub(now.at)
	if left <= 0 {
		q.mu.Unlock()
		return nil, nil
	}
	w.done = make(chan struct{})
	q.waiters.push(w)
	q.arm(now.at)
	q.mu.Unlock()
	return q.await(ctx, w, left)
}

// await waits for w to be served.
func (q *Queue) await(ctx context.Context, w *waiter, d time.Duration) (*waiter, error) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	var ended error
	select {
	case <-w.done:
		return w, w.err
	case <-timer.C:
	case <-ctx.Done():
		ended = ctx.Err()
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.waiters.remove(w) {
		return nil, ended
	}
	// Served in the same moment.
	if ended != nil && w.err == nil {
		q.untake(&w.got)
		return nil, ended
	}
	return w, w.err
}

// take takes up to n messages that can be received, with mu held. What it takes
// is an operation under way until finish or untake.
func (q *Queue) take(now moment, n int, visibility time.Duration) taken {
	var t taken
	if q.gated || q.shutErr != nil {
		return t
	}
	x := q.index
	x.advance(now.at)
	redrive := q.set.maxReceive > 0 && q.deadLetterQueue() != nil
	for r := x.next(now.at); r != 0 && len(t.deliver) < n; {
		m := x.at(r)
		switch {
		case m.sent.add(q.set.retention) <= now.at:
			t.expired = append(t.expired, q.setAside(r))
		case redrive && int(m.receives) >= q.set.maxReceive:
			t.dead = append(t.dead, q.setAside(r))
		case x.nInFlight >= q.b.o.MaxInFlight:
			t.over = !q.fifo && t.empty()
			return q.under(t)
		default:
			following := x.following(r)
			x.receive(r, now, visibility)
			t.deliver = append(t.deliver, q.snapshot(r))
			if following != 0 {
				r = following
				continue
			}
		}
		if len(t.dead) >= maxDead || len(t.expired) >= maxExpired {
			break
		}
		r = x.next(now.at)
	}
	return q.under(t)
}

// under counts t as an operation under way.
func (q *Queue) under(t taken) taken {
	if !t.empty() {
		q.ops++
	}
	return t
}

func (q *Queue) snapshot(r ref) takenSlot {
	return takenSlot{slot: *q.index.at(r), ref: r, group: q.index.groupName(r)}
}

// setAside takes r out of its list, busy, to be removed.
func (q *Queue) setAside(r ref) takenSlot {
	q.index.leave(r)
	q.index.at(r).busy = true
	return q.snapshot(r)
}

// untake puts back what was taken as if nothing had been, with mu held; nothing
// of it has been written.
func (q *Queue) untake(t *taken) {
	for _, l := range [...][]takenSlot{t.dead, t.expired} {
		for i := range l {
			q.index.at(l[i].ref).busy = false
			q.index.setState(l[i].ref, ready)
		}
	}
	for i := len(t.deliver) - 1; i >= 0; i-- {
		q.index.unreceive(t.deliver[i].ref)
	}
	q.end()
	q.serve(q.b.clock.moment())
}

// finish writes down what was taken, outside the lock, and makes messages of it.
// When nobody waits for them any more they are given back.
func (q *Queue) finish(ctx context.Context, t *taken, attemptID string) ([]*Message, error) {
	kept, err := q.clearAside(t)
	messages, derr := q.deliver(t.deliver)
	ended := ctx.Err()
	if t.again {
		ended = nil
	}
	if ended != nil && derr == nil {
		derr = q.putBack(t.deliver)
	}
	q.mu.Lock()
	for i := range t.deliver {
		if ended != nil && derr == nil {
			q.index.unreceive(t.deliver[i].ref)
		} else {
			q.index.at(t.deliver[i].ref).busy = false
		}
	}
	if attemptID != "" && len(messages) > 0 && ended == nil {
		q.attempts.put(attemptID, q.b.clock.now(), t.deliver)
	}
	q.end()
	if ended != nil {
		q.serve(q.b.clock.moment())
	}
	q.mu.Unlock()
	if err = errors.Join(err, derr); err != nil {
		return nil, storeError(err)
	}
	if ended != nil {
		return nil, ended
	}
	if kept && len(messages) == 0 {
		q.awaitDeadLetterQueue()
	}
	return messages, nil
}

// deliver writes the new states and reads the contents.
func (q *Queue) deliver(l []takenSlot) ([]*Message, error) {
	if len(l) == 0 {
		return nil, nil
	}
	if err := q.putStates(l); err != nil {
		return nil, err
	}
	messages := make([]*Message, 0, len(l))
	for i := range l {
		c, err := q.read(l[i].seq)
		if err != nil {
			return nil, err
		}
		m := q.message(&l[i].slot, c)
		m.Handle = handle{q.id, l[i].seq, l[i].nonce}.String()
		messages = append(messages, m)
	}
	return messages, nil
}

// putBack writes the states that a receive is undone to.
func (q *Queue) putBack(l []takenSlot) error {
	for i := range l {
		m := &l[i].slot
		m.due = m.received
		if m.receives--; m.receives == 0 {
			m.first = 0
		}
	}
	return q.putStates(l)
}

// putStates writes the states of received messages, without fsync.
func (q *Queue) putStates(l []takenSlot) error {
	batch := q.b.db.Pebble().NewBatchWithSize(len(l) * 96)
	defer batch.Close()
	now := q.b.clock.moment()
	for i := range l {
		q.putState(batch, now, &l[i].slot, l[i].group)
	}
	return q.b.db.CommitNoSync(batch)
}

// read reads what a message carries.
func (q *Queue) read(seq uint64) (*content, error) {
	v, closer, err := q.b.db.Pebble().Get(messageKey(kindContent, q.id, seq))
	if err != nil {
		return nil, err
	}
	defer closer.Close()
	return decodeContent(v)
}

func (q *Queue) message(m *slot, c *content) *Message {
	out := &Message{
		ID: formatID(c.id), Body: c.body, SenderID: c.sender, Attributes: c.attributes, SystemAttributes: c.system,
		SentAt: time.UnixMilli(c.sent), ReceiveCount: int(m.receives),
		GroupID: c.group, DeduplicationID: c.dedup, DeadLetterSourceARN: c.source,
	}
	if m.first != 0 {
		out.FirstReceivedAt = time.UnixMilli(m.first)
	}
	if q.fifo {
		out.SequenceNumber = formatSequence(m.seq)
	}
	return out
}
