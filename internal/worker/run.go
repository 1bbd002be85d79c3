package worker

import (
	"context"
	"log/slog"
	"time"

	"github.com/queuemill/queuemill/internal/reason"
)

// runAll works on messages one after another: one, or those of a FIFO group that
// came together. Behind one that is not done the rest goes back unseen, with the
// same delay, since the queue keeps them behind it anyway; so it does once the
// worker was told to end. Nothing begins that may be somebody else's by now.
func (w *Worker) runAll(chain []*hand) {
	var before *Result
	for i, h := range chain {
		var r Result
		switch {
		case before == nil && w.over(h):
			r = Result{Kind: NotNow}
		case before == nil && i > 0 && w.isStopping():
			r = Result{Kind: Interrupted}
		case before == nil:
			r = w.work1(h)
		case before.Kind == Interrupted:
			r = *before
		default:
			r = Result{Kind: NotNow, Delay: before.Delay}
		}
		w.worked()
		r.Delay = w.settle(h, r)
		if r.Kind != Done && r.Kind != Rejected && before == nil {
			before = &r
		}
	}
}

// work1 has the handler work on one message and notes how that ended.
func (w *Worker) work1(h *hand) Result {
	start := time.Now()
	r := w.handle(h)
	took := time.Since(start)
	if w.work.Err() != nil && r.Kind != Done && r.Kind != Rejected {
		r.Kind = Interrupted
	}
	w.noted(h, r, took)

	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	switch r.Kind {
	case Done, Rejected:
		if w.breaker.Succeeded(now) {
			w.log.Info("a message was done: receiving goes on")
		}
	case Failed:
		if w.breaker.Failed(now) {
			w.log.Warn("too many failures: nothing is received for a while", keyDuration, w.breaker.Until.Sub(now))
			w.polls.interrupt()
		}
	}
	w.breaker.Trial = false
	w.failing.note(r, now)
	w.counts.service += took
	switch r.Kind {
	case Failed:
		w.counts.failed++
	case Rejected:
		w.counts.rejected++
	case NotNow, Interrupted:
		w.counts.notNow++
	}
	return r
}

// handle reads the message and hands it over, with s3Event record by record
// until one is not done.
func (w *Worker) handle(h *hand) Result {
	for i := range h.items {
		if cause := h.items[i].Invalid; cause != nil {
			w.metrics.invalid[cause.Reason].Inc()
			return Result{Kind: Rejected, Reason: string(cause.Reason) + ": " + cause.Detail}
		}
	}
	ctx := w.work
	if w.f.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, w.f.Timeout, errTimeout)
		defer cancel()
	}
	for i := range h.items {
		if r := w.handler.Handle(ctx, &Task{Message: &h.message, Item: &h.items[i], Over: func() bool { return w.over(h) }}); r.Kind != Done {
			return r
		}
	}
	return Result{Kind: Done}
}

func (w *Worker) isStopping() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.stopping
}

// worked gives back the room of one message whose work has ended.
func (w *Worker) worked() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.working+w.polls.reserved >= w.f.Concurrency {
		w.freed = time.Now()
	}
	w.working--
	w.wakeReceive.poke()
}

// noted tells log and metrics.
func (w *Worker) noted(h *hand, r Result, took time.Duration) {
	w.metrics.results[r.Kind].Inc()
	w.metrics.service.Observe(took.Seconds())
	if wait := h.received.Sub(h.message.SentAt); !h.message.SentAt.IsZero() && h.message.ReceiveCount <= 1 {
		w.metrics.waiting.Observe(max(wait, 0).Seconds())
	}
	level := slog.LevelDebug
	switch r.Kind {
	case Rejected, Failed:
		level = slog.LevelWarn
	case Interrupted:
		level = slog.LevelInfo
	}
	if !w.log.Enabled(w.work, level) {
		return
	}
	attrs := []slog.Attr{
		slog.String(keyMessageID, h.message.ID), slog.Int(keyAttempt, h.message.ReceiveCount),
		slog.Duration(keyDuration, took.Round(time.Microsecond)), slog.String(keyResult, string(r.Kind)),
	}
	if r.Reason != "" {
		attrs = append(attrs, slog.String(keyReason, r.Reason))
	}
	w.log.LogAttrs(w.work, level, "message "+verbs[r.Kind], attrs...)
}

var verbs = map[Kind]string{Done: "done", Rejected: "rejected", NotNow: "put off", Failed: "failed", Interrupted: "interrupted"}

// reasons why a message is rejected before any handler sees it.
var reasons = reason.OfInvalid
