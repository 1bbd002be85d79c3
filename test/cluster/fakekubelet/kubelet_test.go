package fakekubelet_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/queuemill/queuemill/test/cluster"
	"github.com/queuemill/queuemill/test/cluster/fakekubelet"
	"github.com/queuemill/queuemill/test/mill"
)

func TestMain(m *testing.M) { cluster.Main(m, cluster.Options{}) }

// TestJobsEndAsPlanned: the real Job controller takes what the stand-in writes
// for what a kubelet would.
func TestJobsEndAsPlanned(t *testing.T) {
	c := cluster.Shared(t)
	client, err := kubernetes.NewForConfig(c.Config())
	if err != nil {
		t.Fatal(err)
	}
	namespace := cluster.Namespace(t, c)
	forever := make(chan struct{})
	plans := map[string]fakekubelet.Plan{
		"succeeds": {},
		"fails":    {ExitCode: 3, For: 10 * time.Millisecond},
		"runs":     {Until: forever},
		"waits":    {Waiting: &corev1.ContainerStateWaiting{Reason: "ImagePullBackOff"}},
	}
	var mu sync.Mutex
	var seen []string
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- fakekubelet.Run(ctx, fakekubelet.Options{
			Config: c.Config(), Namespace: namespace,
			Plan: func(pod *corev1.Pod) fakekubelet.Plan { return plans[pod.Labels[batchv1.JobNameLabel]] },
			Observe: func(o fakekubelet.Observation) {
				mu.Lock()
				defer mu.Unlock()
				seen = append(seen, fmt.Sprint(o.Pod.Labels[batchv1.JobNameLabel], " ", o.Started, " ", o.ExitCode))
			},
		})
	}()
	defer func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	for name := range plans {
		makeJob(t, client, namespace, name)
	}
	wait := func(name string, right func(*batchv1.JobStatus) bool) {
		t.Helper()
		var last *batchv1.Job
		err := mill.Poll(t.Context(), time.Minute, func() (bool, error) {
			var err error
			last, err = client.BatchV1().Jobs(namespace).Get(t.Context(), name, metav1.GetOptions{})
			return err == nil && right(&last.Status), err
		})
		if err != nil {
			t.Fatalf("job %s: %v: %+v", name, err, last.Status)
		}
	}
	wait("succeeds", func(s *batchv1.JobStatus) bool { return s.Succeeded == 1 && s.CompletionTime != nil })
	wait("fails", func(s *batchv1.JobStatus) bool { return s.Failed == 1 })
	wait("runs", func(s *batchv1.JobStatus) bool { return s.Ready != nil && *s.Ready == 1 })
	wait("waits", func(s *batchv1.JobStatus) bool { return s.Active == 1 && (s.Ready == nil || *s.Ready == 0) })

	background := metav1.DeletePropagationBackground
	if err := client.BatchV1().Jobs(namespace).Delete(t.Context(), "runs", metav1.DeleteOptions{PropagationPolicy: &background}); err != nil {
		t.Fatal(err)
	}
	want := []string{"succeeds true 0", "succeeds false 0", "fails true 0", "fails false 3", "runs true 0", "runs false -1"}
	err = mill.Poll(t.Context(), time.Minute, func() (bool, error) {
		mu.Lock()
		defer mu.Unlock()
		return len(seen) == len(want), nil
	})
	mu.Lock()
	defer mu.Unlock()
	counts := map[string]int{}
	for _, s := range seen {
		counts[s]++
	}
	for _, s := range want {
		if counts[s] != 1 {
			t.Errorf("%q was observed %d times, want once; %v: %q", s, counts[s], err, seen)
		}
	}
}

func makeJob(t *testing.T, client kubernetes.Interface, namespace, name string) {
	t.Helper()
	var never int32
	job := &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Name: name}}
	job.Spec.BackoffLimit = &never
	job.Spec.Template.Spec = corev1.PodSpec{
		RestartPolicy: corev1.RestartPolicyNever,
		Containers:    []corev1.Container{{Name: "job", Image: "job"}},
	}
	if _, err := client.BatchV1().Jobs(namespace).Create(t.Context(), job, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
}
