package scaletarget

import (
	"context"
	"fmt"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/queuemill/queuemill/internal/workerpool"
)

// FieldManager is whose the replicas are once they are set.
const FieldManager = "queuemill"

// rivalsEvery is how often other autoscalers are looked for.
const rivalsEvery = 10 * time.Second

// Options say which Deployment, and how it is reached.
type Options struct {
	Client          kubernetes.Interface
	Namespace, Name string

	// Older is the name of an older WorkerPool that scales the same Deployment;
	// empty: there is none.
	Older func(ctx context.Context) (string, error)

	RivalsEvery time.Duration // zero: 10 s
}

// Deployment is a workerpool.Target. One goroutine uses it.
type Deployment struct {
	o       Options
	writers writers

	looked time.Time                // for rivals
	rival  *workerpool.RefusedError // that was found then
}

var _ workerpool.Target = (*Deployment)(nil)

// New asks nothing yet.
func New(o Options) *Deployment {
	if o.RivalsEvery == 0 {
		o.RivalsEvery = rivalsEvery
	}
	return &Deployment{o: o}
}

// Replicas implements workerpool.Target.
func (d *Deployment) Replicas(ctx context.Context) (workerpool.Replicas, error) {
	found, err := d.o.Client.AppsV1().Deployments(d.o.Namespace).Get(ctx, d.o.Name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err), err == nil && !found.DeletionTimestamp.IsZero():
		d.looked = time.Time{}
		return workerpool.Replicas{}, d.missing()
	case err != nil:
		return workerpool.Replicas{}, fmt.Errorf("get Deployment %s: %w", d.o.Name, err)
	}
	if err := d.lookForRivals(ctx); err != nil {
		return workerpool.Replicas{}, err
	}
	if d.rival != nil {
		d.writers.forget()
		return workerpool.Replicas{}, d.rival
	}
	return workerpool.Replicas{
		Desired: desired(found), Ready: int(found.Status.ReadyReplicas), Contested: d.writers.look(found, time.Now()),
	}, nil
}

func (d *Deployment) missing() *workerpool.RefusedError {
	return &workerpool.RefusedError{
		Reason:  workerpool.EventTargetMissing,
		Message: fmt.Sprintf("there is no Deployment %s in namespace %s: create it, or name another in spec.scaleTargetRef", d.o.Name, d.o.Namespace),
	}
}

// desired is 1 where nothing is written, as the API server has it.
func desired(d *appsv1.Deployment) int {
	if d.Spec.Replicas == nil {
		return 1
	}
	return int(*d.Spec.Replicas)
}

// SetReplicas implements workerpool.Target. The write has no resourceVersion: it
// goes over whatever was written meanwhile, which the next look would only write
// over too, and can't conflict with the Deployment's own controller.
func (d *Deployment) SetReplicas(ctx context.Context, n int) error {
	d.writers.wrote(nil)
	scale := &autoscalingv1.Scale{
		ObjectMeta: metav1.ObjectMeta{Namespace: d.o.Namespace, Name: d.o.Name},
		Spec:       autoscalingv1.ScaleSpec{Replicas: int32(n)}, // 10,000 at most
	}
	if _, err := d.o.Client.AppsV1().Deployments(d.o.Namespace).UpdateScale(ctx, d.o.Name, scale, metav1.UpdateOptions{FieldManager: FieldManager}); err != nil {
		return err
	}
	d.writers.wrote(&n)
	return nil
}
