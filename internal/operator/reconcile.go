package operator

import (
	"context"
	"fmt"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/queuemill/queuemill/api/v1alpha1"
	"github.com/queuemill/queuemill/internal/message"
)

// Finalizer keeps a QueueJob until what it holds is given back.
const Finalizer = "queuemill.dev/queuejob"

// Reasons of Ready=False, and of TemplateValid=False, that are the operator's.
const (
	reasonNotAllowed      = "NotAllowed"
	reasonInvalidSpec     = "InvalidSpec"
	reasonNeedsKubernetes = "NeedsKubernetes"
	reasonTemplateInvalid = "TemplateInvalid"
)

// refusal is why a QueueJob's spec can't be followed.
type refusal struct {
	reason, message string
	template        bool // the template is at fault: TemplateValid says so too
}

// Reconcile makes one QueueJob so, while this process leads.
func (op *Operator) Reconcile(ctx context.Context, req reconcile.Request) (reconcile.Result, error) {
	t := op.term.Load()
	if t == nil {
		return reconcile.Result{}, nil
	}
	ctx, cancel := t.bind(ctx)
	defer cancel()
	var qj v1alpha1.QueueJob
	if err := op.client.Get(ctx, req.NamespacedName, &qj); err != nil {
		if apierrors.IsNotFound(err) {
			t.jobs.stop(req.NamespacedName)
			return reconcile.Result{}, nil
		}
		return reconcile.Result{}, err
	}
	result, err := op.follow(ctx, t, &qj)
	if t.ctx.Err() != nil || apierrors.IsConflict(err) || apierrors.IsNotFound(err) { // the next leader's; or the watch will tell
		return reconcile.Result{}, nil
	}
	return result, err
}

func (op *Operator) follow(ctx context.Context, t *term, qj *v1alpha1.QueueJob) (reconcile.Result, error) {
	key := client.ObjectKeyFromObject(qj)
	if !qj.DeletionTimestamp.IsZero() {
		return op.finalize(ctx, t, qj)
	}
	now := t.jobs.get(key)
	if now != nil && now.uid != qj.UID { // removed and made anew behind the finalizer's back
		t.jobs.stop(key)
		now = nil
	}
	spec := qj.DeepCopy()
	spec.SetDefaults()
	refused := check(spec)
	if refused == nil {
		if err := op.o.Access.Access().Check(spec.Namespace, spec.Spec.Queue.SQS); err != nil {
			t.jobs.stop(key)
			return reconcile.Result{}, op.refuse(ctx, qj, refusal{reason: reasonNotAllowed, message: err.Error()})
		}
	}
	switch {
	case now != nil:
		now.update(spec, refused)
		return reconcile.Result{}, nil
	case refused != nil:
		return reconcile.Result{}, op.refuse(ctx, qj, *refused)
	}
	edited := qj.DeepCopy()
	if controllerutil.AddFinalizer(edited, Finalizer) {
		if err := op.setFinalizers(ctx, qj, edited); err != nil {
			return reconcile.Result{}, err
		}
	}
	t.jobs.start(t.ctx, key, newRunning(op, spec))
	return reconcile.Result{}, nil
}

// check says why a spec, its defaults set, can't be followed in any cluster;
// nil when it can. The CRD's rules refuse most of it already.
func check(qj *v1alpha1.QueueJob) *refusal {
	if errs := qj.Validate(); len(errs) > 0 {
		r := &refusal{reason: reasonInvalidSpec}
		var all []string
		for _, e := range errs {
			all = append(all, e.Error())
			r.template = r.template || strings.HasPrefix(e.Field, "spec.kubernetes") || strings.HasPrefix(e.Field, "spec.process")
		}
		r.message = strings.Join(all, "; ")
		return r
	}
	if qj.Spec.Process != nil {
		return &refusal{
			reason: reasonNeedsKubernetes, template: true,
			message: "spec.process runs on one machine, by queuemill up; in a cluster write spec.kubernetes.jobTemplate instead",
		}
	}
	if _, err := message.NewReader(qj.Namespace, qj.Name, &qj.Spec.Message); err != nil {
		return &refusal{reason: reasonInvalidSpec, message: fmt.Sprintf("spec.%v", err)}
	}
	return nil
}

// setFinalizers writes the finalizers of edited, unless object has changed.
func (op *Operator) setFinalizers(ctx context.Context, object, edited client.Object) error {
	if err := op.client.Patch(ctx, edited, client.MergeFromWithOptions(object, client.MergeFromWithOptimisticLock{})); err != nil {
		return fmt.Errorf("set the finalizers of %s: %w", client.ObjectKeyFromObject(object), err)
	}
	return nil
}
