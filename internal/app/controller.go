package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/queuemill/queuemill/internal/executor"
	"github.com/queuemill/queuemill/internal/httpapi"
	"github.com/queuemill/queuemill/internal/queuejob"
	"github.com/queuemill/queuemill/internal/record"
)

var _ httpapi.Controller = (*mill)(nil)

// Status is httpapi.Controller's.
func (m *mill) Status(ctx context.Context) (httpapi.Status, error) {
	// Before the queues: a status that says idle shows them as they were left, and
	// not one before and one after a message's way from the one to the other.
	idle := m.idle(ctx)
	queues, err := m.queues.ListQueues(ctx)
	if err != nil {
		return httpapi.Status{}, err
	}
	return httpapi.Status{
		Version: m.o.Version, StartedAt: m.startedAt, Draining: m.draining.Load(), Idle: idle,
		QueueJobs: m.runners.views(), Queues: queues,
	}, nil
}

// Suspend is httpapi.Controller's.
func (m *mill) Suspend(_ context.Context, queueJob string, suspend bool) error {
	return m.runners.suspend(queueJob, suspend)
}

// Retry is httpapi.Controller's.
func (m *mill) Retry(ctx context.Context, job string) error {
	rec, err := m.executor.Get(ctx, job)
	if err != nil {
		return err
	}
	one, err := m.runners.get(rec.QueueJob)
	if err != nil {
		return httpapi.NewProblem(http.StatusConflict,
			fmt.Sprintf("job %s can't be retried: its QueueJob %s is in no manifest", job, rec.QueueJob), "add its manifest to queuemill up -f")
	}
	err = one.runner.Retry(ctx, job)
	var refused *queuejob.RetryError
	if errors.As(err, &refused) && !errors.Is(err, executor.ErrNotFound) {
		return httpapi.NewProblem(http.StatusConflict, refused.Error(), refused.Hint)
	}
	return err
}

// Prune is httpapi.Controller's. Jobs of a QueueJob that is in no manifest are
// pruned too: nobody reads their messages any more.
func (m *mill) Prune(ctx context.Context, r httpapi.PruneRequest) (done httpapi.PruneResult, err error) {
	olderThan := time.Duration(r.OlderThanSeconds * float64(time.Second))
	all, err := m.executor.List(ctx, r.QueueJob)
	if err != nil {
		return done, err
	}
	owners := map[string]bool{}
	for _, rec := range all {
		owners[rec.QueueJob] = true
	}
	if r.QueueJob != "" && !owners[r.QueueJob] {
		_, err := m.runners.get(r.QueueJob)
		return done, err
	}
	for owner := range owners {
		var pruned []string
		one, err := m.runners.get(owner)
		if err == nil {
			o := queuejob.PruneOptions{States: r.States, OlderThan: olderThan, DryRun: r.DryRun}
			pruned, err = one.runner.Prune(ctx, o)
			addKept(&done, one.runner.Kept(o))
		} else {
			pruned, err = m.pruneOrphans(ctx, all, owner, r.States, olderThan, r.DryRun)
		}
		done.Jobs = append(done.Jobs, pruned...)
		if err != nil {
			return done, fmt.Errorf("prune %s: %w", owner, err)
		}
	}
	return done, nil
}

func addKept(to *httpapi.PruneResult, k queuejob.Kept) {
	if k.InWindow+k.MaybeQueued == 0 {
		return
	}
	if to.Kept == nil {
		to.Kept = &httpapi.Kept{}
	}
	to.Kept.InWindow += k.InWindow
	to.Kept.MaybeQueued += k.MaybeQueued
	if k.WindowEnds.After(to.Kept.WindowEndsAt) {
		to.Kept.WindowEndsAt = k.WindowEnds
	}
}

func (m *mill) pruneOrphans(ctx context.Context, all []record.Record, owner string, states []record.State, olderThan time.Duration, dryRun bool) ([]string, error) {
	all = slices.Clone(all)
	slices.SortFunc(all, func(a, b record.Record) int {
		return cmp.Or(a.FinishedAt.Compare(b.FinishedAt), cmp.Compare(a.Name, b.Name))
	})
	var names []string
	for _, rec := range all {
		if rec.QueueJob != owner || !slices.Contains(states, rec.State) || time.Since(rec.FinishedAt) < olderThan {
			continue
		}
		if !dryRun {
			if err := m.executor.Delete(ctx, rec.Name, rec.UID); err != nil && !errors.Is(err, executor.ErrNotFound) {
				return names, err
			}
		}
		names = append(names, rec.Name)
	}
	return names, nil
}
