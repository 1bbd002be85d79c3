package kubernetes

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/queuemill/queuemill/internal/executor"
)

// logPoll is how often a reader that follows looks for the attempt's next pod,
// or its end.
const logPoll = 500 * time.Millisecond

// annotationDefaultContainer is kubectl's.
const annotationDefaultContainer = "kubectl.kubernetes.io/default-container"

// Logs implements executor.Executor: the output of all pods of the attempt that
// are still there, one after the other in the order of their creation. Of a pod
// it is that of the container that kubectl takes, the one its annotation
// kubectl.kubernetes.io/default-container names, else the first; of an init
// container where that one failed. ErrNotFound when the attempt's pods are gone.
func (e *Executor) Logs(ctx context.Context, name string, o executor.LogOptions) (io.ReadCloser, error) {
	found, err := e.look(ctx, name, false)
	if err != nil {
		return nil, err
	}
	var attempt *object
	for _, candidate := range found {
		if !candidate.invalid() && (o.Attempt == 0 || o.Attempt == candidate.number) {
			attempt = candidate
		}
	}
	if attempt == nil {
		return nil, executor.ErrNotFound
	}
	r := &logReader{ctx: ctx, executor: e, job: attempt, follow: o.Follow, seen: map[string]bool{}}
	if o.Follow && attempt.phase == underway {
		return r, nil
	}
	pods, err := r.pods()
	if err != nil {
		return nil, err
	}
	if len(pods) == 0 && attempt.phase != underway {
		return nil, fmt.Errorf("%w: the pods of attempt %d are gone, and their output with them", executor.ErrNotFound, attempt.number)
	}
	return r, nil
}

// logReader reads the output of one attempt's pods.
type logReader struct {
	ctx      context.Context
	executor *Executor
	job      *object
	follow   bool
	seen     map[string]bool // outputs that were read to their end
	current  io.ReadCloser   // nil: between two
}

func (r *logReader) Read(p []byte) (int, error) {
	for {
		if r.current == nil {
			if err := r.next(); err != nil {
				return 0, r.failed(err)
			}
		}
		n, err := r.current.Read(p)
		if errors.Is(err, io.EOF) {
			_ = r.current.Close()
			r.current, err = nil, nil
		}
		if n > 0 || err != nil {
			return n, r.failed(err)
		}
	}
}

// failed is err, or that of the reader's context when it has ended.
func (r *logReader) failed(err error) error {
	if err != nil && r.ctx.Err() != nil {
		return r.ctx.Err()
	}
	return err
}

func (r *logReader) Close() error {
	if r.current == nil {
		return nil
	}
	return r.current.Close()
}

// next opens the next output. io.EOF: there is none, and none will be.
func (r *logReader) next() error {
	for {
		// Looked at first: what it shows as ended has all its pods.
		ended, err := r.ended()
		if err != nil {
			return err
		}
		pods, err := r.pods()
		if err != nil {
			return err
		}
		for i := range pods {
			opened, err := r.open(&pods[i])
			if opened || err != nil {
				return err
			}
		}
		if ended || !r.follow {
			return io.EOF
		}
		timer := time.NewTimer(logPoll)
		select {
		case <-timer.C:
		case <-r.ctx.Done():
			timer.Stop()
			return r.ctx.Err()
		}
	}
}

// ended tells whether no further pod of the attempt will come.
func (r *logReader) ended() (bool, error) {
	j, err := r.executor.cluster.client.BatchV1().Jobs(r.job.namespace).Get(r.ctx, r.job.name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return true, nil
	case err != nil:
		return false, fmt.Errorf("look at job %s: %w", r.job.name, err)
	}
	now := summaryOf(j)
	return now.uid != r.job.uid || now.phase == complete || now.phase == failed, nil
}

func (r *logReader) pods() ([]corev1.Pod, error) {
	list, err := r.executor.cluster.client.CoreV1().Pods(r.job.namespace).List(r.ctx, metav1.ListOptions{
		LabelSelector: batchv1.ControllerUidLabel + "=" + string(r.job.uid),
	})
	if err != nil {
		return nil, fmt.Errorf("list the pods of job %s: %w", r.job.name, err)
	}
	pods := slices.DeleteFunc(list.Items, func(p corev1.Pod) bool { return jobOf(&p) != r.job.uid })
	sortPods(pods)
	return pods, nil
}

// open opens the output of a pod's container unless it was read already or has
// not begun.
func (r *logReader) open(p *corev1.Pod) (bool, error) {
	container, run := outputOf(p)
	if container == "" {
		return false, nil
	}
	key := fmt.Sprintf("%s/%s/%d", p.UID, container, run)
	if r.seen[key] {
		return false, nil
	}
	stream, err := r.executor.cluster.client.CoreV1().Pods(p.Namespace).GetLogs(p.Name, &corev1.PodLogOptions{
		Container: container, Follow: r.follow,
	}).Stream(r.ctx)
	if apierrors.IsNotFound(err) {
		r.seen[key] = true // gone meanwhile
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("read the output of pod %s: %w", p.Name, err)
	}
	r.seen[key], r.current = true, stream
	return true, nil
}

// outputOf is the container of a pod whose output is wanted, empty when it has
// none yet, and which of its runs it is.
func outputOf(p *corev1.Pod) (container string, run int32) {
	for i := range p.Status.InitContainerStatuses {
		s := &p.Status.InitContainerStatuses[i]
		if t := s.State.Terminated; t != nil && t.ExitCode != 0 {
			return s.Name, s.RestartCount
		}
	}
	name := mainContainer(p)
	for i := range p.Status.ContainerStatuses {
		s := &p.Status.ContainerStatuses[i]
		if s.Name != name {
			continue
		}
		if s.State.Running != nil || s.State.Terminated != nil || s.LastTerminationState.Terminated != nil {
			return s.Name, s.RestartCount
		}
	}
	return "", 0
}
