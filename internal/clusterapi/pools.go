package clusterapi

import (
	"context"
	"fmt"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/queuemill/queuemill/api/v1alpha1"
	"github.com/queuemill/queuemill/internal/httpapi"
)

const resourcePools = "workerpools"

// WorkerPools are those of the namespaces that are meant, as they are stored.
// A cluster whose install is older than the kind has none.
func (b *Backend) WorkerPools(ctx context.Context) ([]v1alpha1.WorkerPool, error) {
	all, err := listAll(ctx, b.queueJobs.client, resourcePools, b.access.Namespace,
		func(l *v1alpha1.WorkerPoolList) []v1alpha1.WorkerPool { return l.Items })
	switch {
	case apierrors.IsNotFound(err):
		return nil, nil
	case err != nil:
		return nil, b.Explain(fmt.Errorf("list WorkerPools: %w", err))
	}
	slices.SortFunc(all, func(a, b v1alpha1.WorkerPool) int {
		return strings.Compare(a.Namespace+"/"+a.Name, b.Namespace+"/"+b.Name)
	})
	return all, nil
}

// ListPools is httpapi.Pools': what the controller wrote last.
func (b *Backend) ListPools(ctx context.Context) ([]httpapi.WorkerPool, error) {
	all, err := b.WorkerPools(ctx)
	if err != nil {
		return nil, err
	}
	return poolViews(all), nil
}

func poolViews(all []v1alpha1.WorkerPool) []httpapi.WorkerPool {
	views := make([]httpapi.WorkerPool, len(all))
	for i := range all {
		views[i] = PoolView(&all[i])
	}
	return views
}

// SuspendPool is httpapi.Pools': it changes spec.suspend, as an edit would.
func (b *Backend) SuspendPool(ctx context.Context, name string, suspend bool) error {
	namespace := b.access.Namespace
	if namespace == "" {
		all, err := b.WorkerPools(ctx)
		if err != nil {
			return err
		}
		var namespaces []string
		for i := range all {
			if all[i].Name == name {
				namespaces = append(namespaces, all[i].Namespace)
			}
		}
		if err := one(v1alpha1.KindWorkerPool, name, namespaces); err != nil {
			return err
		}
		namespace = namespaces[0]
	}
	return b.Explain(b.queueJobs.suspend(ctx, resourcePools, namespace, name, suspend))
}

// PoolView is a WorkerPool as the API shows it.
func PoolView(wp *v1alpha1.WorkerPool) httpapi.WorkerPool {
	wp.SetDefaults()
	v := httpapi.OfManifest(wp)
	v.Queue, v.Leaving = queueLabel(wp.Spec.Queue.SQS), !wp.DeletionTimestamp.IsZero()
	v.Desired, v.Workers, v.Messages, v.Decision = wp.Status.Desired, wp.Status.Workers, wp.Status.Queue, wp.Status.Decision
	ready := meta.FindStatusCondition(wp.Status.Conditions, "Ready")
	source := meta.FindStatusCondition(wp.Status.Conditions, "SourceHealthy")
	owned := meta.FindStatusCondition(wp.Status.Conditions, "TargetOwned")
	switch {
	case ready == nil:
		v.Trouble = notSeen
	case source != nil && source.Status == metav1.ConditionFalse:
		v.SourceError = source.Message
	case ready.Status == metav1.ConditionFalse && !slices.Contains([]string{"Starting", "Suspended"}, ready.Reason),
		ready.Reason == "WorkersInTrouble":
		v.Trouble = ready.Message
	case owned != nil && owned.Status == metav1.ConditionFalse && !wp.Spec.Suspend: // it is scaled, and somebody sets it back
		v.Trouble = owned.Message
	}
	return v
}
