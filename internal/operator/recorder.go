package operator

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"time"
	"unicode/utf8"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	eventsclient "k8s.io/client-go/kubernetes/typed/events/v1"

	"github.com/queuemill/queuemill/api/v1alpha1"
)

const (
	reportingController = "queuemill.dev/controller"

	maxNote       = 1024             // bytes, the API's own limit
	maxRepeat     = 10 * time.Minute // the same note again within it is the same event, counted
	recorderQueue = 256              // events that wait to be written; more are dropped
	writeTimeout  = 10 * time.Second
)

// happening is one event about a QueueJob.
type happening struct {
	about   corev1.ObjectReference
	job     string // the Job it is about as well; empty: none
	warning bool
	reason  string
	action  string
	note    string
}

// recorder writes events in the order they are told, in a goroutine of its own.
// client-go's recorder tells repeated events by their reason alone and would
// keep the first one's note for all; here the same note is counted, and another
// note is another event.
type recorder struct {
	client   eventsclient.EventsV1Interface
	instance string
	log      *slog.Logger
	metrics  *metrics
	queue    chan happening
	last     map[repeatKey]*repeated
}

type repeatKey struct {
	uid    types.UID
	reason string
}

// repeated is the last event of a reason about a QueueJob.
type repeated struct {
	name, note string
	count      int32
	at         time.Time
}

func newRecorder(client eventsclient.EventsV1Interface, instance string, log *slog.Logger, m *metrics) *recorder {
	return &recorder{
		client: client, instance: instance, log: log, metrics: m,
		queue: make(chan happening, recorderQueue), last: map[repeatKey]*repeated{},
	}
}

// reference is how an event names an object of ours.
func reference(kind string, object metav1.Object) corev1.ObjectReference {
	return corev1.ObjectReference{
		APIVersion: v1alpha1.APIVersion, Kind: kind, Namespace: object.GetNamespace(), Name: object.GetName(),
		UID: object.GetUID(), ResourceVersion: object.GetResourceVersion(),
	}
}

// tell notes an event; it does not block.
func (r *recorder) tell(h happening) {
	select {
	case r.queue <- h:
	default:
		r.metrics.events.WithLabelValues(resultDropped).Inc()
	}
}

// run writes events until ctx ends, and then those that wait already.
func (r *recorder) run(ctx context.Context) {
	for {
		select {
		case h := <-r.queue:
			r.write(ctx, h)
		case <-ctx.Done():
			for {
				select {
				case h := <-r.queue:
					r.write(ctx, h)
				default:
					return
				}
			}
		}
	}
}

func (r *recorder) write(ctx context.Context, h happening) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), writeTimeout)
	defer cancel()
	key := repeatKey{h.about.UID, h.reason}
	note := cut(h.note, maxNote)
	now := time.Now()
	var err error
	if old := r.last[key]; old != nil && old.note == note && now.Sub(old.at) < maxRepeat {
		old.count++
		old.at = now
		err = r.repeat(ctx, h.about.Namespace, old)
	} else {
		one := &repeated{name: fmt.Sprintf("%s.%x", h.about.Name, now.UnixNano()), note: note, count: 1, at: now}
		r.last[key] = one
		err = r.create(ctx, h, one)
	}
	r.forget(now)
	switch {
	case err == nil:
		r.metrics.events.WithLabelValues(resultOK).Inc()
	case apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause): // nobody looks there any more
	default:
		r.metrics.events.WithLabelValues(resultError).Inc()
		r.log.Warn("an event could not be written", keyQueueJob, h.about.Name, "reason", h.reason, keyError, err)
	}
}

func (r *recorder) create(ctx context.Context, h happening, one *repeated) error {
	kind := corev1.EventTypeNormal
	if h.warning {
		kind = corev1.EventTypeWarning
	}
	e := &eventsv1.Event{
		ObjectMeta:          metav1.ObjectMeta{Namespace: h.about.Namespace, Name: one.name},
		EventTime:           metav1.NewMicroTime(one.at),
		ReportingController: reportingController, ReportingInstance: r.instance,
		Action: h.action, Reason: h.reason, Type: kind, Note: one.note, Regarding: h.about,
	}
	if h.job != "" {
		e.Related = &corev1.ObjectReference{APIVersion: "batch/v1", Kind: "Job", Namespace: h.about.Namespace, Name: h.job}
	}
	_, err := r.client.Events(h.about.Namespace).Create(ctx, e, metav1.CreateOptions{})
	return err
}

func (r *recorder) repeat(ctx context.Context, namespace string, one *repeated) error {
	patch, err := json.Marshal(map[string]any{"series": eventsv1.EventSeries{Count: one.count, LastObservedTime: metav1.NewMicroTime(one.at)}})
	if err != nil {
		return err
	}
	_, err = r.client.Events(namespace).Patch(ctx, one.name, types.MergePatchType, patch, metav1.PatchOptions{})
	if apierrors.IsNotFound(err) { // the API server keeps events for an hour, or a person removed it
		return nil
	}
	return err
}

// forget keeps the memory of old events from growing.
func (r *recorder) forget(now time.Time) {
	if len(r.last) < recorderQueue {
		return
	}
	for key, one := range r.last {
		if now.Sub(one.at) > maxRepeat {
			delete(r.last, key)
		}
	}
}

// cut shortens text to at most n bytes, at a letter's end.
func cut(text string, n int) string {
	text = strings.ToValidUTF8(text, "\uFFFD")
	if len(text) <= n {
		return text
	}
	const more = "…"
	end := n - len(more)
	for !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end] + more
}
