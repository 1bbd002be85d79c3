package rights

import (
	"fmt"
	"net"
	"net/http"
	"sync"
	"sync/atomic"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/queuemill/queuemill/internal/fleet"
	"github.com/queuemill/queuemill/internal/fleet/control"
)

// idleWorker answers as a `queuemill worker` that was started held and finds
// nothing to do.
type idleWorker struct {
	id       string
	mu       sync.Mutex
	draining bool
}

func (w *idleWorker) Report() fleet.Report {
	w.mu.Lock()
	defer w.mu.Unlock()
	return fleet.Report{ID: w.id, Draining: w.draining}
}

func (w *idleWorker) Drain(on bool, _ int64) fleet.Report {
	w.mu.Lock()
	w.draining = on
	w.mu.Unlock()
	return w.Report()
}

func (w *idleWorker) Healthy() error { return nil }

// worlds numbers addresses of this machine's loopback network.
var worlds atomic.Uint32

// work has the one pod of a pool run, at an address where a worker answers until
// the test ends.
func (w *world) work(pool string) {
	w.t.Helper()
	var pods corev1.PodList
	if err := w.api.List(w.t.Context(), &pods, client.InNamespace(w.namespace), client.MatchingLabels{"queuemill.dev/workerpool": pool}); err != nil || len(pods.Items) != 1 {
		w.t.Fatalf("%d pods of %s: %v", len(pods.Items), pool, err)
	}
	pod := &pods.Items[0]
	c := &pod.Spec.Containers[0]
	address := fmt.Sprintf("127.78.%d.1", worlds.Add(1))
	l, err := net.Listen("tcp", fmt.Sprintf("%s:%d", address, c.Ports[0].ContainerPort))
	if err != nil {
		w.t.Fatal(err)
	}
	server := &http.Server{Handler: control.Handler(&idleWorker{id: string(pod.UID), draining: true}, w.token(c), nil)}
	go func() { _ = server.Serve(l) }()
	w.t.Cleanup(func() { _ = server.Close() })
	pod.Status = corev1.PodStatus{
		Phase: corev1.PodRunning, PodIP: address, PodIPs: []corev1.PodIP{{IP: address}},
		Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}},
		ContainerStatuses: []corev1.ContainerStatus{{
			Name: c.Name, Image: c.Image, Ready: true, State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}},
		}},
	}
	if err := w.api.Status().Update(w.t.Context(), pod); err != nil {
		w.t.Fatal(err)
	}
}

// token is what a worker's container is given to know its controller by.
func (w *world) token(c *corev1.Container) string {
	w.t.Helper()
	for _, e := range c.Env {
		if e.ValueFrom == nil || e.ValueFrom.SecretKeyRef == nil {
			continue
		}
		secret := &corev1.Secret{}
		if err := w.api.Get(w.t.Context(), client.ObjectKey{Namespace: w.namespace, Name: e.ValueFrom.SecretKeyRef.Name}, secret); err != nil {
			w.t.Fatal(err)
		}
		return string(secret.Data[e.ValueFrom.SecretKeyRef.Key])
	}
	w.t.Fatalf("container %s is given no token", c.Name)
	return ""
}
