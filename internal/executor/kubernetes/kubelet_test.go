package kubernetes_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
)

// kubelet is a node of its own for one namespace of a control plane without
// nodes: it takes every pod, lets it run until it is told how it ends, and
// serves its output to the API server as a kubelet does.
type kubelet struct {
	t         *testing.T
	client    kubernetes.Interface
	namespace string
	node      string
	hold      bool // pods are left without a node; set before the first one
	lingers   bool // pods that are deleted go on until letGo

	mu      sync.Mutex
	changed chan struct{} // closed and replaced at every change
	served  chan string   // names of pods whose output was asked for
	pods    map[types.UID]*testPod
}

type testPod struct {
	pod    *corev1.Pod
	job    string
	output strings.Builder
	ended  bool
}

func startKubelet(t *testing.T, client kubernetes.Interface, namespace string) *kubelet {
	k := &kubelet{
		t: t, client: client, namespace: namespace, node: "node-" + namespace,
		changed: make(chan struct{}), served: make(chan string, 1000), pods: make(map[types.UID]*testPod),
	}
	server := httptest.NewTLSServer(http.HandlerFunc(k.serveLogs))
	t.Cleanup(server.Close)
	host, port, err := net.SplitHostPort(server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	number, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: k.node}, Status: corev1.NodeStatus{
		Addresses:       []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: host}},
		DaemonEndpoints: corev1.NodeDaemonEndpoints{KubeletEndpoint: corev1.DaemonEndpoint{Port: int32(number)}},
	}}
	if _, err := client.CoreV1().Nodes().Create(t.Context(), node, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { k.run(ctx) })
	t.Cleanup(func() {
		cancel()
		wg.Wait()
		_ = client.CoreV1().Nodes().Delete(context.Background(), k.node, metav1.DeleteOptions{})
	})
	return k
}

func (k *kubelet) run(ctx context.Context) {
	for ctx.Err() == nil {
		w, err := k.client.CoreV1().Pods(k.namespace).Watch(ctx, metav1.ListOptions{})
		if err != nil {
			if ctx.Err() == nil {
				k.t.Errorf("kubelet: %v", err)
			}
			return
		}
		for event := range w.ResultChan() {
			if pod, ok := event.Object.(*corev1.Pod); ok {
				k.see(ctx, pod, event.Type == watch.Deleted)
			}
		}
	}
}

func (k *kubelet) see(ctx context.Context, pod *corev1.Pod, gone bool) {
	k.mu.Lock()
	p := k.pods[pod.UID]
	switch {
	case gone:
		if p != nil {
			p.ended = true
		}
		k.wake()
		k.mu.Unlock()
		return
	case p == nil && !k.hold:
		p = &testPod{pod: pod, job: pod.Labels[batchv1.JobNameLabel]}
		k.pods[pod.UID] = p
	default:
		if p != nil {
			p.pod = pod
		}
		hold := k.hold || k.lingers
		k.wake()
		k.mu.Unlock()
		if pod.DeletionTimestamp != nil && !hold {
			k.expect(k.client.CoreV1().Pods(k.namespace).Delete(ctx, pod.Name, *metav1.NewDeleteOptions(0)))
		}
		return
	}
	k.mu.Unlock()
	k.expect(k.client.CoreV1().Pods(k.namespace).Bind(ctx, &corev1.Binding{
		ObjectMeta: metav1.ObjectMeta{Name: pod.Name, UID: pod.UID}, Target: corev1.ObjectReference{Kind: "Node", Name: k.node},
	}, metav1.CreateOptions{}))
	now := metav1.Now()
	k.status(ctx, pod, corev1.PodStatus{
		Phase: corev1.PodRunning, StartTime: &now,
		Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}},
	}, corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: now}})
}

// status writes the status of a pod, all its containers in that state.
func (k *kubelet) status(ctx context.Context, pod *corev1.Pod, status corev1.PodStatus, state corev1.ContainerState) {
	for _, c := range pod.Spec.Containers {
		status.ContainerStatuses = append(status.ContainerStatuses, corev1.ContainerStatus{
			Name: c.Name, Image: c.Image, State: state, Ready: state.Running != nil,
		})
	}
	pod = pod.DeepCopy()
	pod.ResourceVersion, pod.Status = "", status
	_, err := k.client.CoreV1().Pods(k.namespace).UpdateStatus(ctx, pod, metav1.UpdateOptions{})
	k.expect(err)
}

