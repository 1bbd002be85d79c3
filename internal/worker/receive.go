package worker

import (
	"context"
	"time"

	"github.com/queuemill/queuemill/internal/message"
	"github.com/queuemill/queuemill/internal/queue"
)

const (
	receiveMax  = 10               // SQS: messages of one receive at most
	receiveWait = 20 * time.Second // SQS: the longest poll
	emptyWait   = time.Second      // of a poll that shall tell whether the queue is empty

	// gather is how long room for less than a full receive waits for more, while
	// other messages are worked on: one request then takes up to ten.
	gather = 2 * time.Millisecond

	// loopPause is the longest that the receive loop waits, so that its standing
	// still can be seen.
	loopPause = 30 * time.Second

	// unsettledMax is how many messages may wait for their delete: more of them
	// and the queue does not follow.
	unsettledMax = 2000
)

// step is what the receive loop does next.
type step struct {
	finished bool
	poll     *poll
	until    time.Time
}

// receive is the one loop that takes up work. It waits neither for a message's
// work nor for the receives that it begins.
func (w *Worker) receive(ctx context.Context) error {
	for ctx.Err() == nil {
		w.mu.Lock()
		s := w.next(ctx, time.Now())
		w.mu.Unlock()
		switch {
		case s.finished:
			return errFinished
		case s.poll != nil:
			w.tasks.Go(func() { w.receiveOnce(s.poll) })
		default:
			w.wakeReceive.wait(ctx, s.until)
		}
	}
	return nil
}

// next decides; w.mu is held. What begins a receive is decided and noted in one
// step, so that no drain falls between the two.
func (w *Worker) next(ctx context.Context, now time.Time) step {
	w.looped = now
	idle := step{until: now.Add(loopPause)}
	if w.stopping {
		return step{finished: len(w.hands) == 0 && len(w.polls.open) == 0, until: idle.until}
	}
	if at := w.alone(); !at.IsZero() {
		if !now.Before(at) {
			w.log.Info("no controller has asked for so long: ending", keyDuration, w.f.ExitWhenAlone)
			w.stop()
			return step{until: now}
		}
		idle.until = earlier(idle.until, at)
	}
	if w.draining || len(w.settles) > 0 || len(w.hands)-w.working > unsettledMax || w.handler.Ready() != nil || !w.polls.another() {
		return idle
	}
	if w.receives.tries > 0 && now.Before(w.receives.next) {
		return step{until: earlier(idle.until, w.receives.next)}
	}
	n := min(receiveMax, w.f.Concurrency-w.working-w.polls.reserved)
	if w.f.MaxMessages > 0 {
		n = min(n, w.f.MaxMessages-w.received-w.polls.reserved)
	}
	if n <= 0 {
		return idle
	}
	if n < receiveMax && n < w.f.Concurrency && now.Before(w.freed.Add(gather)) {
		return step{until: w.freed.Add(gather)}
	}
	n, until := w.breaker.Allow(now, n)
	if n == 0 {
		if !until.IsZero() {
			idle.until = earlier(idle.until, until)
		}
		return idle
	}
	w.breaker.Trial = w.breaker.Open
	w.freed = now
	return step{poll: w.polls.begin(ctx, n, w.breaker.Trial, w.pollWait(now))}
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// alone is when the worker ends for nobody's asking; zero: not now. w.mu is held.
func (w *Worker) alone() time.Time {
	if w.f.ExitWhenAlone <= 0 || len(w.hands) > 0 {
		return time.Time{}
	}
	since := w.lastAsked
	if w.lastActive.After(since) {
		since = w.lastActive
	}
	return since.Add(w.f.ExitWhenAlone)
}

// pollWait is how long a receive waits for messages; w.mu is held.
func (w *Worker) pollWait(now time.Time) time.Duration {
	if w.f.ExitWhenEmpty == nil {
		return receiveWait
	}
	left := *w.f.ExitWhenEmpty - now.Sub(w.lastActive)
	return min(max(left, emptyWait), receiveWait)
}

// receiveOnce receives and begins the work on what came.
func (w *Worker) receiveOnce(p *poll) {
	messages, err := w.queue.Receive(p.ctx, queue.ReceiveOptions{Max: p.max, Wait: p.wait, Visibility: w.f.Visibility})
	now := time.Now()
	items := make([][]message.Item, len(messages))
	for i := range messages {
		m := &messages[i]
		items[i] = w.reader.Read(message.Input{ID: m.ID, Body: m.Body, Attributes: m.Attributes})
	}

	w.mu.Lock()
	defer w.mu.Unlock()
	interrupted := p.ctx.Err() != nil
	w.polls.end(p, len(messages))
	close(w.quiet)
	w.quiet = make(chan struct{})
	switch {
	case err == nil:
		if w.receives.tries > 0 {
			w.log.Info("receives work again")
		}
		w.receives = trouble{}
	case !interrupted:
		w.metrics.receiveErrors.Inc()
		if w.receives.fail(err, now) {
			w.log.Warn("nothing can be received", keyError, err)
		}
	}
	if p.trial && len(messages) == 0 {
		w.breaker.Trial = false
	}
	if len(messages) == 0 && err == nil && !interrupted {
		w.empty(p, now)
	}
	w.accept(messages, items, now)
	w.wakeReceive.poke()
}

// empty ends the worker when the queue has been empty for as long as asked;
// w.mu is held.
func (w *Worker) empty(p *poll, now time.Time) {
	grace := w.f.ExitWhenEmpty
	if grace == nil || w.stopping || w.draining || len(w.hands) > 0 || p.began.Before(w.lastActive) || now.Sub(w.lastActive) < *grace {
		return
	}
	w.log.Info("the queue is empty: ending")
	w.stop()
}

// accept takes messages in hand and begins the work on them; w.mu is held.
func (w *Worker) accept(messages []queue.Message, items [][]message.Item, now time.Time) {
	if len(messages) == 0 {
		return
	}
	w.metrics.received.Add(float64(len(messages)))
	w.received += len(messages)
	w.lastActive = now
	groups := map[string]int{} // FIFO: place in chains
	var chains [][]*hand
	for i := range messages {
		h := w.hold(&messages[i], items[i], now)
		if group := h.message.GroupID; w.fifo {
			if at, ok := groups[group]; ok {
				chains[at] = append(chains[at], h)
				continue
			}
			groups[group] = len(chains)
		}
		chains = append(chains, []*hand{h})
	}
	for _, chain := range chains {
		w.tasks.Go(func() { w.runAll(chain) })
	}
	if w.f.MaxMessages > 0 && w.received >= w.f.MaxMessages && !w.stopping {
		w.log.Info("the messages asked for are in hand: ending after them", keyCount, w.received)
		w.stop()
	}
}
