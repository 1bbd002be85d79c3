package queuejob

import (
	"context"
	"fmt"
	"time"

	"github.com/queuemill/queuemill/internal/message"
	"github.com/queuemill/queuemill/internal/queue"
)

const (
	receiveMax  = 10               // SQS: messages of one receive at most
	receiveWait = 20 * time.Second // SQS: the longest poll

	// placingMax is how many messages may be in hand without their records, room
	// or not: enough to keep the executor busy, few enough that what a crash
	// leaves in flight comes back soon and nothing waits here for minutes.
	placingMax = 256

	// forgetAfter is how long a created job may take room without having been
	// seen: longer than any watch lags. It came and went between two looks, most
	// likely by somebody else's hand.
	forgetAfter = time.Minute
)

// step is what the receive loop does next: start a retry, receive, end, or wait
// for a poke and until a time (zero: for a poke alone).
type step struct {
	retry   string
	receive int
	poll    *poll   // receive: reserved
	config  *config // receive: what its messages follow
	drained bool
	until   time.Time
}

// receive is the one loop that takes up work. It never waits for a job, nor for
// the receives that it begins.
func (r *Runner) receive(ctx context.Context) error {
	t := r.trouble(opReceive)
	defer t.ok()
	for ctx.Err() == nil {
		switch s := r.nextOrForget(ctx, time.Now(), t); {
		case s.drained:
			return errDrained
		case s.retry != "":
			// begun by next, since it takes room
		case s.receive > 0:
			r.tasks.Go(func() { r.receiveOnce(ctx, &s, t) })
		default:
			r.wakeReceive.wait(ctx, s.until)
		}
	}
	return nil
}

// nextOrForget decides, and first gives back the room of jobs that were created
// and never shown.
func (r *Runner) nextOrForget(ctx context.Context, now time.Time, t *trouble) step {
	r.mu.Lock()
	defer r.unlock()
	if !r.ready || r.inTrouble(opExecutor) { // nothing is shown then
		return r.next(ctx, now, t)
	}
	if len(r.view.unseen) > 0 && !now.Before(r.forgetAt) {
		r.forgetAt = now.Add(forgetAfter)
		r.forget(now.Add(-forgetAfter))
	}
	s := r.next(ctx, now, t)
	if len(r.view.unseen) > 0 && s.idle() && (s.until.IsZero() || r.forgetAt.Before(s.until)) {
		s.until = r.forgetAt
	}
	return s
}

func (s *step) idle() bool { return !s.drained && s.retry == "" && s.receive == 0 }

// next decides. Retries come before receives. r.mu is held.
func (r *Runner) next(ctx context.Context, now time.Time, t *trouble) step {
	c := r.config.Load()
	switch {
	case !r.ready:
		return step{}
	case r.draining:
		return step{drained: r.settled() && len(r.polls.open) == 0}
	case r.inTrouble(opExecutor), r.blocked.is():
		return step{}
	}
	// What may come with the receives under way has its room already.
	room := c.maxActive - len(r.view.active) - r.polls.reserved
	if room <= 0 {
		return step{}
	}
	if name := r.nextRetry(); name != "" {
		r.startRetry(c, name)
		return step{retry: name}
	}
	if placing := r.placing + r.polls.reserved; placing > placingMax-receiveMax {
		room = 0 // a full receive a little later, not one message now
	}
	switch {
	case r.suspended, r.full(), r.inTrouble(opDelete, opExtend), room <= 0, !r.polls.another():
		return step{}
	case t.tries > 0 && now.Before(t.next):
		return step{until: t.next}
	}
	n, until := r.breaker.Allow(now, min(room, receiveMax))
	if n == 0 {
		return step{until: until}
	}
	r.breaker.Trial = r.breaker.Open
	// Begun in the step that decides, so that no change falls between the two.
	return step{receive: n, poll: r.polls.begin(ctx, n, r.breaker.Trial), config: c}
}

// full tells whether the history of failures is; r.mu is held.
func (r *Runner) full() bool {
	return r.failures() >= r.config.Load().failedLimit
}

func (r *Runner) fullMessage() string {
	return fmt.Sprintf("%d failed and invalid jobs are kept, failedJobsHistoryLimit is %d: retry or prune some, or raise the limit",
		r.failures(), r.config.Load().failedLimit)
}

// receiveOnce receives and hands each message to a task of its own.
func (r *Runner) receiveOnce(ctx context.Context, s *step, t *trouble) {
	p := s.poll
	messages, err := r.queue.Receive(p.ctx, queue.ReceiveOptions{Max: s.receive, Wait: p.wait, Visibility: s.config.visibility()})
	received := time.Now()
	interrupted := p.ctx.Err() != nil
	switch {
	case ctx.Err() != nil && len(messages) == 0:
	case err != nil && interrupted:
	case err != nil:
		r.metrics.receiveErrors.Inc()
		t.fail(err)
	default:
		t.ok()
	}
	items := make([][]message.Item, len(messages))
	for i := range messages {
		m := &messages[i]
		items[i] = s.config.reader.Read(message.Input{ID: m.ID, Body: m.Body, Attributes: m.Attributes})
	}

	r.mu.Lock()
	r.polls.end(p, len(messages))
	if p.trial && len(messages) == 0 {
		r.breaker.Trial = false
	}
	for i := range messages {
		r.accept(s.config, &messages[i], items[i], received)
	}
	r.unlock()
	r.wakeReceive.poke()
}

// accept takes one message in hand and begins its dispatch; r.mu is held.
func (r *Runner) accept(c *config, m *queue.Message, items []message.Item, received time.Time) {
	r.metrics.received.Inc()
	r.lastMessage = received
	r.depth.received(m, received)
	r.placing++
	d := &delivery{r: r, config: c, message: m, items: items, received: received}
	d.lease = r.hold(c, m, received)
	for i := range items {
		if items[i].Invalid == nil {
			r.view.take(items[i].Name)
			d.taken = append(d.taken, items[i].Name)
		}
	}
	r.task(d.run)
}
