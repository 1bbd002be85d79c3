package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"slices"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"golang.org/x/sync/errgroup"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clientset "k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"
	ctrllog "sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/queuemill/queuemill/api/v1alpha1"
	"github.com/queuemill/queuemill/internal/executor/kubernetes"
	"github.com/queuemill/queuemill/internal/operator"
	"github.com/queuemill/queuemill/internal/queue"
	"github.com/queuemill/queuemill/internal/queue/sqs"
	"github.com/queuemill/queuemill/internal/queuejob"
	"github.com/queuemill/queuemill/internal/workerpool"
)

// ControllerOptions say which cluster Controller serves, and as what.
type ControllerOptions struct {
	Version string

	Kubeconfig, Context string           // empty: the usual ones, or the pod's own
	Namespaces          []string         // that are served; none: all, which needs Allow
	Files               []string         // manifests instead of custom resources; their namespace is the context's where they name none
	Allow               string           // file with the allow-list; empty: every queue is allowed
	LeaderElect         bool             // one of several replicas
	Listen              string           // host:port of metrics and probes; with Files of the HTTP API
	WorkerImage         string           // ours, whose program works in the pods of WorkerPools; empty: WorkerPools are not served
	Token               string           // that the HTTP API wants; needed off loopback
	Reload              <-chan os.Signal // asks to read the files again; edits are seen without

	Logger *slog.Logger
	// Ready is called once metrics and probes answer, with their URL.
	Ready func(url string)
}

// Controller serves the QueueJobs of a cluster until ctx ends. Then nothing is
// received any more, what has no job yet is given back, and the lease is
// released; jobs go on, and the next leader goes on with them.
func Controller(ctx context.Context, o ControllerOptions) error {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if len(o.Files) > 0 {
		return controllerFromFiles(ctx, o)
	}
	if len(o.Namespaces) == 0 && o.Allow == "" {
		return hinted("give --config FILE with the allow-list, or --namespace NAME for a controller of that namespace alone",
			"which queues may each namespace read?")
	}
	logLibraries(o.Logger)
	config, namespace, err := clusterConfig(o.Kubeconfig, o.Context, o.Version)
	if err != nil {
		return err
	}
	var access *operator.AccessFile
	if o.Allow != "" {
		if access, err = operator.OpenAccess(o.Allow, o.Logger); err != nil {
			return err
		}
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	cluster, err := kubernetes.Open(kubernetes.Options{Config: config, Namespaces: o.Namespaces, Logger: o.Logger, Registerer: registry})
	if err != nil {
		return fmt.Errorf("connect to the cluster: %w", err)
	}
	options := operator.Options{
		Config: config, Namespaces: o.Namespaces, Engine: engine{cluster}, OpenQueue: openQueue, Access: access,
		Logger: o.Logger, Registerer: registry, Metrics: queuejob.NewMetrics(registry),
	}
	if o.WorkerImage != "" {
		client, err := clientset.NewForConfig(config)
		if err != nil {
			return fmt.Errorf("connect to the cluster: %w", err)
		}
		options.Pools = poolEngine{client: client, image: o.WorkerImage, log: o.Logger}
		options.PoolMetrics = workerpool.NewMetrics(registry)
	}
	if o.LeaderElect {
		options.LeaseNamespace = namespace
		if len(o.Namespaces) > 0 && !slices.Contains(o.Namespaces, namespace) {
			options.LeaseNamespace = o.Namespaces[0] // where its rights are
		}
	}
	// A health check is one small page: nobody needs a token for it.
	listener, err := listen(o.Listen, "--listen", true, "", "")
	if err != nil {
		return err
	}
	defer listener.Close()
	op, err := operator.New(options)
	if err != nil {
		return explain(err, config.Host)
	}
	return serve(ctx, &o, op, registry, listener)
}

// logLibraries has Kubernetes' libraries log where everything else does.
func logLibraries(log *slog.Logger) {
	klog.SetSlogLogger(log)
	ctrllog.SetLogger(logr.FromSlogHandler(log.Handler()))
}

// serve runs the operator with its metrics and probes, which end after it.
func serve(ctx context.Context, o *ControllerOptions, op *operator.Operator, registry *prometheus.Registry, l net.Listener) error {
	server := &http.Server{Handler: probes(op, registry), ReadHeaderTimeout: 5 * time.Second, IdleTimeout: time.Minute}
	var g errgroup.Group
	g.Go(func() error {
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("serve metrics and probes: %w", err)
		}
		return nil
	})
	if o.Ready != nil {
		o.Ready(urlOf(l))
	}
	err := op.Run(ctx)
	stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	return errors.Join(err, server.Shutdown(stopping), g.Wait())
}

// engine is the executor as the operator wants it.
type engine struct{ *kubernetes.Cluster }

func (e engine) Executor(namespace string, owner *metav1.OwnerReference) queuejob.Executor {
	return e.Cluster.Executor(namespace, owner)
}

// openQueue opens the queue that a QueueJob of a cluster reads.
func openQueue(ctx context.Context, qj *v1alpha1.QueueJob) (queue.Queue, error) {
	q, err := sqs.Open(ctx, *qj.Spec.Queue.SQS, sqs.Options{Namespace: qj.Namespace, Name: qj.Name})
	if err != nil {
		return nil, err
	}
	return q, nil
}

// clusterConfig is how the API server is reached, and the namespace that the
// context, or the pod, is in.
func clusterConfig(kubeconfig, contextName, version string) (*rest.Config, string, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = kubeconfig
	loader := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, &clientcmd.ConfigOverrides{CurrentContext: contextName})
	config, err := loader.ClientConfig()
	if clientcmd.IsEmptyConfig(err) {
		return nil, "", hinted("give --kubeconfig FILE, or set KUBECONFIG", "there is no cluster: no kubeconfig was found, and this is no pod")
	}
	if err != nil {
		return nil, "", fmt.Errorf("read the kubeconfig: %w", err)
	}
	namespace, _, err := loader.Namespace()
	if err != nil {
		return nil, "", fmt.Errorf("read the kubeconfig: %w", err)
	}
	config.UserAgent = "queuemill/" + cmp.Or(version, "dev")
	config.QPS = -1 // the API server's priority and fairness is the limit
	return config, namespace, nil
}

// explain says what to do about a cluster that can't be served.
func explain(err error, host string) error {
	if errors.Is(err, operator.ErrNoCRD) {
		return &hint{err.Error(), "install it: kubectl apply --server-side -f deploy/kubernetes/crds", err}
	}
	if errors.As(err, new(net.Error)) {
		return &hint{err.Error(), "does the API server run at " + host + "?", err}
	}
	return err
}
