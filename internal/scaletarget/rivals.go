package scaletarget

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/queuemill/queuemill/internal/workerpool"
)

const kindDeployment = "Deployment"

// lookForRivals looks now and then for others that scale the Deployment as well.
// When it can't look, nothing is scaled.
func (d *Deployment) lookForRivals(ctx context.Context) error {
	if now := time.Now(); d.looked.IsZero() || now.Sub(d.looked) >= d.o.RivalsEvery {
		rival, err := d.findRival(ctx)
		if err != nil {
			d.looked = time.Time{}
			return fmt.Errorf("look for others that scale Deployment %s: %w", d.o.Name, err)
		}
		d.looked, d.rival = now, rival
	}
	return nil
}

func (d *Deployment) findRival(ctx context.Context) (*workerpool.RefusedError, error) {
	older, err := d.o.Older(ctx)
	if err != nil {
		return nil, err
	}
	if older != "" {
		return d.alsoScaled("WorkerPool "+older, "it is the older one of the two and goes on; delete one of them, or name another Deployment in spec.scaleTargetRef"), nil
	}
	const advice = "two autoscalers of one number take turns for ever; delete it, or suspend this pool"
	// KEDA scales through an HPA of its own: the ScaledObject is the one to name.
	object, err := d.scaledObject(ctx)
	if err != nil {
		return nil, err
	}
	if object != "" {
		return d.alsoScaled("ScaledObject "+object, advice), nil
	}
	hpas, err := d.o.Client.AutoscalingV2().HorizontalPodAutoscalers(d.o.Namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("list HorizontalPodAutoscalers: %w", err)
	}
	for i := range hpas.Items {
		if hpa := &hpas.Items[i]; d.meantBy(hpa.Spec.ScaleTargetRef) {
			return d.alsoScaled("HorizontalPodAutoscaler "+hpa.Name, advice), nil
		}
	}
	return nil, nil
}

func (d *Deployment) alsoScaled(by, advice string) *workerpool.RefusedError {
	return &workerpool.RefusedError{
		Reason:  workerpool.EventAlsoScaled,
		Message: fmt.Sprintf("%s scales Deployment %s too, so its replicas are left alone: %s", by, d.o.Name, advice),
	}
}

// meantBy tells whether a reference names the Deployment, in whichever version
// of its API.
func (d *Deployment) meantBy(ref autoscalingv2.CrossVersionObjectReference) bool {
	group := schema.FromAPIVersionAndKind(ref.APIVersion, ref.Kind).Group
	return ref.Kind == kindDeployment && ref.Name == d.o.Name && (group == "apps" || group == "extensions" || group == "")
}

// scaledObjects is of KEDA's kind what is needed.
type scaledObjects struct {
	Items []struct {
		Metadata struct {
			Name string `json:"name"`
		} `json:"metadata"`
		Spec struct {
			ScaleTargetRef autoscalingv2.CrossVersionObjectReference `json:"scaleTargetRef"`
		} `json:"spec"`
	} `json:"items"`
}

// scaledObject is the name of KEDA's that scales the Deployment; empty: none,
// also where there is no KEDA.
func (d *Deployment) scaledObject(ctx context.Context) (string, error) {
	text, err := d.o.Client.Discovery().RESTClient().Get().
		AbsPath("/apis/keda.sh/v1alpha1/namespaces", d.o.Namespace, "scaledobjects").
		SetHeader("Accept", "application/json").
		DoRaw(ctx)
	if isAbsent(err) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("list KEDA's ScaledObjects: %w", err)
	}
	var all scaledObjects
	if err := json.Unmarshal(text, &all); err != nil {
		return "", fmt.Errorf("read KEDA's ScaledObjects: %w", err)
	}
	for i := range all.Items {
		ref := all.Items[i].Spec.ScaleTargetRef
		if ref.Kind == "" {
			ref.Kind = kindDeployment
		}
		if d.meantBy(ref) {
			return all.Items[i].Metadata.Name, nil
		}
	}
	return "", nil
}

// isAbsent tells that the API server knows no such kind.
func isAbsent(err error) bool {
	var status apierrors.APIStatus
	return errors.As(err, &status) && status.Status().Code == http.StatusNotFound
}
