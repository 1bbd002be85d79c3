package kubernetes

import (
	"context"
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/queuemill/queuemill/api/v1alpha1"
	"github.com/queuemill/queuemill/internal/executor"
)

// Options of a Cluster.
type Options struct {
	Config     *rest.Config
	Namespaces []string              // that Run watches; nil: all
	Logger     *slog.Logger          // nil: none
	Registerer prometheus.Registerer // nil: none
}

// Cluster is one Kubernetes API server's Jobs.
type Cluster struct {
	o Options
}

// Open prepares a Cluster; it makes no request.
func Open(o Options) (*Cluster, error) { return &Cluster{o: o}, nil }

// Run watches Jobs and pods until ctx ends.
func (c *Cluster) Run(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }

// Sync waits until Run has seen everything that there is.
func (c *Cluster) Sync(ctx context.Context) error { return ctx.Err() }

// Lead gathers why Jobs failed, or can't start, until ctx ends. Only the leader
// does so.
func (c *Cluster) Lead(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }

// Executor runs the jobs of one namespace. owner is the QueueJob that owns
// Secrets until a Job does; nil where there is none.
func (c *Cluster) Executor(namespace string, owner *metav1.OwnerReference) *Executor {
	return &Executor{cluster: c, namespace: namespace, owner: owner}
}

// Check tells whether the API server takes a Job of qj's template: nil when it
// does, *TemplateError when not or when it can't tell now.
func (c *Cluster) Check(ctx context.Context, qj *v1alpha1.QueueJob) error { return ctx.Err() }

// TemplateError says that the template makes no Job that the API server takes,
// or, where Unknown, that this can't be told now: a full quota, a webhook
// without dry-run, an API server that is away.
type TemplateError struct {
	Unknown bool
	Msg     string
}

func (e *TemplateError) Error() string { return e.Msg }

// Executor is executor.Executor over one namespace.
type Executor struct {
	executor.Executor
	executor.Getter
	executor.Patcher

	cluster   *Cluster
	namespace string
	owner     *metav1.OwnerReference
}
