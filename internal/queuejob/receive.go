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

	// forgetAfter is how long a created job may take room without having been
	// seen, when nothing else is left to be done: longer than any watch lags.
	forgetAfter = time.Minute
)

// step is what the receive loop does next: start a retry, receive, end, or wait
// for a poke and until a time (zero: for a poke alone).
type step struct {
	retry   string
	receive int
	drained bool
	until   time.Time
}

// receive is the one loop that takes up work. It never waits for a job.
func (r *Runner) receive(ctx context.Context) error {
	t := r.trouble(opReceive)
	defer t.ok()
	for ctx.Err() == nil {
		switch s := r.next(time.Now(), t); {
		case s.drained:
			return errDrained
		case s.retry != "":
			// begun by next, since it takes room
		case s.receive > 0:
			r.receiveOnce(ctx, s.receive, t)
		default:
			r.wakeReceive.wait(ctx, s.until)
		}
	}
	return nil
}

// next decides. Retries come before receives.
func (r *Runner) next(now time.Time, t *trouble) step {
	r.mu.Lock()
	defer r.unlock()
	c := r.config.Load()
	switch {
	case !r.ready:
		return step{}
	case r.draining:
		return step{drained: r.settled()}
	case r.inTrouble(opExecutor):
		return step{}
	}
	room := c.maxActive - len(r.view.active)
	if room <= 0 {
		return r.waitForRoom(now)
	}
	if name := r.nextRetry(); name != "" {
		r.startRetry(c, name)
		return step{retry: name}
	}
	switch {
	case r.suspended, r.full(), r.inTrouble(opDelete, opExtend):
		return step{}
	case t.tries > 0 && now.Before(t.next):
		return step{until: t.next}
	}
	n, until := r.breaker.allow(now, min(room, receiveMax))
	if n > 0 {
		r.breaker.trial = r.breaker.open
	}
	return step{receive: n, until: until}
}

// waitForRoom waits for a job's end. Should a created job never be shown, it
// gives its room back in the end; r.mu is held.
func (r *Runner) waitForRoom(now time.Time) step {
	switch {
	case len(r.view.unseen) == 0:
		return step{}
	case now.Before(r.forgetAt):
		return step{until: r.forgetAt}
	}
	r.forgetAt = now.Add(forgetAfter)
	if r.forget(now.Add(-forgetAfter)) {
		return step{until: now}
	}
	return step{until: r.forgetAt}
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
func (r *Runner) receiveOnce(ctx context.Context, n int, t *trouble) {
	c := r.config.Load()
	poll, cancel := context.WithCancel(ctx)
	defer cancel()
	r.mu.Lock()
	stale := r.config.Load() != c || r.draining || r.suspended || len(r.retries) > 0
	r.interrupt = cancel
	r.mu.Unlock()

	var messages []queue.Message
	var err error
	if !stale {
		messages, err = r.queue.Receive(poll, queue.ReceiveOptions{Max: n, Wait: receiveWait, Visibility: c.visibility()})
	}
	received := time.Now()

	r.mu.Lock()
	r.interrupt = nil
	if len(messages) == 0 {
		r.breaker.trial = false
	}
	r.mu.Unlock()

	switch {
	case ctx.Err() != nil && len(messages) == 0:
		return
	case err != nil && poll.Err() != nil: // interrupted
	case err != nil:
		r.metrics.receiveErrors.Inc()
		t.fail(err)
	case !stale:
		t.ok()
	}
	for i := range messages {
		r.accept(c, &messages[i], received)
	}
}

// accept takes one message in hand and begins its dispatch.
func (r *Runner) accept(c *config, m *queue.Message, received time.Time) {
	items := c.reader.Read(message.Input{ID: m.ID, Body: m.Body, Attributes: m.Attributes})
	r.metrics.received.Inc()
	r.mu.Lock()
	defer r.unlock()
	r.lastMessage = received
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
