package kubernetes_test

import (
	"context"
	"encoding/json"
	"sync"
	"testing"

	"k8s.io/apimachinery/pkg/runtime"
	client "k8s.io/client-go/kubernetes"

	"github.com/queuemill/queuemill/api/v1alpha1"
	"github.com/queuemill/queuemill/internal/executor/executortest"
	"github.com/queuemill/queuemill/internal/executor/kubernetes"
	"github.com/queuemill/queuemill/test/cluster"
)

// rig is a namespace of its own on the shared control plane, with an executor.
type rig struct {
	*kubernetes.Executor
	t         *testing.T
	cluster   *kubernetes.Cluster
	client    client.Interface
	namespace string
	kubelet   *kubelet
}

// newRig has a Cluster that runs, as a controller's does.
func newRig(t *testing.T) *rig {
	r := newLiveRig(t)
	r.start(r.cluster.Run)
	if err := r.cluster.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	return r
}

// newLiveRig has a Cluster that does not run, as the verbs have.
func newLiveRig(t *testing.T) *rig {
	t.Helper()
	c := cluster.Shared(t)
	config := c.Config()
	config.QPS = -1
	api, err := client.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, client: api, namespace: cluster.Namespace(t, c)}
	r.open()
	r.kubelet = startKubelet(t, api, r.namespace)
	return r
}

// open makes a new Cluster, as a controller does that starts again.
func (r *rig) open() {
	r.t.Helper()
	opened, err := kubernetes.Open(kubernetes.Options{Config: cluster.Shared(r.t).Config(), Namespaces: []string{r.namespace}})
	if err != nil {
		r.t.Fatal(err)
	}
	r.cluster, r.Executor = opened, opened.Executor(r.namespace, nil)
}

// start runs f until the test is over.
func (r *rig) start(f func(context.Context) error) {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := f(ctx); err != nil {
			r.t.Error(err)
		}
	})
	r.t.Cleanup(func() {
		cancel()
		wg.Wait()
	})
}

// spec is a QueueJob's with this pod template (JSON), backoffLimit 0 and one
// container where there is none.
func spec(t *testing.T, jobSpec map[string]any) *v1alpha1.QueueJobSpec {
	t.Helper()
	raw, err := json.Marshal(map[string]any{"spec": jobSpec})
	if err != nil {
		t.Fatal(err)
	}
	return &v1alpha1.QueueJobSpec{Kubernetes: &v1alpha1.KubernetesTemplate{JobTemplate: runtime.RawExtension{Raw: raw}}}
}

type object = map[string]any

// simple is a Job of one container that is tried once.
func simple(t *testing.T) *v1alpha1.QueueJobSpec {
	t.Helper()
	return spec(t, object{"backoffLimit": 0, "template": object{"spec": object{
		"restartPolicy": "Never",
		"containers":    []object{{"name": "main", "image": "busybox", "command": []string{"true"}}},
	}}})
}

func (r *rig) conformance() executortest.Rig {
	return executortest.Rig{
		Executor: r, Spec: simple(r.t), NoLogSize: true,
		Finish: func(_ *testing.T, name string, attempt, code int, output string) {
			r.kubelet.finish(r.job(name, attempt), code, output)
		},
	}
}

// job is the name of the Job that an attempt is.
func (r *rig) job(name string, attempt int) string {
	r.t.Helper()
	rec, err := r.Get(r.t.Context(), name)
	if err != nil {
		r.t.Fatal(err)
	}
	for _, a := range rec.Attempts {
		if a.Number == attempt {
			return a.Job
		}
	}
	r.t.Fatalf("no attempt %d of %s", attempt, name)
	return ""
}

func TestExecutorConforms(t *testing.T) {
	executortest.Run(t, func(t *testing.T) executortest.Rig { return newRig(t).conformance() })
}

func TestExecutorConformsWithoutRun(t *testing.T) {
	executortest.Run(t, func(t *testing.T) executortest.Rig { return newLiveRig(t).conformance() })
}
