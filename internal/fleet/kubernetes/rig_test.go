package kubernetes_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	client "k8s.io/client-go/kubernetes"
	"sigs.k8s.io/yaml"

	"github.com/queuemill/queuemill/api/v1alpha1"
	"github.com/queuemill/queuemill/internal/fleet"
	"github.com/queuemill/queuemill/internal/fleet/control"
	"github.com/queuemill/queuemill/internal/fleet/kubernetes"
	"github.com/queuemill/queuemill/internal/worker/flags"
	"github.com/queuemill/queuemill/test/cluster"
)

const patience = 3 * time.Minute

// rig is a pool on a real API server, whose pods a kubelet of ours "runs": at
// addresses of this machine's loopback network, where workers of the test answer.
type rig struct {
	t      *testing.T
	client client.Interface
	pool   *v1alpha1.WorkerPool
	fleet  *kubernetes.Fleet

	mu      sync.Mutex
	workers map[types.UID]*testWorker
	hold    bool // pods are left Pending
}

// testWorker answers as `queuemill worker` does.
type testWorker struct {
	id        string
	handler   http.Handler
	address   string
	mu        sync.Mutex
	inHand    int
	draining  bool
	drainedIn int64
	stop      func()
}

func (w *testWorker) Report() fleet.Report {
	w.mu.Lock()
	defer w.mu.Unlock()
	return fleet.Report{ID: w.id, Draining: w.draining, InHand: w.inHand}
}

func (w *testWorker) Drain(on bool, term int64) fleet.Report {
	w.mu.Lock()
	switch {
	case on:
		w.draining, w.drainedIn = true, max(w.drainedIn, term)
	case term == 0 || term > w.drainedIn:
		w.draining = false
	}
	w.mu.Unlock()
	return w.Report()
}

func (w *testWorker) Healthy() error { return nil }

func (w *testWorker) take(n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.inHand = n
}

func newRig(t *testing.T) *rig {
	t.Helper()
	c := cluster.Shared(t)
	config := c.Config()
	config.QPS = -1
	api, err := client.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, client: api, workers: map[types.UID]*testWorker{}}
	r.pool = pool(t, cluster.Namespace(t, c), "the-first-pools-uid")
	r.fleet = r.open(r.pool)
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { r.kubelet(ctx) })
	t.Cleanup(func() {
		cancel()
		wg.Wait()
		for _, w := range r.workers {
			w.stop()
		}
	})
	return r
}

func (r *rig) open(p *v1alpha1.WorkerPool) *kubernetes.Fleet {
	return kubernetes.Open(kubernetes.Options{Client: r.client, Pool: p, Image: "queuemill/queuemill:test", QueueURL: "https://sqs.eu-west-1.amazonaws.com/123456789012/thumbnails"})
}

func pool(t *testing.T, namespace string, uid types.UID) *v1alpha1.WorkerPool {
	t.Helper()
	raw, err := yaml.YAMLToJSON([]byte("spec: {containers: [{name: main, image: thumbs:1, command: [thumb]}]}"))
	if err != nil {
		t.Fatal(err)
	}
	return &v1alpha1.WorkerPool{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "thumbnails", UID: uid},
		Spec: v1alpha1.WorkerPoolSpec{
			Queue:      v1alpha1.QueueSource{SQS: &v1alpha1.SQSSource{Name: "thumbnails"}},
			Kubernetes: &v1alpha1.WorkerKubernetes{Template: runtime.RawExtension{Raw: raw}},
		},
	}
}

// kubelet runs pods until ctx ends.
func (r *rig) kubelet(ctx context.Context) {
	for ctx.Err() == nil {
		w, err := r.client.CoreV1().Pods(r.pool.Namespace).Watch(ctx, metav1.ListOptions{})
		if err != nil {
			continue
		}
		for e := range w.ResultChan() {
			if pod, ok := e.Object.(*corev1.Pod); ok {
				r.sync(ctx, pod, e.Type == watch.Deleted)
			}
		}
	}
}

