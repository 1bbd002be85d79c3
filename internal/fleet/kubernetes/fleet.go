package kubernetes

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	"github.com/queuemill/queuemill/api/v1alpha1"
	"github.com/queuemill/queuemill/internal/fleet"
	"github.com/queuemill/queuemill/internal/fleet/control"
)

const (
	// askTimeout is how long a worker has to answer; askParallel how many are
	// asked side by side.
	askTimeout  = 1500 * time.Millisecond
	askParallel = 64
	// startParallel is how many pods are created side by side.
	startParallel = 8
	// listPage is how many pods one answer of the API server holds.
	listPage = 500
)

// Options say whose workers they are.
type Options struct {
	Client   kubernetes.Interface
	Pool     *v1alpha1.WorkerPool // namespace, name and UID: the owner of all pods
	Image    string               // ours, whose binary works in the pods
	QueueURL string
	Logger   *slog.Logger
}

// Fleet is the pods of one pool.
type Fleet struct {
	client   kubernetes.Interface
	pool     *v1alpha1.WorkerPool
	image    string
	queueURL string
	log      *slog.Logger

	mu    sync.Mutex
	known string // token
}

var _ fleet.Fleet = (*Fleet)(nil)

// Open asks nothing yet.
func Open(o Options) *Fleet {
	log := o.Logger
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Fleet{client: o.Client, pool: o.Pool, image: o.Image, queueURL: o.QueueURL, log: log}
}

// List implements fleet.Fleet: one list of labelled pods that this pool controls,
// read from the API server itself, and a question to each that may work.
func (f *Fleet) List(ctx context.Context) ([]fleet.Worker, error) {
	pods, err := f.pods(ctx)
	if err != nil {
		return nil, err
	}
	workers := make([]fleet.Worker, len(pods))
	token := ""
	if len(pods) > 0 {
		if token, err = f.token(ctx); err != nil {
			return nil, err
		}
	}
	var g errgroup.Group
	g.SetLimit(askParallel)
	for i := range pods {
		workers[i] = workerOf(&pods[i])
		if !asked(&pods[i]) {
			continue
		}
		g.Go(func() error {
			ctx, cancel := context.WithTimeout(ctx, askTimeout)
			defer cancel()
			report, err := clientOf(&pods[i], token).Report(ctx)
			answered(&workers[i], ready(&pods[i]), report, err)
			return nil
		})
	}
	_ = g.Wait() // gives no errors
	return workers, nil
}

// pods are those of the pool that have not ended.
func (f *Fleet) pods(ctx context.Context) ([]corev1.Pod, error) {
	var all []corev1.Pod
	o := metav1.ListOptions{LabelSelector: LabelPool + "=" + f.pool.Name, Limit: listPage}
	for {
		page, err := f.client.CoreV1().Pods(f.pool.Namespace).List(ctx, o)
		if err != nil {
			return nil, fmt.Errorf("list the pods of %s/%s: %w", f.pool.Namespace, f.pool.Name, err)
		}
		for i := range page.Items {
			switch p := &page.Items[i]; {
			case !metav1.IsControlledBy(p, f.pool):
			case over(p):
				f.clear(ctx, p)
			default:
				all = append(all, *p)
			}
		}
		if o.Continue = page.Continue; o.Continue == "" {
			return all, nil
		}
	}
}

// clear removes a pod that has ended, so that evictions do not pile up.
func (f *Fleet) clear(ctx context.Context, pod *corev1.Pod) {
	if pod.DeletionTimestamp != nil {
		return
	}
	f.log.Info("a worker's pod has ended", "pod", pod.Name, "reason", pod.Status.Reason, "message", pod.Status.Message)
	if err := f.Remove(ctx, fleet.Worker{Name: pod.Name, UID: string(pod.UID)}); err != nil && !errors.Is(err, fleet.ErrNotFound) {
		f.log.Warn("a pod that has ended could not be deleted", "pod", pod.Name, "error", err)
	}
}

// Start implements fleet.Fleet.
func (f *Fleet) Start(ctx context.Context, pool *v1alpha1.WorkerPool, n int) error {
	pod, err := Render(f.owned(pool), f.image, f.queueURL)
	if err != nil {
		return err
	}
	if _, err := f.secret(ctx); err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(startParallel)
	for range n {
		g.Go(func() error {
			_, err := f.client.CoreV1().Pods(f.pool.Namespace).Create(ctx, pod.DeepCopy(), metav1.CreateOptions{})
			return refusal(err)
		})
	}
	return g.Wait()
}

// owned is pool with the identity of the pool that this fleet is of.
func (f *Fleet) owned(pool *v1alpha1.WorkerPool) *v1alpha1.WorkerPool {
	p := *pool
	p.Namespace, p.Name, p.UID = f.pool.Namespace, f.pool.Name, f.pool.UID
	return &p
}

