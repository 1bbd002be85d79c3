package workerpool

import (
	"context"
	"fmt"
	"time"

	"github.com/queuemill/queuemill/api/v1alpha1"
	"github.com/queuemill/queuemill/internal/scale"
)

// Target is somebody else's workers, whose number alone is set: a Deployment.
type Target interface {
	Replicas(ctx context.Context) (Replicas, error)
	SetReplicas(ctx context.Context, n int) error
}

// Replicas are a Target's.
type Replicas struct {
	Desired, Ready int
}

// followTarget looks at the queue and the target and sets the latter. Which of
// its workers are busy is not known: as many as messages are in flight, at most.
func (p *Pool) followTarget(ctx context.Context) {
	replicas, err := p.o.Target.Replicas(ctx)
	if err != nil {
		p.fail(ctx, looking, fmt.Errorf("look at the target: %w", err))
		return
	}
	p.worked(looking)
	depth, err := p.o.Queue.Depth(ctx)
	if ctx.Err() != nil {
		return
	}
	p.mu.Lock()
	busy := min(replicas.Ready, depth.InFlight)
	p.status.Workers = v1alpha1.WorkerCounts{Starting: max(0, replicas.Desired-replicas.Ready), Ready: replicas.Ready, Busy: busy}
	want := replicas.Desired
	if p.source(depth, err) {
		p.follow(scale.Sample{
			At: time.Now(), Visible: depth.Visible, InFlight: depth.InFlight, Delayed: depth.Delayed, OldestAge: depth.OldestAge,
			Workers: replicas.Desired, Starting: p.status.Workers.Starting, Busy: busy,
		})
		want = p.status.Desired
	}
	if p.retiring {
		want = replicas.Desired // it is left as it is
	}
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
