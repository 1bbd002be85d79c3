package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"golang.org/x/sync/errgroup"

	"github.com/queuemill/queuemill/internal/executor/kubernetes"
	"github.com/queuemill/queuemill/internal/httpapi"
	"github.com/queuemill/queuemill/internal/manifest"
	"github.com/queuemill/queuemill/internal/queuejob"
)

// controllerFromFiles makes Jobs in a cluster for QueueJobs of files, and serves
// the HTTP API. It is `up` with its queues and jobs elsewhere: nothing is kept
// on this machine.
func controllerFromFiles(ctx context.Context, o ControllerOptions) error {
	logLibraries(o.Logger)
	config, namespace, err := clusterConfig(o.Kubeconfig, o.Context, o.Version)
	if err != nil {
		return err
	}
	if len(o.Namespaces) > 0 {
		namespace = o.Namespaces[0]
	}
	m := &mill{
		o:   UpOptions{Version: o.Version, Files: o.Files, Reload: o.Reload},
		log: o.Logger, startedAt: time.Now(), kind: "kubernetes", outcomes: newOutcomes(),
	}
	objects, err := m.chooseNamespace(namespace)
	if err != nil {
		return err
	}
	namespace = objects[0].Namespace()

	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	cluster, err := kubernetes.Open(kubernetes.Options{Config: config, Namespaces: []string{namespace}, Logger: o.Logger, Registerer: registry})
	if err != nil {
		return fmt.Errorf("connect to the cluster: %w", err)
	}
	listener, err := listen(o.Listen, "--listen", o.Token != "", "a token", "set QUEUEMILL_TOKEN or give --token-file")
	if err != nil {
		return err
	}
	defer listener.Close()
	m.executor = cluster.Executor(namespace, nil)
	m.queues = newQueues(nil, "")
	registry.MustRegister(queueMetrics{m.queues})
	m.log.Info("makes Jobs", "cluster", config.Host, keyNamespace, namespace)
	return m.serveCluster(ctx, &o, cluster, registry, listener, objects)
}

// chooseNamespace reads the manifests for the first time, and has every later
// time keep to their namespace: one process serves one.
func (m *mill) chooseNamespace(byDefault string) ([]manifest.Object, error) {
	m.load = func() ([]manifest.Object, []manifest.Warning, error) {
		objects, warnings, err := manifest.Load(m.o.Files...)
		if err == nil {
			err = forTheCluster(objects, byDefault)
		}
		return objects, warnings, err
	}
	objects, warnings, err := m.load()
	if err != nil {
		return nil, err
	}
	for _, w := range warnings {
		m.log.Warn("manifest: " + w.String())
	}
	if len(objects) == 0 {
		return nil, hinted("write a QueueJob into them", "there is no QueueJob in the files")
	}
	return objects, nil
}

// forTheCluster fills in the namespace, and says which manifests a cluster
// can't run.
func forTheCluster(objects []manifest.Object, byDefault string) error {
	var errs []error
	names := map[string]manifest.Object{}
	wrong := func(o manifest.Object, field, hint, format string, args ...any) {
		errs = append(errs, &manifest.Error{File: o.File, Line: o.Line, Field: field, Msg: fmt.Sprintf(format, args...), Hint: hint})
	}
	namespace := ""
	for _, o := range objects {
		namespace = cmp.Or(namespace, o.Namespace())
	}
	namespace = cmp.Or(namespace, byDefault)
	for _, o := range objects {
		if o.WorkerPool != nil {
			wrong(o, "kind", poolElsewhere(o), "controller -f runs no WorkerPools: their pods belong to the object that kubectl apply makes, and go with it")
			continue
		}
		qj := o.QueueJob
		qj.Namespace = cmp.Or(qj.Namespace, namespace)
		first, there := names[qj.Name]
		names[qj.Name] = o
		switch {
		case qj.Namespace != namespace:
			wrong(o, "metadata.namespace", "start another one for it", "is %s, and %s before: one controller -f serves one namespace", qj.Namespace, namespace)
		case qj.Spec.Kubernetes == nil:
			wrong(o, "spec.process", "say what runs in the cluster in spec.kubernetes.jobTemplate, or use queuemill up", "runs on one machine; jobs in a cluster are Jobs")
		case there:
			wrong(o, "metadata.name", "", "there is a QueueJob %s already, at %s:%d", qj.Name, first.File, first.Line)
		}
	}
	return errors.Join(errs...)
}

// poolElsewhere is what runs a WorkerPool that controller -f does not.
func poolElsewhere(o manifest.Object) string {
	if o.WorkerPool.Spec.Process != nil {
		return "queuemill up -f " + o.File + " runs it on this machine"
	}
	return "kubectl apply -f " + o.File + ", and without -f: queuemill controller --worker-image REFERENCE, in the cluster or outside; docs/KUBERNETES.md"
}

const keyNamespace = "namespace"

// serveCluster runs until ctx ends. Then the Runners stop, and what they stand
// on after them; Jobs go on.
func (m *mill) serveCluster(ctx context.Context, o *ControllerOptions, cluster *kubernetes.Cluster, registry *prometheus.Registry, l net.Listener, objects []manifest.Object) error {
	hard, stopRunners := context.WithCancel(context.WithoutCancel(ctx))
	defer stopRunners()
	m.runners = newRunners(hard, m, queuejob.NewMetrics(registry))
	serving, stopServing := context.WithCancel(context.WithoutCancel(ctx))
	defer stopServing()
	g, serving := errgroup.WithContext(serving)
	part := func(run func(context.Context) error) {
		g.Go(func() error {
			if err := run(serving); serving.Err() == nil {
				return err
			}
			return nil
		})
	}
	part(cluster.Run)
	part(cluster.Lead)
	starting, cancel := context.WithCancel(serving)
	defer cancel()
	defer context.AfterFunc(ctx, cancel)()
	err := cluster.Sync(starting)
	if err == nil {
		part(func(ctx context.Context) error {
			return httpapi.New(
				httpapi.Backend{Jobs: m.executor, Controller: m, Queues: m.queues, Ready: m.ready},
				httpapi.Options{Token: o.Token, Logger: o.Logger, Metrics: registry},
			).Serve(ctx, l)
		})
		part(m.follow)
		if err = m.runners.apply(objects); err == nil {
			if o.Ready != nil {
				o.Ready(urlOf(l))
			}
			<-starting.Done()
		}
	}
	if ctx.Err() != nil { // told to end: no error
		err = nil
	}
	m.draining.Store(true)
	stopRunners()
	m.runners.wait()
	stopServing()
	return errors.Join(err, g.Wait())
}
