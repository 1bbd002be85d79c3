package main

import (
	"context"
	"fmt"
	"os"
	"sync"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	watchtools "k8s.io/client-go/tools/watch"
)

// jobWatch knows when each Job was first seen. All sides of a row are measured
// by it, so what the watch itself takes is in all of them.
type jobWatch struct {
	cancel context.CancelFunc
	ended  chan struct{}

	mu        sync.Mutex
	changed   chan struct{} // closed and replaced at every change
	all       map[string]struct{}
	byName    map[string]time.Time
	byMessage map[string]time.Time
	counts    map[string]int       // seen, by QueueJob
	last      map[string]time.Time // when the latest was seen, by QueueJob
	err       error

	// created, where set, takes the names of the Jobs of one QueueJob.
	created   chan<- string
	createdOf string
}

func watchJobs(client kubernetes.Interface) (*jobWatch, error) {
	ctx, cancel := context.WithCancel(context.Background())
	j := &jobWatch{
		cancel: cancel, ended: make(chan struct{}), changed: make(chan struct{}),
		all: map[string]struct{}{}, byName: map[string]time.Time{}, byMessage: map[string]time.Time{},
		counts: map[string]int{}, last: map[string]time.Time{},
	}
	jobs := client.BatchV1().Jobs(kubeNamespace)
	list, err := jobs.List(ctx, metav1.ListOptions{Limit: 1})
	if err != nil {
		cancel()
		return nil, err
	}
	// Goes on where the API server closes the watch, as it does under load.
	w, err := watchtools.NewRetryWatcherWithContext(ctx, list.ResourceVersion, &cache.ListWatch{
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) { return jobs.Watch(ctx, o) },
	})
	if err != nil {
		cancel()
		return nil, err
	}
	go func() {
		defer close(j.ended)
		defer w.Stop()
		for ev := range w.ResultChan() {
			j.see(ev)
		}
		j.mu.Lock()
		defer j.mu.Unlock()
		j.err = fmt.Errorf("the watch of Jobs has ended")
		close(j.changed)
		j.changed = make(chan struct{})
	}()
	return j, nil
}

func (j *jobWatch) stop() {
	j.cancel()
	<-j.ended
}

func (j *jobWatch) see(ev watch.Event) {
	now := time.Now()
	job, ok := ev.Object.(*batchv1.Job)
	if !ok {
		fmt.Fprintf(os.Stderr, "watch of Jobs: %v\n", ev.Object)
		return
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	switch ev.Type {
	case watch.Added:
		of := job.Labels[queueJobKey]
		j.all[job.Name] = struct{}{}
		j.byName[job.Name], j.byMessage[job.Annotations[messageIDKey]] = now, now
		j.counts[of]++
		j.last[of] = now
		if j.created != nil && of == j.createdOf {
			j.created <- job.Name // has room for all of them
		}
	case watch.Deleted:
		delete(j.all, job.Name)
	default:
		return
	}
	close(j.changed)
	j.changed = make(chan struct{})
}

// await waits until is says so.
func (j *jobWatch) await(ctx context.Context, what string, is func(*jobWatch) bool) error {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for {
		j.mu.Lock()
		yes, changed, err := is(j), j.changed, j.err
		j.mu.Unlock()
		switch {
		case yes:
			return nil
		case err != nil:
			return err
		}
		select {
		case <-changed:
		case <-timer.C:
			return fmt.Errorf("wait until %s: %w", what, errTooLong)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// ofMessage is when the Job of a message was seen.
func (j *jobWatch) ofMessage(ctx context.Context, id string) (at time.Time, err error) {
	err = j.await(ctx, "message "+id+" has its Job", func(j *jobWatch) bool {
		at = j.byMessage[id]
		return !at.IsZero()
	})
	return at, err
}

// named is when the Job of that name was seen.
func (j *jobWatch) named(ctx context.Context, name string) (at time.Time, err error) {
	err = j.await(ctx, "Job "+name+" exists", func(j *jobWatch) bool {
		at = j.byName[name]
		return !at.IsZero()
	})
	return at, err
}

// count waits until n Jobs of a QueueJob were seen and returns when the last was.
func (j *jobWatch) count(ctx context.Context, queueJob string, n int) (at time.Time, err error) {
	err = j.await(ctx, fmt.Sprintf("%s has %d Jobs", queueJob, n), func(j *jobWatch) bool {
		at = j.last[queueJob]
		return j.counts[queueJob] >= n
	})
	return at, err
}

// like is a Job as the controller makes them, to be created by hand: the first
// one of a QueueJob, under another QueueJob's label that nobody runs.
func (k *kube) like(ctx context.Context, queueJob string) (*batchv1.Job, error) {
	list, err := k.client.BatchV1().Jobs(kubeNamespace).List(ctx, metav1.ListOptions{LabelSelector: queueJobKey + "=" + queueJob, Limit: 1})
	if err != nil {
		return nil, err
	}
	if len(list.Items) == 0 {
		return nil, fmt.Errorf("%s has no Job to copy", queueJob)
	}
	from := &list.Items[0]
	to := &batchv1.Job{
		ObjectMeta: metav1.ObjectMeta{Namespace: kubeNamespace, Labels: from.Labels, Annotations: from.Annotations},
		Spec:       from.Spec,
	}
	to.Labels[queueJobKey] = plain
	to.Spec.Selector = nil
	for _, label := range []string{"batch.kubernetes.io/controller-uid", "controller-uid", "batch.kubernetes.io/job-name", "job-name"} {
		delete(to.Spec.Template.Labels, label)
		delete(to.Labels, label)
	}
	return to, nil
}

// plain is the QueueJob's name on Jobs that are created by hand.
const plain = "plain"

// create creates a copy and returns when the call began.
func (k *kube) create(ctx context.Context, like *batchv1.Job, name string) (time.Time, error) {
	job := like.DeepCopy()
	job.Name = name
	job.Annotations[messageIDKey] = name
	for _, labels := range []map[string]string{job.Labels, job.Spec.Template.Labels} {
		for _, own := range []string{"queuemill.dev/record", "queuemill.dev/identity"} { // else all are one record's
			if _, ok := labels[own]; ok {
				labels[own] = name
			}
		}
	}
	began := time.Now()
	_, err := k.client.BatchV1().Jobs(kubeNamespace).Create(ctx, job, metav1.CreateOptions{})
	return began, err
}
