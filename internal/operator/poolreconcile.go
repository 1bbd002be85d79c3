package operator

import (
	"context"
	"fmt"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/queuemill/queuemill/api/v1alpha1"
	"github.com/queuemill/queuemill/internal/queuejob"
)

// PoolFinalizer keeps a WorkerPool until its workers have finished what they
// have in hand.
const PoolFinalizer = "queuemill.dev/workerpool"

// pools reconciles WorkerPools beside QueueJobs.
type pools struct{ *Operator }

// Reconcile makes one WorkerPool so, while this process leads.
func (op pools) Reconcile(ctx context.Context, req reconcile.Request) (reconcile.Result, error) {
	t := op.term.Load()
	if t == nil {
		return reconcile.Result{}, nil
	}
	ctx, cancel := t.bind(ctx)
	defer cancel()
	var wp v1alpha1.WorkerPool
	if err := op.client.Get(ctx, req.NamespacedName, &wp); err != nil {
		if apierrors.IsNotFound(err) {
			t.pools.stop(req.NamespacedName)
			return reconcile.Result{}, nil
		}
		return reconcile.Result{}, err
	}
	result, err := op.follow(ctx, t, &wp)
	if t.ctx.Err() != nil || apierrors.IsConflict(err) || apierrors.IsNotFound(err) { // the next leader's; or the watch will tell
		return reconcile.Result{}, nil
	}
	return result, err
}

func (op pools) follow(ctx context.Context, t *term, wp *v1alpha1.WorkerPool) (reconcile.Result, error) {
	key := client.ObjectKeyFromObject(wp)
	if !wp.DeletionTimestamp.IsZero() {
		t.pools.stop(key)
		return op.finalize(ctx, wp)
	}
	now := t.pools.get(key)
	if now != nil && now.uid != wp.UID { // removed and made anew behind the finalizer's back
		t.pools.stop(key)
		now = nil
	}
	spec := wp.DeepCopy()
	spec.SetDefaults()
	refused := checkPool(spec)
	if refused == nil {
		if err := op.o.Access.Access().Check(spec.Namespace, spec.Spec.Queue.SQS); err != nil {
			t.pools.stop(key) // its workers go on: what they may read is their own identity's
			return reconcile.Result{}, op.refuse(ctx, wp, refusal{reason: reasonNotAllowed, message: err.Error()})
		}
	}
	switch {
	case now != nil:
		now.update(spec, refused)
		return reconcile.Result{}, nil
	case refused != nil:
		return reconcile.Result{}, op.refuse(ctx, wp, *refused)
	}
	edited := wp.DeepCopy()
	if controllerutil.AddFinalizer(edited, PoolFinalizer) {
		if err := op.setFinalizers(ctx, wp, edited); err != nil {
			return reconcile.Result{}, err
		}
	}
	t.pools.start(t.ctx, key, newPoolRun(op.Operator, spec))
	return reconcile.Result{}, nil
}

// checkPool says why a spec, its defaults set, can't be followed in any cluster;
// nil when it can. The CRD's rules refuse most of it already.
func checkPool(wp *v1alpha1.WorkerPool) *refusal {
	if errs := wp.Validate(); len(errs) > 0 {
		r := &refusal{reason: reasonInvalidSpec}
		var all []string
		for _, e := range errs {
			all = append(all, e.Error())
			r.template = r.template || strings.HasPrefix(e.Field, "spec.kubernetes") || strings.HasPrefix(e.Field, "spec.process")
		}
		r.message = strings.Join(all, "; ")
		return r
	}
	if wp.Spec.Process != nil {
		return &refusal{
			reason: reasonNeedsKubernetes, template: true,
			message: "spec.process runs on one machine, by queuemill up; in a cluster write spec.kubernetes.template instead",
		}
	}
	return nil
}

// refuse writes the status of a WorkerPool that is not followed, and tells why
// once.
func (op pools) refuse(ctx context.Context, wp *v1alpha1.WorkerPool, why refusal) error {
	s := *wp.Status.DeepCopy()
	s.ObservedGeneration, s.Queue = wp.Generation, nil
	was := meta.FindStatusCondition(s.Conditions, queuejob.ConditionReady)
	news := was == nil || was.Reason != why.reason || was.Message != why.message
	// What was said while it was followed is not known any more.
	for _, kind := range []string{queuejob.ConditionSourceHealthy, ConditionTemplateValid, ConditionTargetOwned} {
		meta.RemoveStatusCondition(&s.Conditions, kind)
	}
	no := metav1.Condition{Status: metav1.ConditionFalse, Reason: why.reason, Message: why.message}
	for _, kind := range []string{queuejob.ConditionReady, ConditionScalingActive, ConditionTemplateValid} {
		if no.Type = kind; kind != ConditionTemplateValid || why.template {
			setCondition(&s.Conditions, s.ObservedGeneration, no)
		}
	}
	if err := op.writePoolStatus(ctx, wp, s); err != nil {
		return err
	}
	if news {
		op.tell(wp, true, why.reason, "Reconcile", why.message)
	}
	return nil
}

// tell tells an event about a WorkerPool.
func (op pools) tell(wp *v1alpha1.WorkerPool, warning bool, reason, action, note string) {
	op.recorder.tell(happening{about: reference(v1alpha1.KindWorkerPool, wp), warning: warning, reason: reason, action: action, note: note})
}

// everythingAgain has every WorkerPool reconciled.
func (op pools) everythingAgain(t *term) error {
	var all v1alpha1.WorkerPoolList
	if err := op.client.List(t.ctx, &all); err != nil {
		return fmt.Errorf("list WorkerPools: %w", err)
	}
	for i := range all.Items {
		if !op.send(t, op.poolsAgain, &all.Items[i]) {
			break
		}
	}
	return nil
}
