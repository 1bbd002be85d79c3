package clusterapi

import (
	"fmt"

	"k8s.io/client-go/kubernetes"

	"github.com/queuemill/queuemill/internal/executor"
	cluster "github.com/queuemill/queuemill/internal/executor/kubernetes"
	"github.com/queuemill/queuemill/internal/httpapi"
)

// Jobs are the records of one namespace, or of all.
type Jobs interface {
	executor.Executor
	executor.Getter
	executor.Patcher
}

// Backend serves the HTTP API from a Kubernetes API. It may be used by many
// goroutines.
type Backend struct {
	access    *Access
	version   string
	client    kubernetes.Interface
	queueJobs queueJobs
	jobs      func(namespace string) Jobs // live: every call asks the API server
}

var (
	_ httpapi.Jobs       = (*Backend)(nil)
	_ httpapi.Controller = (*Backend)(nil)
	_ httpapi.Queues     = (*Backend)(nil)
	_ httpapi.Pools      = (*Backend)(nil)
)

// Open makes a Backend; version is the command line's own. Nothing is asked of
// the cluster yet.
func Open(a *Access, version string) (*Backend, error) {
	client, err := kubernetes.NewForConfig(a.Config)
	if err != nil {
		return nil, fmt.Errorf("open the cluster at %s: %w", a.Config.Host, err)
	}
	crs, err := newQueueJobs(a.Config)
	if err != nil {
		return nil, err
	}
	live, err := cluster.Open(cluster.Options{Config: a.Config})
	if err != nil {
		return nil, fmt.Errorf("open the cluster at %s: %w", a.Config.Host, err)
	}
	return &Backend{
		access: a, version: version, client: client, queueJobs: crs,
		jobs: func(namespace string) Jobs { return live.Executor(namespace, nil) },
	}, nil
}

// Client speaks to the cluster itself.
func (b *Backend) Client() kubernetes.Interface { return b.client }

// Access is the cluster and the namespaces that are meant.
func (b *Backend) Access() *Access { return b.access }

// API is all that the HTTP API asks.
func (b *Backend) API() httpapi.Backend {
	return httpapi.Backend{Jobs: b, Controller: b, Queues: b, Pools: b}
}
