package kubernetes_test

import (
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/queuemill/queuemill/internal/executor/kubernetes"
	"github.com/queuemill/queuemill/internal/record"
)

// patience is how long a test waits for what is to come, on a busy machine too.
const patience = 3 * time.Minute

func (r *rig) patience() <-chan time.Time { return time.After(patience) }

// awaitPod waits for a record's pod.
func (r *rig) awaitPod(name string) *corev1.Pod {
	r.t.Helper()
	w, err := r.client.CoreV1().Pods(r.namespace).Watch(r.t.Context(), metav1.ListOptions{LabelSelector: kubernetes.LabelRecord + "=" + name})
	if err != nil {
		r.t.Fatal(err)
	}
	defer w.Stop()
	select {
	case e := <-w.ResultChan():
		pod, ok := e.Object.(*corev1.Pod)
		if !ok {
			r.t.Fatalf("watch of the pod of %s: %+v", name, e)
		}
		return pod
	case <-r.patience():
		r.t.Fatalf("no pod of %s", name)
	}
	return nil
}

func (r *rig) bind(pod *corev1.Pod) {
	r.t.Helper()
	if err := r.client.CoreV1().Pods(r.namespace).Bind(r.t.Context(), &corev1.Binding{
		ObjectMeta: metav1.ObjectMeta{Name: pod.Name, UID: pod.UID}, Target: corev1.ObjectReference{Kind: "Node", Name: r.kubelet.node},
	}, metav1.CreateOptions{}); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) list(queueJob string) []record.Record {
	r.t.Helper()
	list, err := r.List(r.t.Context(), queueJob)
	if err != nil {
		r.t.Fatal(err)
	}
	return list
}
