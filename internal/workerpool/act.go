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

	// hopeless is after how long a worker that never answered anybody is removed
	// when it is not wanted.
	hopeless = 10 * time.Second

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
	for _, w := range do.remove {
		g.Go(func() error { p.remove(ctx, w); return nil })
	}
	_ = g.Wait() // each tells its own
	if do.start == 0 || time.Now().Before(p.care.notBefore) {
		return
	}
	if err := p.o.Fleet.Start(ctx, pool, do.start); err != nil {
		p.care.failed(time.Now())
		p.fail(ctx, starting, fmt.Errorf("start %d workers: %w", do.start, err))
		return
	}
	p.worked(starting)
}

// drain has a worker receive no more. One that never answered has nothing in
// hand, as far as anybody can tell, and when it stays like that it is removed.
func (p *Pool) drain(ctx context.Context, w fleet.Worker) {
	report, err := p.o.Fleet.Drain(ctx, w, true)
	switch {
	case err == nil && report.Agreed():
		p.remove(ctx, w)
	case err == nil, errors.Is(err, fleet.ErrNotFound):
	case w.State == fleet.Starting && w.Report == nil && (w.StartedAt.IsZero() || time.Since(w.StartedAt) > hopeless):
		p.remove(ctx, w)
	default:
		p.log.Debug("a worker does not answer; it counts as busy", "worker", w.Name, "error", err)
	}
}

// resume has a drained worker go on. One that does not, since it was told to end
// by somebody else, say, is replaced at the next look.
func (p *Pool) resume(ctx context.Context, w fleet.Worker) {
	if _, err := p.o.Fleet.Drain(ctx, w, false); err != nil && !errors.Is(err, fleet.ErrNotFound) {
		p.care.refuses(w.UID)
		p.log.Debug("a drained worker does not go on", "worker", w.Name, "error", err)
		p.lookNow()
	}
}

func (p *Pool) remove(ctx context.Context, w fleet.Worker) {
	p.care.expectEnd(w.UID)
	if err := p.o.Fleet.Remove(ctx, w); err != nil && !errors.Is(err, fleet.ErrNotFound) {
		p.fail(ctx, removing, fmt.Errorf("remove worker %s: %w", w.Name, err))
		return
	}
	p.worked(removing)
}
