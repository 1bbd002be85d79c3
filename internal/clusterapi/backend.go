package clusterapi

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

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
	// watching calls do with jobs whose Watch works until do returns.
	watching func(ctx context.Context, do func(context.Context, Jobs) error) error
}

var (
	_ httpapi.Jobs       = (*Backend)(nil)
	_ httpapi.Controller = (*Backend)(nil)
	_ httpapi.Queues     = (*Backend)(nil)
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
	options := cluster.Options{Config: a.Config, Logger: slog.New(slog.DiscardHandler)}
	if a.Namespace != "" {
		options.Namespaces = []string{a.Namespace}
	}
	live, err := cluster.Open(options)
	if err != nil {
		return nil, fmt.Errorf("open the cluster at %s: %w", a.Config.Host, err)
	}
	b := &Backend{access: a, version: version, client: client, queueJobs: crs}
	b.jobs = func(namespace string) Jobs { return live.Executor(namespace, nil) }
	b.watching = func(ctx context.Context, do func(context.Context, Jobs) error) error {
		return watching(ctx, options, do)
	}
	return b, nil
}

// watching runs informers for as long as do runs.
func watching(ctx context.Context, o cluster.Options, do func(context.Context, Jobs) error) error {
	watched, err := cluster.Open(o)
	if err != nil {
		return fmt.Errorf("open the cluster at %s: %w", o.Config.Host, err)
	}
	ctx, cancel := context.WithCancel(ctx)
	running := make(chan error, 1)
	go func() {
		defer cancel() // without informers there is nothing to watch
		running <- watched.Run(ctx)
	}()
	namespace := ""
	if len(o.Namespaces) == 1 {
		namespace = o.Namespaces[0]
	}
	err = watched.Sync(ctx)
	if err == nil {
		err = do(ctx, watched.Executor(namespace, nil))
	}
	cancel()
	if runErr := <-running; runErr != nil && !errors.Is(runErr, context.Canceled) {
		return fmt.Errorf("watch the jobs of the cluster at %s: %w", o.Config.Host, runErr)
	}
	return err
}

// Client speaks to the cluster itself.
func (b *Backend) Client() kubernetes.Interface { return b.client }

// Access is the cluster and the namespaces that are meant.
func (b *Backend) Access() *Access { return b.access }

// API is all that the HTTP API asks.
func (b *Backend) API() httpapi.Backend {
	return httpapi.Backend{Jobs: b, Controller: b, Queues: b}
}
