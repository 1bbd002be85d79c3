package kubernetes

import (
	"context"
	"io"
	"strings"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

const (
	gatherTimeout = 4 * time.Second
	logTimeout    = 2 * time.Second // of which the log may take

	tailLines = 20
	tailBytes = 2 << 10
	// readAtMost bounds what is read of a log whose last lines are long.
	readAtMost = 256 << 10
)

// gather looks into what is left of a Job that fails: its pods, the end of the
// culprit's log, and what was said about it. What can't be read is left out, or
// taken from what was gathered earlier (nil: nothing).
func (l *leader) gather(ctx context.Context, o *object, early *finding) *finding {
	ctx, cancel := context.WithTimeout(ctx, gatherTimeout)
	defer cancel()
	e := l.c.Executor(o.namespace, nil)
	pods, err := e.livePods(ctx, batchv1.ControllerUidLabel+"="+string(o.uid))
	if err != nil || len(pods) == 0 {
		pods = l.t.pods(o.namespace, o.record)(o)
	}
	f := explain(o, pods)
	p := culprit(pods)
	if p == nil && early != nil {
		return early
	}
	subject := o.uid
	if p != nil {
		subject = p.uid
		if !o.confidential {
			f.LogTail = e.tail(ctx, p)
		}
	}
	f.Events = l.warnings.of(ctx, o.namespace, subject)
	if early != nil {
		if f.LogTail == "" {
			f.LogTail = early.LogTail
		}
		if len(f.Events) == 0 {
			f.Events = early.Events
		}
	}
	return f
}

// tail is the end of the output of the container that failed, empty when it
// can't be had.
func (e *Executor) tail(ctx context.Context, p *pod) string {
	ctx, cancel := context.WithTimeout(ctx, logTimeout)
	defer cancel()
	container := p.main
	if p.end != nil {
		container = p.end.container
		if startErrors[p.end.reason] {
			return ""
		}
	}
	lines := int64(tailLines)
	stream, err := e.cluster.client.CoreV1().Pods(p.namespace).GetLogs(p.name, &corev1.PodLogOptions{
		Container: container, TailLines: &lines,
	}).Stream(ctx)
	if err != nil {
		return ""
	}
	defer func() { _ = stream.Close() }()
	out, _ := io.ReadAll(io.LimitReader(stream, readAtMost)) // as far as it came
	return lastOf(string(out))
}

// lastOf is the end of out, whole lines where possible, valid UTF-8 always.
func lastOf(out string) string {
	out = strings.ToValidUTF8(out, "\uFFFD")
	if len(out) <= tailBytes {
		return out
	}
	out = out[len(out)-tailBytes:]
	if i := strings.IndexByte(out, '\n'); i >= 0 && i < len(out)-1 {
		return out[i+1:]
	}
	return strings.ToValidUTF8(out, "")
}

// write notes a finding on its Job, in one patch with what else is to be
// written.
func (l *leader) write(ctx context.Context, o *object, f *finding) error {
	annotations := map[string]any{AnnotationReason: text(f)}
	uid := o.recordUID
	if uid == "" {
		uid = string(o.uid)
	}
	if l.c.acks.has(uid) {
		annotations[AnnotationAcked] = yes
	}
	metadata := annotate(annotations)
	if !f.Stuck {
		metadata["labels"] = map[string]any{LabelState: stateFailed}
	}
	_, err := l.c.Executor(o.namespace, nil).patchJob(ctx, o, metadata)
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return nil // it is gone
	}
	return err
}
