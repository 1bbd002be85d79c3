package queuejob

import (
	"context"
	"time"
)

const (
	// pollsMax is how many receives may be under way at once: ten messages each,
	// in the 10 to 20 ms that SQS takes for an answer, is more than any executor
	// creates.
	pollsMax = 8

	// extraWait is how long those beside the first wait for messages.
	extraWait = time.Second
)

// poll is one receive under way.
type poll struct {
	ctx    context.Context // ends when what it may receive is not allowed any more
	cancel context.CancelFunc
	max    int           // messages it may bring
	wait   time.Duration // the long poll's
	trial  bool          // the breaker's
}

// polls are the receives under way. Alone, one waits for messages; while full
// answers come back there are more of them, so that a backlog is not received at
// the pace of one answer after another. Guarded by Runner.mu.
type polls struct {
	open     map[*poll]struct{}
	reserved int // messages they may bring: their room is taken
	allowed  int // at once; 0 is 1
}

// another tells whether one more may begin.
func (p *polls) another() bool { return len(p.open) < max(1, p.allowed) }

func (p *polls) begin(ctx context.Context, n int, trial bool) *poll {
	q := &poll{max: n, trial: trial, wait: receiveWait}
	if len(p.open) > 0 {
		q.wait = extraWait
	}
	q.ctx, q.cancel = context.WithCancel(ctx)
	if p.open == nil {
		p.open = map[*poll]struct{}{}
	}
	p.open[q] = struct{}{}
	p.reserved += n
	return q
}

// end notes how many messages q brought.
func (p *polls) end(q *poll, got int) {
	q.cancel()
	delete(p.open, q)
	p.reserved -= q.max
	if got == receiveMax {
		p.allowed = min(pollsMax, 2*max(1, p.allowed))
	} else if got < q.max {
		p.allowed = 1
	}
}

// interruptReceive ends the receives under way: what they were allowed to bring
// is not allowed any more. r.mu is held.
func (r *Runner) interruptReceive() {
	for p := range r.polls.open {
		p.cancel()
	}
}