func (k *kubelet) expect(err error) {
	if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) && !strings.Contains(err.Error(), context.Canceled.Error()) {
		k.t.Errorf("kubelet: %v", err)
	}
}

// wake tells of a change; mu is held.
func (k *kubelet) wake() {
	close(k.changed)
	k.changed = make(chan struct{})
}

// pod waits for the running pod of a Job.
func (k *kubelet) pod(job string) *testPod {
	k.t.Helper()
	timeout := time.After(patience)
	for {
		k.mu.Lock()
		for _, p := range k.pods {
			if p.job == job && !p.ended && p.pod.Spec.NodeName != "" {
				k.mu.Unlock()
				return p
			}
		}
		changed := k.changed
		k.mu.Unlock()
		select {
		case <-changed:
		case <-timeout:
			k.t.Fatalf("no pod of Job %s runs", job)
		}
	}
}

// finish ends the running pod of a Job.
func (k *kubelet) finish(job string, code int, output string) {
	k.t.Helper()
	k.end(job, corev1.ContainerStateTerminated{ExitCode: int32(code)}, output)
}

func (k *kubelet) end(job string, t corev1.ContainerStateTerminated, output string, conditions ...corev1.PodCondition) {
	k.t.Helper()
	p := k.pod(job)
	k.mu.Lock()
	p.output.WriteString(output)
	p.ended = true
	pod := p.pod
	k.wake()
	k.mu.Unlock()
	phase := corev1.PodSucceeded
	if t.ExitCode != 0 {
		phase = corev1.PodFailed
	}
	if s := pod.Status.ContainerStatuses; len(s) > 0 && s[0].State.Running != nil {
		t.StartedAt = s[0].State.Running.StartedAt
	}
	t.FinishedAt = metav1.Now()
	status := corev1.PodStatus{Phase: phase, StartTime: pod.Status.StartTime, Conditions: conditions}
	k.status(k.t.Context(), pod, status, corev1.ContainerState{Terminated: &t})
}

// serveLogs is /containerLogs/NAMESPACE/POD/CONTAINER.
func (k *kubelet) serveLogs(w http.ResponseWriter, r *http.Request) {
	at := strings.Split(r.URL.Path, "/")
	if len(at) != 5 || at[1] != "containerLogs" {
		http.NotFound(w, r)
		return
	}
	follow := r.URL.Query().Get("follow") == "true"
	tail, _ := strconv.Atoi(r.URL.Query().Get("tailLines"))
	for sent := 0; ; {
		k.mu.Lock()
		var found *testPod
		for _, p := range k.pods {
			if p.pod.Name == at[3] {
				found = p
			}
		}
		if found == nil {
			k.mu.Unlock()
			http.NotFound(w, r)
			return
		}
		select {
		case k.served <- at[3]:
		default:
		}
		text, ended, changed := found.output.String(), found.ended, k.changed
		k.mu.Unlock()
		if tail > 0 {
			lines := strings.SplitAfter(text, "\n")
			text = strings.Join(lines[max(0, len(lines)-1-tail):], "")
		}
		if len(text) > sent {
			_, _ = io.WriteString(w, text[sent:])
			sent = len(text)
			if f, ok := w.(http.Flusher); ok {
				f.Flush()
			}
		}
		if ended || !follow {
			return
		}
		if sent == 0 {
			w.WriteHeader(http.StatusOK)
			w.(http.Flusher).Flush()
		}
		select {
		case <-changed:
		case <-r.Context().Done():
			return
		}
	}
}

func (k *kubelet) setLingers(lingers bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.lingers = lingers
}

// letGo ends the pods that linger.
func (k *kubelet) letGo(ctx context.Context) {
	k.setLingers(false)
	k.expect(k.client.CoreV1().Pods(k.namespace).DeleteCollection(ctx, *metav1.NewDeleteOptions(0), metav1.ListOptions{}))
}

// say lets the running pod of a Job write.
func (k *kubelet) say(job, output string) {
	k.t.Helper()
	p := k.pod(job)
	k.mu.Lock()
	defer k.mu.Unlock()
	p.output.WriteString(output)
	k.wake()
}
