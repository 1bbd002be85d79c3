package workerpool

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/queuemill/queuemill/api/v1alpha1"
	"github.com/queuemill/queuemill/internal/queue"
	"github.com/queuemill/queuemill/internal/scale"
)

// Target is somebody else's workers, whose number alone is set: a Deployment.
type Target interface {
	// Replicas are as they are now, not as a cache has them. *RefusedError: the number
	// is not this pool's to set, or there is none.
	Replicas(ctx context.Context) (Replicas, error)

	// SetReplicas returns once the number is written.
	SetReplicas(ctx context.Context, n int) error
}

// Replicas are a Target's.
type Replicas struct {
	Desired, Ready int

	// Contested says who else writes the number now and then, and how to stop
	// that; empty: nobody is known to.
	Contested string
}

// RefusedError is why a Target's number is left alone, until a person does something
// about it.
type RefusedError struct {
	Reason  EventReason
	Message string
}

func (r *RefusedError) Error() string { return r.Message }

// followTarget looks at the queue and the target and sets the latter. Which of
// its workers are busy is not known: as many as messages are in flight, at most.
func (p *Pool) followTarget(ctx context.Context) {
	replicas, err := p.o.Target.Replicas(ctx)
	if ctx.Err() != nil {
		return
	}
	ours := p.oursToSet(ctx, err)
	depth, unknown := p.o.Queue.Depth(ctx) // also where nothing is set: the status tells
	if ctx.Err() != nil {
		return
	}
	p.mu.Lock()
	known := p.source(depth, unknown)
	if !ours {
		p.mu.Unlock()
		return
	}
	want := p.replicasWanted(replicas, depth, known)
	p.mu.Unlock()
	if want == replicas.Desired {
		return
	}
	if err := p.o.Target.SetReplicas(ctx, want); err != nil {
		p.fail(ctx, setting, fmt.Errorf("set the target's replicas to %d: %w", want, err))
		return
	}
	p.worked(setting)
}

// oursToSet takes what the target answered, and says whether its number may be
// set.
func (p *Pool) oursToSet(ctx context.Context, err error) bool {
	var refusal *RefusedError
	if err != nil && !errors.As(err, &refusal) {
		p.fail(ctx, looking, fmt.Errorf("look at the target: %w", err))
		return false
	}
	p.worked(looking)
	p.mu.Lock()
	defer p.mu.Unlock()
	before := p.status.Refused
	p.status.Refused = refusal
	switch {
	case refusal == nil && before != nil:
		p.event(false, EventTargetFollowed, "the target's replicas follow the backlog again")
	case refusal != nil && (before == nil || *before != *refusal):
		p.event(true, refusal.Reason, refusal.Message)
	}
	if refusal != nil {
		p.forget()
	}
	return refusal == nil
}

// forget has the next decision begin with the replicas it finds, and a cooldown:
// others may have set them meanwhile. p.mu is held.
func (p *Pool) forget() {
	p.state = scale.State{IdleSince: p.state.IdleSince, Arrivals: p.state.Arrivals}
	p.status.Workers, p.status.Contested = v1alpha1.WorkerCounts{}, ""
}

// replicasWanted decides, and says how many replicas there are to be. A pool
// that is suspended or going leaves them as they are: nobody can tell which of
// them are busy. p.mu is held.
func (p *Pool) replicasWanted(replicas Replicas, depth queue.Depth, known bool) int {
	if replicas.Contested != "" && replicas.Contested != p.status.Contested {
		p.event(true, EventAlsoWritten, replicas.Contested)
	}
	if p.suspended || p.retiring {
		p.forget()
	}
	busy := min(replicas.Ready, depth.InFlight)
	p.status.Contested = replicas.Contested
	p.status.Workers = v1alpha1.WorkerCounts{Starting: max(0, replicas.Desired-replicas.Ready), Ready: replicas.Ready, Busy: busy}
	now := time.Now()
	switch {
	case p.suspended || p.retiring:
		p.decided(now, scale.Decision{
			Desired: replicas.Desired, Code: codeSuspended,
			Reason: fmt.Sprintf("suspended: the replicas stay as they are, %d", replicas.Desired),
		})
		return replicas.Desired
	case !known:
		return replicas.Desired
	}
	p.follow(scale.Sample{
		At: now, Visible: depth.Visible, InFlight: depth.InFlight, Delayed: depth.Delayed, OldestAge: depth.OldestAge,
		Workers: replicas.Desired, Starting: p.status.Workers.Starting, Busy: busy,
	})
	return p.status.Desired
}
