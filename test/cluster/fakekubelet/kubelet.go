package fakekubelet

import (
	"context"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
)

// Plan says how a pod runs. The zero value exits 0 at once.
type Plan struct {
	// Hold leaves the pod alone: nobody finds it a node.
	Hold bool
	// Waiting keeps it Pending with this state of all its containers
	// (ImagePullBackOff, CreateContainerConfigError, …).
	Waiting *corev1.ContainerStateWaiting

	// For is how long it runs, after Until (if any) was closed.
	For   time.Duration
	Until <-chan struct{}

	ExitCode   int32
	Reason     string // of the container's end; "": Completed or Error
	Message    string
	Conditions []corev1.PodCondition // at its end: DisruptionTarget, …
}

// Observation is the start or the end of one pod's run.
type Observation struct {
	Pod     *corev1.Pod // as seen last: not to be changed
	Started bool        // false: it ended
	At      time.Time
	// Of an end: the exit code, or -1 when the pod was deleted under it.
	ExitCode int32
}

// Options say which pods run, and how.
type Options struct {
	Config    *rest.Config
	Namespace string // "": all

	// Plan is asked once per pod; nil: all exit 0 at once.
	Plan func(*corev1.Pod) Plan
	// Observe, which may be nil, is told of every start before anybody can see
	// it, and of every end likewise, one call at a time. Of a pod that was
	// deleted it is told before it hears of any later pod.
	Observe func(Observation)
}

// writers bounds the status writes under way.
const writers = 32

// kubelet is the state of one Run.
type kubelet struct {
	o      Options
	client kubernetes.Interface
	ctx    context.Context
	group  sync.WaitGroup
	slots  chan struct{}

	mu   sync.Mutex
	pods map[types.UID]*run
}

// run is one pod that was seen.
type run struct {
	pod     *corev1.Pod
	cancel  context.CancelFunc
	started bool
	ended   bool
}

// Run lets pods run until ctx ends, also over restarts of the API server.
func Run(ctx context.Context, o Options) error {
	config := rest.CopyConfig(o.Config)
	config.QPS = -1
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return fmt.Errorf("stand in for a kubelet: %w", err)
	}
	if o.Plan == nil {
		o.Plan = func(*corev1.Pod) Plan { return Plan{} }
	}
	if o.Observe == nil {
		o.Observe = func(Observation) {}
	}
	k := &kubelet{o: o, client: client, ctx: ctx, slots: make(chan struct{}, writers), pods: map[types.UID]*run{}}
	pods := client.CoreV1().Pods(o.Namespace)
	source := &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			return pods.List(ctx, o)
		},
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			return pods.Watch(ctx, o)
		},
	}
	cache.NewReflectorWithOptions(source, &corev1.Pod{}, (*store)(k), cache.ReflectorOptions{
		Name: "fakekubelet",
		// Not the default of up to a minute: the API server is restarted under it.
		MinWatchTimeout: time.Hour,
	}).RunWithContext(ctx)
	k.group.Wait()
	return nil
}

// see takes in what the watch says of a pod.
func (k *kubelet) see(pod *corev1.Pod) {
	k.mu.Lock()
	defer k.mu.Unlock()
	r := k.pods[pod.UID]
	if pod.DeletionTimestamp != nil {
		// Without a node there is nobody to wait for: it has ended.
		k.gone(pod, r)
		return
	}
	if r != nil || pod.Status.Phase != corev1.PodPending {
		return
	}
	ctx, cancel := context.WithCancel(k.ctx)
	r = &run{pod: pod, cancel: cancel}
	k.pods[pod.UID] = r
	k.group.Go(func() {
		defer cancel()
		k.live(ctx, pod, r)
	})
}

// gone ends the run of a pod that was deleted. k.mu is held.
func (k *kubelet) gone(pod *corev1.Pod, r *run) {
	if r == nil {
		return
	}
	r.cancel()
	was := r.started && !r.ended
	r.ended = true
	if was {
		k.o.Observe(Observation{Pod: pod, At: time.Now(), ExitCode: -1})
	}
}

// live takes a pod through its plan.
func (k *kubelet) live(ctx context.Context, pod *corev1.Pod, r *run) {
	plan := k.o.Plan(pod)
	switch {
	case plan.Hold:
		return
	case plan.Waiting != nil:
		k.write(ctx, pod, pending(pod, plan))
		return
	}
	start := time.Now()
	if !k.mark(r, func() { r.started = true }, Observation{Pod: pod, Started: true, At: start}) {
		return
	}
	// A pod that ends at once is never seen running: that saves a write.
	if plan.For > 0 || plan.Until != nil {
		if !k.write(ctx, pod, running(pod, start)) {
			return
		}
		if !lasted(ctx, plan) {
			return
		}
	}
	end := time.Now()
	if !k.mark(r, func() { r.ended = true }, Observation{Pod: pod, At: end, ExitCode: plan.ExitCode}) {
		return
	}
	k.write(ctx, pod, ended(pod, plan, start, end))
}

// mark tells of a start or an end, unless the pod was deleted before.
func (k *kubelet) mark(r *run, change func(), what Observation) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if r.ended {
		return false
	}
	change()
	k.o.Observe(what)
	return true
}

// lasted waits for the end of a plan; false when the pod is gone before.
func lasted(ctx context.Context, plan Plan) bool {
	if plan.Until != nil {
		select {
		case <-plan.Until:
		case <-ctx.Done():
			return false
		}
	}
	timer := time.NewTimer(plan.For)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// write puts a status, again and again while the API server is away. False: the
// pod is gone, or ctx has ended.
func (k *kubelet) write(ctx context.Context, pod *corev1.Pod, patch []byte) bool {
	select {
	case k.slots <- struct{}{}:
		defer func() { <-k.slots }()
	case <-ctx.Done():
		return false
	}
	again := time.NewTicker(100 * time.Millisecond)
	defer again.Stop()
	for {
		_, err := k.client.CoreV1().Pods(pod.Namespace).Patch(ctx, pod.Name, types.StrategicMergePatchType, patch, metav1.PatchOptions{}, "status")
		if err == nil {
			return true
		}
		if apierrors.IsNotFound(err) || apierrors.IsConflict(err) || apierrors.IsInvalid(err) {
			return false
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return false
		}
	}
}