// refusal tells a pod that can't be from one that can't be now.
func refusal(err error) error {
	switch {
	case err == nil:
		return nil
	case apierrors.IsInvalid(err), apierrors.IsBadRequest(err):
		return &TemplateError{fmt.Sprintf("spec.kubernetes.template: %v", err)}
	default:
		return fmt.Errorf("create a pod: %w: %w", fleet.ErrUnavailable, err)
	}
}

// Check has the API server judge the pool's pod without making it. nil: it can
// be made. *TemplateError: it can't. Any other error: it can't be told now.
func (f *Fleet) Check(ctx context.Context, pool *v1alpha1.WorkerPool) error {
	pod, err := Render(f.owned(pool), f.image, f.queueURL)
	if err != nil {
		return err
	}
	_, err = f.client.CoreV1().Pods(f.pool.Namespace).Create(ctx, pod, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
	return refusal(err)
}

// Drain implements fleet.Fleet. The pod is looked at first: its address may be
// another's by now.
func (f *Fleet) Drain(ctx context.Context, w fleet.Worker, on bool) (*fleet.Report, error) {
	pod, err := f.client.CoreV1().Pods(f.pool.Namespace).Get(ctx, w.Name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err), err == nil && (string(pod.UID) != w.UID || over(pod)):
		return nil, fleet.ErrNotFound
	case err != nil:
		return nil, fmt.Errorf("look at pod %s: %w", w.Name, err)
	case !asked(pod):
		return nil, fmt.Errorf("pod %s can't be asked yet", w.Name)
	}
	token, err := f.token(ctx)
	if err != nil {
		return nil, err
	}
	term, counted := termOf(pod)
	if !on && counted {
		if term, err = f.nextTerm(ctx, pod, term); err != nil {
			return nil, err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	report, err := clientOf(pod, token).Drain(ctx, on, term)
	switch {
	case err != nil:
		return nil, fmt.Errorf("pod %s: %w", w.Name, err)
	case report.ID != w.UID:
		return nil, fmt.Errorf("pod %s: another worker answers at its address", w.Name)
	}
	return &report, nil
}

// nextTerm writes down that the worker is about to be told to go on. From then on
// nobody who listed the pod before can delete it. Who lists it from now on and
// has the worker stop says so in this term, and the order to go on is overtaken
// if it arrives behind that.
func (f *Fleet) nextTerm(ctx context.Context, pod *corev1.Pod, term int64) (int64, error) {
	path := "/metadata/annotations/" + strings.ReplaceAll(annotationTerm, "/", "~1")
	patch, err := json.Marshal([]map[string]string{
		{"op": "test", "path": "/metadata/uid", "value": string(pod.UID)},
		{"op": "test", "path": path, "value": strconv.FormatInt(term, 10)},
		{"op": "replace", "path": path, "value": strconv.FormatInt(term+1, 10)},
	})
	if err != nil {
		return 0, err
	}
	now, err := f.client.CoreV1().Pods(pod.Namespace).Patch(ctx, pod.Name, types.JSONPatchType, patch, metav1.PatchOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return 0, fleet.ErrNotFound
	case apierrors.IsInvalid(err):
		return 0, fmt.Errorf("pod %s: another controller tells it what to do at this moment: %w", pod.Name, err)
	case err != nil:
		return 0, fmt.Errorf("note that pod %s is told to go on: %w", pod.Name, err)
	case now.DeletionTimestamp != nil:
		return 0, fmt.Errorf("pod %s is being deleted: it is not told to go on", pod.Name)
	}
	return term + 1, nil
}

// Remove implements fleet.Fleet.
func (f *Fleet) Remove(ctx context.Context, w fleet.Worker) error {
	pods, uid := f.client.CoreV1().Pods(f.pool.Namespace), types.UID(w.UID)
	o := metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &uid}}
	if w.Version != "" {
		o.Preconditions.ResourceVersion = &w.Version
	}
	err := pods.Delete(ctx, w.Name, o)
	if apierrors.IsConflict(err) {
		pod, lookErr := pods.Get(ctx, w.Name, metav1.GetOptions{})
		if lookErr == nil && pod.UID == uid && pod.DeletionTimestamp == nil {
			return fmt.Errorf("delete pod %s: %w", w.Name, fleet.ErrChanged)
		}
		if err = lookErr; err == nil {
			return fleet.ErrNotFound // it is another one, or on its way
		}
	}
	switch {
	case err == nil:
		return nil
	case apierrors.IsNotFound(err):
		return fleet.ErrNotFound
	}
	return fmt.Errorf("delete pod %s: %w", w.Name, err)
}

// clientOf asks the worker of a pod.
func clientOf(pod *corev1.Pod, token string) *control.Client {
	address := net.JoinHostPort(pod.Status.PodIP, strconv.Itoa(int(portOf(pod))))
	return control.NewClient(token, control.Dialer(address))
}
