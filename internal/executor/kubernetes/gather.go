package kubernetes

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/types"
)

const (
	gatherTimeout = 4 * time.Second
	logTimeout    = 2 * time.Second // of which the log may take

	tailLines = 20
	tailBytes = 2 << 10
	// readAtMost bounds what is read of a log whose last lines are long.
	readAtMost = 256 << 10

	maxEvents     = 10
	maxEventBytes = 400
)

// gather looks into what is left of a Job that fails: its pods, the end of the
// culprit's log, and what was said about it. What can't be read is left out.
func (l *leader) gather(ctx context.Context, o *object) *finding {
	ctx, cancel := context.WithTimeout(ctx, gatherTimeout)
	defer cancel()
	e := l.c.Executor(o.namespace, nil)
	pods, err := e.livePods(ctx, batchv1.ControllerUidLabel+"="+string(o.uid))
	if err != nil || len(pods) == 0 {
		pods = l.t.pods(o.namespace, o.record)(o)
	}
	f := explain(o, pods)
	p := culprit(pods)
	l.mu.Lock()
	early := l.early[o.uid]
	l.mu.Unlock()
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
	f.Events = e.warnings(ctx, subject)
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

// warnings are what the cluster says of an object, the latest last.
func (e *Executor) warnings(ctx context.Context, uid types.UID) []string {
	list, err := e.cluster.client.CoreV1().Events(e.namespace).List(ctx, metav1.ListOptions{
		FieldSelector: fields.OneTermEqualSelector("involvedObject.uid", string(uid)).String(),
	})
	if err != nil {
		return nil
	}
	slices.SortStableFunc(list.Items, func(a, b corev1.Event) int { return timeOf(&a).Compare(timeOf(&b)) })
	var all []string
	for i := range list.Items {
		ev := &list.Items[i]
		if ev.Type != corev1.EventTypeWarning {
			continue
		}
		line := ev.Reason + ": " + short(ev.Message)
		if len(line) > maxEventBytes {
			line = strings.ToValidUTF8(line[:maxEventBytes], "") + "…"
		}
		if ev.Count > 1 {
			line += fmt.Sprintf(" (%d times)", ev.Count)
		}
		all = append(all, line)
	}
	return all[max(0, len(all)-maxEvents):]
}

func timeOf(ev *corev1.Event) time.Time {
	switch {
	case !ev.LastTimestamp.IsZero():
		return ev.LastTimestamp.Time
	case ev.Series != nil:
		return ev.Series.LastObservedTime.Time
	case !ev.EventTime.IsZero():
		return ev.EventTime.Time
	}
	return ev.CreationTimestamp.Time
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
