package kubernetes

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/queuemill/queuemill/internal/executor"
)

// Keys of log lines.
const (
	keyJob       = "job"
	keyNamespace = "namespace"
	keySecret    = "secret"
	keyReason    = "reason"
	keyError     = "error"
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
	client     kubernetes.Interface
	namespaces []string
	log        *slog.Logger
	metrics    *metrics
	templates  templates
	gate       gate
	acks       acks

	mu       sync.Mutex
	tracker  *tracker      // while Run runs
	tracking chan struct{} // closed when tracker is set
}

// Open prepares a Cluster; it makes no request. It talks protobuf and leaves the
// limits to the API server, which knows what it can bear.
func Open(o Options) (*Cluster, error) {
	config := rest.CopyConfig(o.Config)
	config.QPS = -1
	config.ContentType = runtime.ContentTypeProtobuf
	config.AcceptContentTypes = runtime.ContentTypeProtobuf + "," + runtime.ContentTypeJSON
	if config.WarningHandler == nil && config.WarningHandlerWithContext == nil {
		config.WarningHandler = rest.NoWarnings{} // else of every create
	}
	if config.UserAgent == "" {
		config.UserAgent = "queuemill"
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("configure the Kubernetes client: %w", err)
	}
	c := &Cluster{
		client: client, namespaces: o.Namespaces, log: o.Logger, metrics: newMetrics(o.Registerer),
		tracking: make(chan struct{}),
	}
	if len(c.namespaces) == 0 {
		c.namespaces = []string{metav1.NamespaceAll}
	}
	if c.log == nil {
		c.log = slog.New(slog.DiscardHandler)
	}
	return c, nil
}

// Run watches Jobs and pods until ctx ends, and returns nil. It is called once.
func (c *Cluster) Run(ctx context.Context) error {
	t := newTracker(2 * len(c.namespaces))
	c.mu.Lock()
	c.tracker = t
	close(c.tracking)
	c.mu.Unlock()
	c.follow(ctx, t, c.namespaces, selectorOf(""))
	return nil
}

// Sync waits until Run has seen everything that there is.
func (c *Cluster) Sync(ctx context.Context) error {
	select {
	case <-c.tracking:
	case <-ctx.Done():
		return fmt.Errorf("wait for the first lists: %w", ctx.Err())
	}
	if err := c.tracker.sync(ctx); err != nil {
		return fmt.Errorf("wait for the first lists: %w", err)
	}
	return nil
}

// trackerOf is what Run knows of a namespace, nil while it does not run there.
func (c *Cluster) trackerOf(namespace string) *tracker {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.tracker == nil || !slices.Contains(c.namespaces, namespace) && c.namespaces[0] != metav1.NamespaceAll {
		return nil
	}
	return c.tracker
}

// known is what Run has seen of a namespace, nil before it has seen all.
func (c *Cluster) known(namespace string) *tracker {
	if t := c.trackerOf(namespace); t != nil && t.isSynced() {
		return t
	}
	return nil
}

// Executor runs the jobs of one namespace. owner is the QueueJob that owns
// Secrets until a Job does; nil where there is none.
func (c *Cluster) Executor(namespace string, owner *metav1.OwnerReference) *Executor {
	return &Executor{cluster: c, namespace: namespace, owner: owner, log: c.log.With(keyNamespace, namespace)}
}

var (
	_ executor.Executor = (*Executor)(nil)
	_ executor.Getter   = (*Executor)(nil)
	_ executor.Patcher  = (*Executor)(nil)
)

// Executor is executor.Executor over one namespace. Its methods are for
// concurrent use, and need no Run: it only makes Create and Watch cheaper.
type Executor struct {
	cluster   *Cluster
	namespace string
	owner     *metav1.OwnerReference
	log       *slog.Logger
}

// acks are the records whose message's delete was confirmed, which is noted on a
// Job only when something else is written there.
type acks struct {
	mu    sync.Mutex
	since map[string]time.Time // by the record's UID
	bound int                  // sweep at this many
}

// ackLag is how long a record may stay unseen after it was acknowledged.
const ackLag = time.Minute

func (a *acks) has(uid string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	_, ok := a.since[uid]
	return ok
}

// note adds a record and, now and then, drops those that are gone.
func (a *acks) note(uid string, existing func() map[string]struct{}) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.since == nil {
		a.since, a.bound = make(map[string]time.Time), 1024
	}
	now := time.Now()
	a.since[uid] = now
	if len(a.since) < a.bound || existing == nil {
		return
	}
	exist := existing()
	for uid, at := range a.since {
		if _, ok := exist[uid]; !ok && now.Sub(at) > ackLag {
			delete(a.since, uid)
		}
	}
	a.bound = max(1024, 2*len(a.since))
}

func (a *acks) forget(uid string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.since, uid)
}
