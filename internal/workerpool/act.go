package workerpool

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/queuemill/queuemill/api/v1alpha1"
	"github.com/queuemill/queuemill/internal/backoff"
	"github.com/queuemill/queuemill/internal/fleet"
)

const (
	atOnce = 16 // calls to workers

	// shortLife is less than a worker lives that does any good.
	shortLife = 10 * time.Second

	// longSilence is after how long a worker that does not answer is told of.
	longSilence = time.Minute
)

// restart spaces the starts of workers that end soon after.
var restart = backoff.Backoff{Base: time.Second, Cap: time.Minute}

// act does what was planned. What fails is tried again at the next look.
func (p *Pool) act(ctx context.Context, pool *v1alpha1.WorkerPool, do plan) {
	g := new(errgroup.Group)
	g.SetLimit(atOnce)
	for _, w := range do.resume {
		g.Go(func() error { p.resume(ctx, w); return nil })
	}
	for _, w := range do.drain {
		g.Go(func() error { p.drain(ctx, w); return nil })
	}
	_ = g.Wait()            // each tells its own
	if len(do.drain) == 0 { // what could not be removed is gone, or wanted again
		p.worked(removing)
	}
	if len(do.resume) == 0 {
		p.worked(lettingGo)
	}
	if do.start == 0 {
		p.worked(starting)
	}
	if do.start == 0 || time.Now().Before(p.care.notBefore) {
		return
	}
	p.care.begun = do.start
	if err := p.o.Fleet.Start(ctx, pool, do.start); err != nil {
		p.care.begun = 0 // nobody knows how many
		p.care.failed(time.Now())
		p.fail(ctx, starting, fmt.Errorf("start %d workers: %w", do.start, err))
		return
	}
	p.worked(starting)
}

// drain has a worker receive no more, and removes it when it has nothing in
// hand. Its answer is of after the look at which w was seen: so the fleet can
// tell whether somebody let it go since. One that is held never received.
func (p *Pool) drain(ctx context.Context, w fleet.Worker) {
	if w.Held {
		p.remove(ctx, w)
		return
	}
	report, err := p.o.Fleet.Drain(ctx, w, true)
	switch {
	case err == nil && report.Agreed():
		p.remove(ctx, w)
	case err == nil, errors.Is(err, fleet.ErrNotFound):
	default:
		p.log.Debug("a worker does not answer; it counts as busy", "worker", w.Name, "error", err)
	}
}

// resume lets a new worker go, or has a drained one go on. A drained one that
// does not, since it was told to end by somebody else, say, is replaced at the
// next look; a new one is asked again.
func (p *Pool) resume(ctx context.Context, w fleet.Worker) {
	_, err := p.o.Fleet.Drain(ctx, w, false)
	if err == nil || errors.Is(err, fleet.ErrNotFound) {
		return
	}
	if w.Held {
		p.fail(ctx, lettingGo, fmt.Errorf("let worker %s go: %w", w.Name, err))
		return
	}
	p.log.Debug("a drained worker does not go on", "worker", w.Name, "error", err)
	p.care.refuses(w.UID)
	p.lookNow()
}

func (p *Pool) remove(ctx context.Context, w fleet.Worker) {
	p.care.expectEnd(w.UID, true)
	err := p.o.Fleet.Remove(ctx, w)
	switch {
	case errors.Is(err, fleet.ErrChanged): // the change is what the next look is for
		p.care.expectEnd(w.UID, false)
		p.log.Debug("a worker is not removed", "worker", w.Name, "error", err)
		return
	case err != nil && !errors.Is(err, fleet.ErrNotFound):
		p.fail(ctx, removing, fmt.Errorf("remove worker %s: %w", w.Name, err))
		return
	}
	p.worked(removing)
}