func (r *rig) sync(ctx context.Context, pod *corev1.Pod, gone bool) {
	r.mu.Lock()
	w, hold := r.workers[pod.UID], r.hold
	r.mu.Unlock()
	pods := r.client.CoreV1().Pods(r.pool.Namespace)
	switch {
	case gone && w != nil:
		w.stop()
	case gone || hold:
	case pod.DeletionTimestamp != nil:
		r.expect(pods.Delete(ctx, pod.Name, *metav1.NewDeleteOptions(0)))
	case w == nil:
		w, address := r.run(ctx, pod)
		r.mu.Lock()
		r.workers[pod.UID] = w
		r.mu.Unlock()
		r.expect(pods.Bind(ctx, &corev1.Binding{ObjectMeta: metav1.ObjectMeta{Name: pod.Name, UID: pod.UID}, Target: corev1.ObjectReference{Kind: "Node", Name: "node1"}}, metav1.CreateOptions{}))
		now := metav1.Now()
		pod = pod.DeepCopy()
		pod.ResourceVersion = ""
		pod.Status = corev1.PodStatus{
			Phase: corev1.PodRunning, PodIP: address, PodIPs: []corev1.PodIP{{IP: address}}, StartTime: &now,
			Conditions:        []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}},
			ContainerStatuses: []corev1.ContainerStatus{{Name: "main", Image: "thumbs:1", Ready: true, State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: now}}}},
		}
		_, err := pods.UpdateStatus(ctx, pod, metav1.UpdateOptions{})
		r.expect(err)
	}
}

func (r *rig) expect(err error) {
	if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) && !errors.Is(err, context.Canceled) {
		r.t.Errorf("kubelet: %v", err)
	}
}

// lastAddress numbers addresses of 127.0.0.0/8.
var lastAddress atomic.Uint32

// run answers for a pod, with the token that the pod would be given.
func (r *rig) run(ctx context.Context, pod *corev1.Pod) (*testWorker, string) {
	c := &pod.Spec.Containers[0]
	var token string
	for _, e := range c.Env {
		if s := e.ValueFrom; s != nil && s.SecretKeyRef != nil {
			secret, err := r.client.CoreV1().Secrets(pod.Namespace).Get(ctx, s.SecretKeyRef.Name, metav1.GetOptions{})
			r.expect(err)
			token = string(secret.Data[s.SecretKeyRef.Key])
		}
	}
	n := lastAddress.Add(1)
	address := fmt.Sprintf("127.77.%d.%d", n/250, n%250+1)
	l, err := net.Listen("tcp", fmt.Sprintf("%s:%d", address, c.Ports[0].ContainerPort))
	if err != nil {
		r.t.Error(err)
		return &testWorker{stop: func() {}}, address
	}
	w := &testWorker{id: string(pod.UID), address: l.Addr().String()}
	for _, e := range c.Env {
		w.draining = w.draining || e.Name == flags.HeldEnv
	}
	w.handler = control.Handler(w, token, nil)
	w.serve(l)
	return w, address
}

func (w *testWorker) serve(l net.Listener) {
	server := &http.Server{Handler: w.handler}
	go func() { _ = server.Serve(l) }()
	w.stop = func() { _ = server.Close() }
}

func (r *rig) worker(uid string) *testWorker {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.workers[types.UID(uid)]
}

// list waits until the fleet is as wanted, and lets go who is held.
func (r *rig) list(f *kubernetes.Fleet, what string, want func([]fleet.Worker) bool) (all []fleet.Worker) {
	r.t.Helper()
	r.until(what, func() bool {
		var err error
		all, err = f.List(r.t.Context())
		for _, w := range all {
			if w.Held && w.Report != nil {
				_, drainErr := f.Drain(r.t.Context(), w, false)
				r.expect(drainErr)
			}
		}
		return err == nil && want(all)
	})
	return all
}

func (r *rig) until(what string, done func() bool) {
	r.t.Helper()
	late := time.After(patience)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-late:
			all, err := r.fleet.List(r.t.Context())
			r.t.Fatalf("waited for %s; there are %+v, %v", what, all, err)
		}
	}
}

// allIn tells whether there are n workers, all in that state.
func allIn(n int, state fleet.State) func([]fleet.Worker) bool {
	return func(all []fleet.Worker) bool {
		for i := range all {
			if all[i].State != state || all[i].Report == nil {
				return false
			}
		}
		return len(all) == n
	}
}
