package app

import (
	"context"
	"log/slog"

	clientset "k8s.io/client-go/kubernetes"

	"github.com/queuemill/queuemill/api/v1alpha1"
	"github.com/queuemill/queuemill/internal/fleet"
	fleetkubernetes "github.com/queuemill/queuemill/internal/fleet/kubernetes"
	"github.com/queuemill/queuemill/internal/queue"
	"github.com/queuemill/queuemill/internal/queue/sqs"
	"github.com/queuemill/queuemill/internal/scaletarget"
	"github.com/queuemill/queuemill/internal/workerpool"
)

// poolEngine runs the workers of a cluster's WorkerPools as pods.
type poolEngine struct {
	client clientset.Interface
	image  string
	log    *slog.Logger
}

// fleet's queueURL is empty where no worker is started: finding it would be a
// request.
func (e poolEngine) fleet(wp *v1alpha1.WorkerPool, queueURL string) *fleetkubernetes.Fleet {
	return fleetkubernetes.Open(fleetkubernetes.Options{Client: e.client, Pool: wp, Image: e.image, QueueURL: queueURL, Logger: e.log})
}

func (e poolEngine) Check(ctx context.Context, wp *v1alpha1.WorkerPool) error {
	return e.fleet(wp, "").Check(ctx, wp)
}

func (e poolEngine) Workers(wp *v1alpha1.WorkerPool) fleet.Fleet { return e.fleet(wp, "") }

func (e poolEngine) Open(ctx context.Context, wp *v1alpha1.WorkerPool) (queue.DepthReporter, fleet.Fleet, error) {
	q, err := sqs.Open(ctx, *wp.Spec.Queue.SQS, sqs.Options{Namespace: wp.Namespace, Name: wp.Name})
	if err != nil {
		return nil, nil, err
	}
	return q, e.fleet(wp, q.URL()), nil
}

// OpenTarget reads the same queue; the Deployment is reached with the
// controller's own rights.
func (e poolEngine) OpenTarget(ctx context.Context, wp *v1alpha1.WorkerPool, older func(context.Context) (string, error)) (queue.DepthReporter, workerpool.Target, error) {
	q, err := sqs.Open(ctx, *wp.Spec.Queue.SQS, sqs.Options{Namespace: wp.Namespace, Name: wp.Name})
	if err != nil {
		return nil, nil, err
	}
	return q, scaletarget.New(scaletarget.Options{Client: e.client, Namespace: wp.Namespace, Name: wp.Spec.ScaleTargetRef.Name, Older: older}), nil
}
