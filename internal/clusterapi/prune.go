package clusterapi

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/queuemill/queuemill/api/v1alpha1"
	"github.com/queuemill/queuemill/internal/executor"
	"github.com/queuemill/queuemill/internal/httpapi"
	"github.com/queuemill/queuemill/internal/record"
)

const (
	pruneAtOnce = 16
	// pruneWait is how long nothing may go before Prune stops waiting for the
	// controller; pruneLook how often it looks.
	pruneWait = 15 * time.Second
	pruneLook = 500 * time.Millisecond
)

// Prune is httpapi.Controller's. Records of a QueueJob are annotated, and the
// controller removes each when its rules allow it; Prune waits until they are
// gone. What finished within the deduplication window is left alone, as on a
// laptop. Records whose QueueJob is gone have no controller: they are deleted
// here.
func (b *Backend) Prune(ctx context.Context, r httpapi.PruneRequest) (httpapi.PruneResult, error) {
	all, err := b.List(ctx, r.QueueJob)
	if err != nil {
		return httpapi.PruneResult{}, err
	}
	owners, err := b.windows(ctx)
	if err != nil {
		return httpapi.PruneResult{}, err
	}
	if r.QueueJob != "" && len(all) == 0 && !owners.named(r.QueueJob) {
		return httpapi.PruneResult{}, executor.ErrNotFound
	}
	p := owners.plan(all, r, time.Now())
	if r.DryRun {
		p.result.Jobs = append(names(p.asked), names(p.orphans)...)
		return p.result, nil
	}
	if err := b.each(ctx, p.orphans, func(rec record.Record) error {
		return b.jobs(rec.Namespace).Delete(ctx, rec.Name, rec.UID)
	}); err != nil {
		return httpapi.PruneResult{}, fmt.Errorf("remove a job whose QueueJob is gone: %w", err)
	}
	yes := true
	if err := b.each(ctx, p.asked, func(rec record.Record) error {
		if rec.PruneRequested {
			return nil
		}
		_, err := b.jobs(rec.Namespace).Patch(ctx, rec.Name, rec.UID, executor.Patch{PruneRequested: &yes})
		return err
	}); err != nil {
		return httpapi.PruneResult{}, fmt.Errorf("ask the controller to remove a job: %w", err)
	}
	gone, err := b.awaitGone(ctx, r.QueueJob, p.asked)
	if err != nil {
		return httpapi.PruneResult{}, err
	}
	p.result.Jobs = append(gone, names(p.orphans)...)
	if left := len(p.asked) - len(gone); left > 0 {
		p.kept().MaybeQueued += left
	}
	return p.result, nil
}

// each does one thing to many records; one that is gone is done.
func (b *Backend) each(ctx context.Context, records []record.Record, do func(record.Record) error) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(pruneAtOnce)
	for _, rec := range records {
		g.Go(func() error {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if err := do(rec); err != nil && !errors.Is(err, executor.ErrNotFound) {
				return b.Explain(err)
			}
			return nil
		})
	}
	return g.Wait()
}

// windows are the deduplication windows of the QueueJobs, by namespace and name.
type windows map[[2]string]time.Duration

func (b *Backend) windows(ctx context.Context) (windows, error) {
	all, err := b.QueueJobs(ctx)
	if err != nil {
		return nil, err
	}
	w := windows{}
	for i := range all {
		w[[2]string{all[i].Namespace, all[i].Name}] = window(&all[i])
	}
	return w, nil
}

func window(qj *v1alpha1.QueueJob) time.Duration {
	qj.SetDefaults()
	return qj.Spec.DeduplicationWindow.Duration
}

func (w windows) named(queueJob string) bool {
	for key := range w {
		if key[1] == queueJob {
			return true
		}
	}
	return false
}

// prunePlan is what a request for all of some jobs comes to.
type prunePlan struct {
	asked   []record.Record // the controller is asked to remove them
	orphans []record.Record // nobody else removes them
	result  httpapi.PruneResult
}

func (p *prunePlan) kept() *httpapi.Kept {
	if p.result.Kept == nil {
		p.result.Kept = &httpapi.Kept{}
	}
	return p.result.Kept
}

// plan is pure. The oldest finished come first.
func (w windows) plan(all []record.Record, r httpapi.PruneRequest, now time.Time) *prunePlan {
	p := &prunePlan{}
	all = slices.Clone(all)
	slices.SortFunc(all, func(a, b record.Record) int {
		return cmp.Or(a.FinishedAt.Compare(b.FinishedAt), cmp.Compare(a.Name, b.Name))
	})
	for _, rec := range all {
		if !slices.Contains(r.States, rec.State) || now.Sub(rec.FinishedAt).Seconds() < r.OlderThanSeconds {
			continue
		}
		window, owned := w[[2]string{rec.Namespace, rec.QueueJob}]
		ends := rec.FinishedAt.Add(window)
		switch {
		case !owned:
			p.orphans = append(p.orphans, rec)
		case rec.RetryRequested:
			p.kept().MaybeQueued++
		case ends.After(now):
			p.kept().InWindow++
			if ends.After(p.kept().WindowEndsAt) {
				p.kept().WindowEndsAt = ends
			}
		default:
			p.asked = append(p.asked, rec)
		}
	}
	return p
}

// awaitGone returns the names of those of asked that are gone, when all are or
// none has gone for a while. That none has gone at all is an error.
func (b *Backend) awaitGone(ctx context.Context, queueJob string, asked []record.Record) ([]string, error) {
	if len(asked) == 0 {
		return nil, nil
	}
	tick := time.NewTicker(pruneLook)
	defer tick.Stop()
	gone, moved := []string{}, time.Now()
	for {
		all, err := b.List(ctx, queueJob)
		if err != nil {
			return nil, err
		}
		there := map[string]bool{}
		for _, rec := range all {
			there[rec.UID] = true
		}
		before := len(gone)
		gone = gone[:0]
		for _, rec := range asked {
			if !there[rec.UID] {
				gone = append(gone, rec.Name)
			}
		}
		if len(gone) > before {
			moved = time.Now()
		}
		switch {
		case len(gone) == len(asked):
			return gone, nil
		case time.Since(moved) < pruneWait:
		case len(gone) == 0:
			return nil, httpapi.NewProblem(http.StatusServiceUnavailable,
				fmt.Sprintf("the controller was asked to remove %d jobs and has removed none within %v", len(asked), pruneWait),
				"the request stands; queuemill doctor tells whether a controller runs, queuemill status whether the queue confirms deletes")
		default:
			return gone, nil
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-tick.C:
		}
	}
}

func names(records []record.Record) []string {
	all := make([]string, len(records))
	for i, rec := range records {
		all[i] = rec.Name
	}
	return all
}
