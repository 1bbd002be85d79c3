package worker

import (
	"context"
	"time"
)

// pollsMax is how many receives may be under way at once.
const pollsMax = 16

// poll is one receive under way.
type poll struct {
	ctx    context.Context // ends when nothing may be received any more
	cancel context.CancelFunc
	began  time.Time
	max    int           // messages it may bring
	wait   time.Duration // the long poll's
	trial  bool          // the breaker's
}

// polls are the receives under way. Alone, one waits for messages; while full
// answers come back there are more of them, so that a backlog is not received at
// the pace of one answer after another. (SQS may answer with fewer than it has.) Guarded by Worker.mu.
type polls struct {
	open     map[*poll]struct{}
	reserved int // messages they may bring: their room is taken
	allowed  int // at once; 0 is 1
}

// another tells whether one more may begin.
func (p *polls) another() bool { return len(p.open) < max(1, p.allowed) }

func (p *polls) begin(ctx context.Context, n int, trial bool, wait time.Duration) *poll {
	q := &poll{began: time.Now(), max: n, trial: trial, wait: wait}
	if len(p.open) > 0 { // beside one that waits already
		q.wait = min(wait, time.Second)
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
	switch got {
	case 0:
		p.allowed = 1
	case q.max:
		p.allowed = min(pollsMax, 2*max(1, p.allowed))
	}
}

// interrupt ends the receives under way.
func (p *polls) interrupt() {
	for q := range p.open {
		q.cancel()
	}
}

// oldest is when the first of the receives under way began; zero: there is none.
func (p *polls) oldest() (began time.Time) {
	for q := range p.open {
		if began.IsZero() || q.began.Before(began) {
			began = q.began
		}
	}
	return began
}
