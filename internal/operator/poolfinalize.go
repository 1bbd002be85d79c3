package operator

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/queuemill/queuemill/api/v1alpha1"
	"github.com/queuemill/queuemill/internal/fleet"
	"github.com/queuemill/queuemill/internal/queuejob"
)

const (
	// retireAgain is how soon the workers of a deleted pool are asked again;
	// retireTry bounds one round.
	retireAgain = time.Second
	retireTry   = 30 * time.Second
	// retireNamed is how many workers an event names.
	retireNamed = 5
)

// finalize lets a deleted WorkerPool go: each of its workers goes when it has
// nothing in hand, and the pool after the last. It waits as long as that takes;
// who can't wait deletes the pods.
func (op pools) finalize(ctx context.Context, wp *v1alpha1.WorkerPool) (reconcile.Result, error) {
	if !controllerutil.ContainsFinalizer(wp, PoolFinalizer) {
		return reconcile.Result{}, nil
	}
	bounded, cancel := context.WithTimeout(ctx, retireTry)
	defer cancel()
	left, err := retire(bounded, op.o.Pools.Workers(wp))
	switch {
	case ctx.Err() != nil:
		return reconcile.Result{}, ctx.Err()
	case err != nil:
		return reconcile.Result{RequeueAfter: retireAgain}, op.retiring(ctx, wp, nil, fmt.Sprintf("%v; tried again", err))
	case len(left) > 0:
		return reconcile.Result{RequeueAfter: retireAgain}, op.retiring(ctx, wp, left, waitsFor(left))
	}
	edited := wp.DeepCopy()
	controllerutil.RemoveFinalizer(edited, PoolFinalizer)
	return reconcile.Result{}, op.setFinalizers(ctx, wp, edited)
}

// retiring says in the status, and in an event for each worker less, what the deletion
// waits for.
func (op pools) retiring(ctx context.Context, wp *v1alpha1.WorkerPool, left []fleet.Worker, message string) error {
	s := *wp.Status.DeepCopy()
	s.ObservedGeneration, s.Queue, s.Desired = wp.Generation, nil, 0
	if left != nil {
		s.Workers = v1alpha1.WorkerCounts{Retiring: len(left)}
		for i := range left {
			if left[i].Busy() {
				s.Workers.Busy++
			}
			if left[i].Report == nil && left[i].State != fleet.Ending {
				s.Workers.Unknown++
			}
		}
	}
	was := meta.FindStatusCondition(wp.Status.Conditions, queuejob.ConditionReady)
	news := was == nil || was.Reason != reasonDeleting || s.Workers.Retiring != wp.Status.Workers.Retiring
	for _, kind := range []string{queuejob.ConditionReady, ConditionScalingActive} {
		setCondition(&s.Conditions, s.ObservedGeneration, metav1.Condition{Type: kind, Status: metav1.ConditionFalse, Reason: reasonDeleting, Message: message})
	}
	if err := op.writePoolStatus(ctx, wp, s); err != nil {
		return err
	}
	if news {
		op.tell(wp, false, reasonDeleting, "Finalize", message)
	}
	return nil
}

// waitsFor names the workers that still work.
func waitsFor(left []fleet.Worker) string {
	var names []string
	for i := range left {
		w := &left[i]
		switch {
		case w.State == fleet.Ending:
			names = append(names, w.Name+" (ends)")
		case w.Report == nil:
			names = append(names, w.Name+" (does not answer: taken as busy)")
		default:
			names = append(names, fmt.Sprintf("%s (%d in hand)", w.Name, w.Report.InHand))
		}
	}
	slices.Sort(names)
	if n := len(names) - retireNamed; n > 0 {
		names = append(names[:retireNamed], fmt.Sprintf("%d more", n))
	}
	return "goes once its workers have finished what they have in hand: " + strings.Join(names, ", ")
}

// retire asks all workers to receive no more and removes those that agree, and
// those that are held. It returns those that are left, as they answered.
func retire(ctx context.Context, workers fleet.Fleet) ([]fleet.Worker, error) {
	all, err := workers.List(ctx)
	if err != nil {
		return nil, err
	}
	gone := make([]bool, len(all))
	var g errgroup.Group
	g.SetLimit(parallel)
	for i := range all {
		w := &all[i]
		if w.State == fleet.Ending {
			continue
		}
		g.Go(func() error {
			if !w.Held {
				report, err := workers.Drain(ctx, *w, true)
				if errors.Is(err, fleet.ErrNotFound) {
					gone[i] = true
					return nil
				}
				if err != nil || !report.Agreed() {
					w.Report = report
					return nil
				}
			}
			switch err := workers.Remove(ctx, *w); {
			case errors.Is(err, fleet.ErrChanged): // the next look says what it does now
				return nil
			case err != nil && !errors.Is(err, fleet.ErrNotFound):
				return err
			}
			w.State = fleet.Ending
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	var left []fleet.Worker
	for i := range all {
		if !gone[i] {
			left = append(left, all[i])
		}
	}
	return left, nil
}
