package kubernetes

import (
	"context"
	"fmt"
	"sync"

	"github.com/go-logr/logr"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"

	"github.com/queuemill/queuemill/internal/executor"
)

// trackedKind is one kind of object as a tracker keeps it.
type trackedKind[T any] struct {
	keep    func(any) (T, bool) // what is kept of an API object
	put     func(T)
	drop    func(T)
	replace func(namespace string, list []T)
}

// store takes in what a reflector is told (cache.TransformingStore): nothing of
// an API object is kept but what keep makes of it, not even while a list is put
// together.
type store[T any] struct {
	trackedKind[T]
	namespace string
	synced    func()
}

func (s *store[T]) one(obj any) (T, error) {
	if kept, ok := obj.(T); ok { // Transformer has been at it
		return kept, nil
	}
	kept, ok := s.keep(obj)
	if !ok {
		return kept, fmt.Errorf("watch: got a %T", obj)
	}
	return kept, nil
}

func (s *store[T]) Add(obj any) error { return s.Update(obj) }

func (s *store[T]) Update(obj any) error {
	kept, err := s.one(obj)
	if err == nil {
		s.put(kept)
	}
	return err
}

func (s *store[T]) Delete(obj any) error {
	kept, err := s.one(obj)
	if err == nil {
		s.drop(kept)
	}
	return err
}

func (s *store[T]) Replace(list []any, _ string) error {
	all := make([]T, 0, len(list))
	for _, obj := range list {
		kept, err := s.one(obj)
		if err != nil {
			return err
		}
		all = append(all, kept)
	}
	s.replace(s.namespace, all)
	s.synced()
	return nil
}

func (s *store[T]) Resync() error { return nil }

func (s *store[T]) Transformer() cache.TransformFunc {
	return func(obj any) (any, error) { return s.one(obj) }
}

// follow keeps a tracker up to date until ctx ends: the Jobs and pods of the
// namespaces that selector means.
func (c *Cluster) follow(ctx context.Context, t *tracker, namespaces []string, selector string) {
	jobs := trackedKind[*object]{
		keep: func(obj any) (*object, bool) {
			j, ok := obj.(*batchv1.Job)
			if !ok {
				return nil, false
			}
			return summaryOf(j), true
		},
		put: t.putJob, drop: t.dropJob, replace: t.replaceJobs,
	}
	pods := trackedKind[*pod]{
		keep: func(obj any) (*pod, bool) {
			p, ok := obj.(*corev1.Pod)
			if !ok {
				return nil, false
			}
			return podOf(p), true
		},
		put: t.putPod, drop: t.dropPod, replace: t.replacePods,
	}
	logger := logr.FromSlogHandler(c.log.Handler())
	ctx = logr.NewContext(ctx, logger)
	options := func(name string) cache.ReflectorOptions {
		return cache.ReflectorOptions{Name: "queuemill " + name, Logger: &logger}
	}
	var wg sync.WaitGroup
	for _, ns := range namespaces {
		wg.Go(func() {
			s := &store[*object]{jobs, ns, sync.OnceFunc(t.unsynced.Done)}
			api := c.client.BatchV1().Jobs(ns)
			source := listWatch(selector, func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) { return api.List(ctx, o) }, api.Watch)
			cache.NewReflectorWithOptions(source, &batchv1.Job{}, s, options("jobs")).RunWithContext(ctx)
		})
		wg.Go(func() {
			s := &store[*pod]{pods, ns, sync.OnceFunc(t.unsynced.Done)}
			api := c.client.CoreV1().Pods(ns)
			source := listWatch(selector, func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) { return api.List(ctx, o) }, api.Watch)
			cache.NewReflectorWithOptions(source, &corev1.Pod{}, s, options("pods")).RunWithContext(ctx)
		})
	}
	wg.Wait()
}

func listWatch(
	selector string,
	list func(context.Context, metav1.ListOptions) (runtime.Object, error),
	begin func(context.Context, metav1.ListOptions) (watch.Interface, error),
) *cache.ListWatch {
	return &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			o.LabelSelector = selector
			return list(ctx, o)
		},
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			o.LabelSelector = selector
			return begin(ctx, o)
		},
	}
}

// Watch implements executor.Executor. Where Run does not watch the namespace it
// watches by itself.
func (e *Executor) Watch(ctx context.Context, queueJob string, ready func(), handle func(executor.Event)) error {
	t := e.cluster.trackerOf(e.namespace)
	if t == nil {
		t = newTracker(2)
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		var wg sync.WaitGroup
		wg.Go(func() { e.cluster.follow(ctx, t, []string{e.namespace}, selectorOf(queueJob)) })
		defer wg.Wait()
		defer cancel()
		return e.watchOf(ctx, t, queueJob, ready, handle)
	}
	return e.watchOf(ctx, t, queueJob, ready, handle)
}

func (e *Executor) watchOf(ctx context.Context, t *tracker, queueJob string, ready func(), handle func(executor.Event)) error {
	if err := t.sync(ctx); err != nil {
		return fmt.Errorf("watch jobs of %s: %w", e.namespace, err)
	}
	return t.feed(e.namespace).Watch(ctx, queueJob, ready, handle)
}

// selectorOf selects the Jobs and pods of a QueueJob, of all with "".
func selectorOf(queueJob string) string {
	if queueJob == "" {
		return LabelQueueJob
	}
	return LabelQueueJob + "=" + queueJob
}
