package operator

import (
	"context"

	"github.com/queuemill/queuemill/api/v1alpha1"
	"github.com/queuemill/queuemill/internal/fleet"
	"github.com/queuemill/queuemill/internal/queue"
	"github.com/queuemill/queuemill/internal/workerpool"
)

// PoolEngine is where the workers of WorkerPools run.
type PoolEngine interface {
	// Check has the API server judge the pod of a worker. *TemplateError of
	// internal/fleet/kubernetes: none can be made. Any other error: it can't be
	// told now.
	Check(ctx context.Context, wp *v1alpha1.WorkerPool) error

	// Workers are those of a pool, to be retired with it. Its queue is not asked,
	// and none is started.
	Workers(wp *v1alpha1.WorkerPool) fleet.Fleet

	// Open opens the queue of a pool, and says where its workers are. It may make
	// requests: it is called only for what the Access allows.
	Open(ctx context.Context, wp *v1alpha1.WorkerPool) (queue.DepthReporter, fleet.Fleet, error)

	// OpenTarget is Open for a pool with a scaleTargetRef. older names an older
	// WorkerPool with the same one; empty: there is none.
	OpenTarget(ctx context.Context, wp *v1alpha1.WorkerPool, older func(context.Context) (string, error)) (queue.DepthReporter, workerpool.Target, error)
}
