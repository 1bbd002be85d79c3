package kubernetes_test

import (
	"errors"
	"strings"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/queuemill/queuemill/api/v1alpha1"
	"github.com/queuemill/queuemill/internal/fleet"
	"github.com/queuemill/queuemill/internal/fleet/kubernetes"
)

// A worker is removed after it agreed, by the UID that agreed.
func TestAWorkerAgreesAndGoes(t *testing.T) {
	r := newRig(t)
	if err := r.fleet.Start(t.Context(), r.pool, 3); err != nil {
		t.Fatal(err)
	}
	all := r.list(r.fleet, "three workers", allIn(3, fleet.Ready))
	first := all[0]
	if first.Template != v1alpha1.WorkerTemplateHash(&r.pool.Spec) || !strings.HasPrefix(first.Name, "thumbnails-") || first.StartedAt.IsZero() || first.Busy() {
		t.Errorf("a worker is %+v", first)
	}

	r.worker(first.UID).take(2)
	report, err := r.fleet.Drain(t.Context(), first, true)
	if err != nil || report.Agreed() || report.InHand != 2 {
		t.Fatalf("a busy worker answers %+v, %v", report, err)
	}
	busy := r.list(r.fleet, "one that retires", func(all []fleet.Worker) bool { return find(all, first.UID).State == fleet.Retiring })
	if w := find(busy, first.UID); !w.Busy() {
		t.Errorf("it is %+v", w)
	}
	if report, err = r.fleet.Drain(t.Context(), first, false); err != nil || report.Draining {
		t.Fatalf("a worker that is wanted again answers %+v, %v", report, err)
	}
	r.worker(first.UID).take(0)
	first = find(r.list(r.fleet, "three workers", allIn(3, fleet.Ready)), first.UID)
	if report, err = r.fleet.Drain(t.Context(), first, true); err != nil || !report.Agreed() {
		t.Fatalf("an idle worker answers %+v, %v", report, err)
	}
	other := first
	other.UID = "another-uid"
	if err := r.fleet.Remove(t.Context(), other); !errors.Is(err, fleet.ErrNotFound) {
		t.Errorf("another UID of the name: %v", err)
	}
	if _, err := r.fleet.Drain(t.Context(), other, true); !errors.Is(err, fleet.ErrNotFound) {
		t.Errorf("another UID of the name was drained: %v", err)
	}
	if err := r.fleet.Remove(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	left := r.list(r.fleet, "two workers", allIn(2, fleet.Ready))
	if find(left, first.UID).Name != "" {
		t.Error("it is there still")
	}
	if err := r.fleet.Remove(t.Context(), first); !errors.Is(err, fleet.ErrNotFound) {
		t.Errorf("removed twice: %v", err)
	}
}

func find(all []fleet.Worker, uid string) fleet.Worker {
	for _, w := range all {
		if w.UID == uid {
			return w
		}
	}
	return fleet.Worker{}
}

// No answer means busy, and so does another worker's.
func TestAWorkerThatDoesNotAnswerIsBusy(t *testing.T) {
	r := newRig(t)
	if err := r.fleet.Start(t.Context(), r.pool, 2); err != nil {
		t.Fatal(err)
	}
	all := r.list(r.fleet, "two workers", allIn(2, fleet.Ready))
	r.worker(all[0].UID).stop()
	stranger := r.worker(all[1].UID)
	stranger.mu.Lock()
	stranger.id = "another worker at the address"
	stranger.mu.Unlock()
	now, err := r.fleet.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range now {
		if w.Report != nil || !w.Busy() || w.State != fleet.Ready {
			t.Errorf("it is %+v", w)
		}
		if report, err := r.fleet.Drain(t.Context(), w, true); err == nil {
			t.Errorf("its drain answers %+v", report)
		}
	}
}

// A pool of the same name that was made anew has nothing to do with the pods and
// the Secret of the earlier one.
func TestAnotherPoolsPodsAreNotTouched(t *testing.T) {
	r := newRig(t)
	if err := r.fleet.Start(t.Context(), r.pool, 1); err != nil {
		t.Fatal(err)
	}
	r.list(r.fleet, "a worker", allIn(1, fleet.Ready))
	anew := r.open(pool(t, r.pool.Namespace, "the-second-pools-uid"))
	if all, err := anew.List(t.Context()); err != nil || len(all) != 0 {
		t.Errorf("it has %+v, %v", all, err)
	}
	if err := anew.Start(t.Context(), r.pool, 1); err == nil || !strings.Contains(err.Error(), "thumbnails-workers is not this WorkerPool's") {
		t.Errorf("it starts with the other's token: %v", err)
	}
	// Controllers that start at the same time agree on the token.
	again := r.open(r.pool)
	r.list(again, "the worker, asked by another controller", allIn(1, fleet.Ready))
}

func TestStartsThatCantBe(t *testing.T) {
	r := newRig(t)
	wrong := *r.pool
	wrong.Spec.Kubernetes = r.pool.Spec.Kubernetes.DeepCopy()
	wrong.Spec.Kubernetes.Template.Raw = []byte(`{"spec":{"containers":[{"name":"Not A Name","image":"x","command":["y"]}]}}`)
	var template *kubernetes.TemplateError
	if err := r.fleet.Check(t.Context(), &wrong); !errors.As(err, &template) {
		t.Errorf("a template that the API server refuses: %v", err)
	}
	if err := r.fleet.Start(t.Context(), &wrong, 1); !errors.As(err, &template) {
		t.Errorf("started: %v", err)
	}
	if err := r.fleet.Check(t.Context(), r.pool); err != nil {
		t.Errorf("a sound template: %v", err)
	}
	if all, err := r.fleet.List(t.Context()); err != nil || len(all) != 0 {
		t.Errorf("a dry run made %+v, %v", all, err)
	}
	none := corev1.ResourceList{corev1.ResourcePods: *resourceZero()}
	if _, err := r.client.CoreV1().ResourceQuotas(r.pool.Namespace).Create(t.Context(), &corev1.ResourceQuota{
		ObjectMeta: metav1.ObjectMeta{Name: "none"}, Spec: corev1.ResourceQuotaSpec{Hard: none},
	}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	r.until("the quota to be in force", func() bool { return r.fleet.Check(t.Context(), r.pool) != nil })
	if err := r.fleet.Start(t.Context(), r.pool, 1); !errors.Is(err, fleet.ErrUnavailable) {
		t.Errorf("under a quota of none: %v", err)
	}
}

// A pod that has ended is nobody's worker, and is cleared away.
func TestAnEvictedPodIsCleared(t *testing.T) {
	r := newRig(t)
	if err := r.fleet.Start(t.Context(), r.pool, 1); err != nil {
		t.Fatal(err)
	}
	w := r.list(r.fleet, "a worker", allIn(1, fleet.Ready))[0]
	if _, err := r.client.CoreV1().Pods(r.pool.Namespace).Patch(t.Context(), w.Name, types.MergePatchType,
		[]byte(`{"status":{"phase":"Failed","reason":"Evicted"}}`), metav1.PatchOptions{}, "status"); err != nil {
		t.Fatal(err)
	}
	r.list(r.fleet, "nobody", allIn(0, fleet.Ready))
	if _, err := r.fleet.Drain(t.Context(), w, true); !errors.Is(err, fleet.ErrNotFound) {
		t.Errorf("it was drained: %v", err)
	}
}

// A worker that can't start says why, and whoever waits is told of changes.
func TestAPodThatCantStartSaysWhy(t *testing.T) {
	r := newRig(t)
	r.mu.Lock()
	r.hold = true
	r.mu.Unlock()
	changed := make(chan struct{}, 1)
	var wg sync.WaitGroup
	ctx := t.Context()
	wg.Go(func() {
		if err := r.fleet.Watch(ctx, func() {
			select {
			case changed <- struct{}{}:
			default:
			}
		}); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(wg.Wait)
	if err := r.fleet.Start(t.Context(), r.pool, 1); err != nil {
		t.Fatal(err)
	}
	<-changed
	w := r.list(r.fleet, "a pod", func(all []fleet.Worker) bool { return len(all) == 1 && all[0].State == fleet.Starting })[0]
	if w.Busy() {
		t.Errorf("it is busy: %+v", w)
	}
	status := `{"status":{"conditions":[{"type":"PodScheduled","status":"False","reason":"Unschedulable","message":"0/3 nodes are available"}]}}`
	if _, err := r.client.CoreV1().Pods(r.pool.Namespace).Patch(t.Context(), w.Name, types.MergePatchType, []byte(status), metav1.PatchOptions{}, "status"); err != nil {
		t.Fatal(err)
	}
	<-changed
	r.list(r.fleet, "why", func(all []fleet.Worker) bool { return strings.Contains(all[0].Trouble, "0/3 nodes are available") })
}

// An order to go on counts in its term: one that is still on its way when another
// controller, which knows of it, has the worker stop, does not arrive.
func TestAnOrderToGoOnIsOvertakenByAStop(t *testing.T) {
	r := newRig(t)
	if err := r.fleet.Start(t.Context(), r.pool, 1); err != nil {
		t.Fatal(err)
	}
	w := r.list(r.fleet, "a worker", allIn(1, fleet.Ready))[0]
	if report, err := r.fleet.Drain(t.Context(), w, true); err != nil || !report.Agreed() {
		t.Fatalf("%+v, %v", report, err)
	}
	if report := r.worker(w.UID).Drain(false, 1); !report.Draining {
		t.Errorf("an order to go on of the term in which it was told to stop: %+v", report)
	}
	if report, err := r.fleet.Drain(t.Context(), w, false); err != nil || report.Draining {
		t.Errorf("a new order to go on: %+v, %v", report, err)
	}
}

// Workers of a version that held nobody back receive from the start, and have no
// terms.
func TestAPodOfAnEarlierVersionIsDrainedAndGoesOn(t *testing.T) {
	r := newRig(t)
	if err := r.fleet.Start(t.Context(), r.pool, 1); err != nil {
		t.Fatal(err)
	}
	w := r.list(r.fleet, "a worker", allIn(1, fleet.Ready))[0]
	if _, err := r.client.CoreV1().Pods(r.pool.Namespace).Patch(t.Context(), w.Name, types.MergePatchType,
		[]byte(`{"metadata":{"annotations":{"queuemill.dev/term":null}}}`), metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	w = r.list(r.fleet, "a worker that is not held", func(all []fleet.Worker) bool { return allIn(1, fleet.Ready)(all) && !all[0].Held })[0]
	for _, on := range []bool{true, false, true} {
		if report, err := r.fleet.Drain(t.Context(), w, on); err != nil || report.Draining != on {
			t.Errorf("drain %v: %+v, %v", on, report, err)
		}
	}
	if err := r.fleet.Remove(t.Context(), w); err != nil {
		t.Error(err)
	}
}

func resourceZero() *resource.Quantity { return resource.NewQuantity(0, resource.DecimalSI) }

// A Secret that somebody deleted comes back with the next worker, and with the
// token that those before it know.
func TestADeletedSecretComesBackAsItWas(t *testing.T) {
	r := newRig(t)
	if err := r.fleet.Start(t.Context(), r.pool, 1); err != nil {
		t.Fatal(err)
	}
	ready := func(n int) func([]fleet.Worker) bool {
		return func(all []fleet.Worker) bool {
			for _, w := range all {
				if w.State != fleet.Ready || w.Report == nil {
					return false
				}
			}
			return len(all) == n
		}
	}
	r.list(r.fleet, "the first worker is ready", ready(1))
	secrets := r.client.CoreV1().Secrets(r.pool.Namespace)
	if err := secrets.Delete(t.Context(), kubernetes.SecretName(r.pool.Name), metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := r.fleet.Start(t.Context(), r.pool, 1); err != nil {
		t.Fatal(err)
	}
	r.list(r.fleet, "both answer", ready(2))
}
