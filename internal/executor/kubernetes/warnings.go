package kubernetes

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
)

const (
	maxEvents     = 10
	maxEventBytes = 400

	warningsTimeout = 3 * time.Second
)

// warnings are what the cluster says of objects in its events. The API server
// looks through all events of a namespace whichever are asked for, so those who
// ask at the same time share one list.
type warnings struct {
	client kubernetes.Interface

	mu         sync.Mutex
	namespaces map[string]*warningList
}

// warningList is a namespace's latest list.
type warningList struct {
	mu    sync.Mutex // held while it is listed
	began time.Time
	of    map[types.UID][]string
}

// of are the warnings about an object as they are now, the latest last; none
// when they can't be had.
func (w *warnings) of(ctx context.Context, namespace string, uid types.UID) []string {
	asked := time.Now()
	w.mu.Lock()
	l := w.namespaces[namespace]
	if l == nil {
		l = &warningList{}
		if w.namespaces == nil {
			w.namespaces = make(map[string]*warningList)
		}
		w.namespaces[namespace] = l
	}
	w.mu.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.began.After(asked) { // else somebody listed while this one waited
		l.began, l.of = time.Now(), w.list(ctx, namespace)
	}
	return l.of[uid]
}

// forget drops lists that nobody has asked for since then.
func (w *warnings) forget(then time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for namespace, l := range w.namespaces {
		if l.mu.TryLock() {
			if l.began.Before(then) {
				delete(w.namespaces, namespace)
			}
			l.mu.Unlock()
		}
	}
}

func (w *warnings) list(ctx context.Context, namespace string) map[types.UID][]string {
	ctx, cancel := context.WithTimeout(ctx, warningsTimeout)
	defer cancel()
	o := metav1.ListOptions{FieldSelector: "type=" + corev1.EventTypeWarning, Limit: listPage}
	var all []corev1.Event
	for {
		page, err := w.client.CoreV1().Events(namespace).List(ctx, o)
		if err != nil {
			break // what there is will do
		}
		for i := range page.Items {
			if kind := page.Items[i].InvolvedObject.Kind; kind == "Pod" || kind == "Job" {
				all = append(all, page.Items[i])
			}
		}
		if o.Continue = page.Continue; o.Continue == "" {
			break
		}
	}
	slices.SortStableFunc(all, func(a, b corev1.Event) int { return timeOf(&a).Compare(timeOf(&b)) })
	of := make(map[types.UID][]string)
	for i := range all {
		uid := all[i].InvolvedObject.UID
		lines := append(of[uid], lineOf(&all[i]))
		of[uid] = lines[max(0, len(lines)-maxEvents):]
	}
	return of
}

func lineOf(ev *corev1.Event) string {
	line := ev.Reason + ": " + short(ev.Message)
	if len(line) > maxEventBytes {
		line = strings.ToValidUTF8(line[:maxEventBytes], "") + "…"
	}
	if ev.Count > 1 {
		line += fmt.Sprintf(" (%d times)", ev.Count)
	}
	return line
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
