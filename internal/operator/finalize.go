package operator

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/queuemill/queuemill/api/v1alpha1"
	"github.com/queuemill/queuemill/internal/executor"
)

const (
	// deletionBound is how long the Jobs of a deleted QueueJob are tried to be
	// deleted; then it goes without, and an event says so.
	deletionBound = 5 * time.Minute
	deletionAgain = 5 * time.Second
	deletionTry   = time.Minute // of it, one try
	parallel      = 16          // Jobs deleted at the same time
)

// finalize lets a deleted QueueJob go: its Runner stops and gives back what it
// holds, which is bounded also where the queue does not answer, and then its
// Jobs are what its deletionPolicy says.
func (op *Operator) finalize(ctx context.Context, t *term, qj *v1alpha1.QueueJob) (reconcile.Result, error) {
	t.jobs.stop(client.ObjectKeyFromObject(qj))
	if !controllerutil.ContainsFinalizer(qj, Finalizer) {
		return reconcile.Result{}, nil
	}
	if qj.Spec.DeletionPolicy == v1alpha1.DeletionDelete {
		if err := op.deleteJobs(ctx, qj); err != nil {
			h := happening{about: reference(v1alpha1.KindQueueJob, qj), warning: true, reason: "JobsNotDeleted", action: "Finalize"}
			if time.Since(qj.DeletionTimestamp.Time) < deletionBound {
				h.note = fmt.Sprintf("%v; tried again", err)
				op.recorder.tell(h)
				return reconcile.Result{RequeueAfter: deletionAgain}, nil
			}
			h.note = fmt.Sprintf("%v; given up after %v: the Jobs stay", err, deletionBound)
			op.recorder.tell(h)
		}
	}
	edited := qj.DeepCopy()
	controllerutil.RemoveFinalizer(edited, Finalizer)
	return reconcile.Result{}, op.setFinalizers(ctx, qj, edited)
}

// deleteJobs deletes every Job of qj, each by its UID; pods follow in the
// background.
func (op *Operator) deleteJobs(ctx context.Context, qj *v1alpha1.QueueJob) error {
	ctx, cancel := context.WithTimeout(ctx, deletionTry)
	defer cancel()
	jobs := op.o.Engine.Executor(qj.Namespace, nil)
	all, err := jobs.List(ctx, qj.Name)
	if err != nil {
		return fmt.Errorf("list the jobs of QueueJob %s: %w", qj.Name, err)
	}
	var g errgroup.Group
	g.SetLimit(parallel)
	for _, rec := range all {
		g.Go(func() error {
			if err := jobs.Delete(ctx, rec.Name, rec.UID); err != nil && !errors.Is(err, executor.ErrNotFound) {
				return fmt.Errorf("delete job %s: %w", rec.Name, err)
			}
			return nil
		})
	}
	return g.Wait()
}
