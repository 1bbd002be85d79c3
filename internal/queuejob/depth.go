package queuejob

import (
	"context"
	"time"

	"github.com/queuemill/queuemill/internal/queue"
)

const (
	// sampleEvery is how often the queue is asked for its depth, which on SQS
	// costs a cent or two a month, and deadLettersEvery for its dead letters'.
	sampleEvery      = 15 * time.Second
	deadLettersEvery = time.Minute

	// sampleStale is how long a sample is shown without a newer one.
	sampleStale = time.Minute
)

// QueueDepth is what the queue holds, as it said last.
type QueueDepth struct {
	queue.Depth

	// DeadLetters is how much is in the dead-letter queue; -1: there is none, or
	// it may not be looked at.
	DeadLetters int       `json:"deadLetters"`
	At          time.Time `json:"at"`
}

// sampler knows how much is in the queue. Guarded by Runner.mu.
type sampler struct {
	latest QueueDepth // zero At: none
	since  time.Time  // since when every sample showed waiting messages; zero: the latest did not
	head   time.Time  // when the message that was received last, for the first time, was sent
	headAt time.Time  // … and when it was received
}

// sample asks the queue for its depth until ctx ends; what can't be had is not
// shown. It says nothing about the queue's health: receiving does.
func (r *Runner) sample(ctx context.Context) error {
	reporter, ok := r.queue.(queue.DepthReporter)
	if !ok {
		return nil
	}
	dead := -1
	var deadAt time.Time
	for {
		now := time.Now()
		depth, err := reporter.Depth(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			r.log.Debug("depth of the queue", keyError, err)
		default:
			if deadAt.IsZero() || now.Sub(deadAt) >= deadLettersEvery {
				dead, deadAt = r.deadLetters(ctx), now
			}
			r.mu.Lock()
			r.depth.note(QueueDepth{Depth: depth, DeadLetters: dead, At: now})
			r.mu.Unlock()
		}
		timer := time.NewTimer(sampleEvery)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil
		}
	}
}

func (r *Runner) deadLetters(ctx context.Context) int {
	reporter, ok := r.queue.(queue.DeadLetterReporter)
	if !ok {
		return -1
	}
	d, err := reporter.DeadLetters(ctx)
	if err != nil {
		return -1
	}
	return d.Total()
}

func (s *sampler) note(d QueueDepth) {
	s.latest = d
	switch {
	case d.Visible == 0:
		s.since = time.Time{}
	case s.since.IsZero():
		s.since = d.At
	}
}

// received notes a message's receive, which tells how far the queue is behind.
func (s *sampler) received(m *queue.Message, at time.Time) {
	if m.ReceiveCount <= 1 && !m.SentAt.IsZero() {
		s.head, s.headAt = m.SentAt, at
	}
}

// at is the latest sample; nil: there is none that is recent. Where the queue
// does not tell how old its oldest waiting message is (SQS), that is derived:
// while messages wait, the oldest was sent about when the one was that was
// received last, or, with none received since, waits since the first sample that
// showed one waiting.
func (s *sampler) at(now time.Time) *QueueDepth {
	if s.latest.At.IsZero() || now.Sub(s.latest.At) > sampleStale {
		return nil
	}
	d := s.latest
	if d.OldestAge == 0 && d.Visible > 0 {
		from := s.since
		if !s.headAt.Before(s.since) {
			from = s.head
		}
		d.OldestAge = max(0, now.Sub(from))
	}
	return &d
}
