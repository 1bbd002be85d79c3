package kubernetes

import (
	"context"
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// metrics of the talk with the API server.
type metrics struct {
	writes    *prometheus.CounterVec // by resource, verb, result
	conflicts prometheus.Counter
	creates   prometheus.Histogram
}

// What is written, and how it may end.
const (
	resourceJob    = "jobs"
	resourceSecret = "secrets"

	verbCreate = "create"
	verbPatch  = "patch"
	verbDelete = "delete"
)

var results = []string{"ok", "exists", "notfound", "conflict", "throttled", "refused", "error"}

func newMetrics(r prometheus.Registerer) *metrics {
	f := promauto.With(r)
	m := &metrics{
		writes: f.NewCounterVec(prometheus.CounterOpts{
			Name: "queuemill_kubernetes_writes_total", Help: "Writes to the Kubernetes API, by kind of object, verb and result.",
		}, []string{"resource", "verb", "result"}),
		conflicts: f.NewCounter(prometheus.CounterOpts{
			Name: "queuemill_kubernetes_conflicts_total", Help: "Writes that met another one of the same object and were looked at again.",
		}),
		creates: f.NewHistogram(prometheus.HistogramOpts{
			Name: "queuemill_kubernetes_create_seconds", Help: "How long the API server took to create a Job.",
			Buckets: prometheus.ExponentialBuckets(0.001, 2, 14),
		}),
	}
	for _, resource := range []string{resourceJob, resourceSecret} {
		for _, verb := range []string{verbCreate, verbPatch, verbDelete} {
			for _, result := range results {
				m.writes.WithLabelValues(resource, verb, result)
			}
		}
	}
	return m
}

// wrote counts a write that began at the given time.
func (m *metrics) wrote(resource, verb string, began time.Time, err error) {
	result := resultOf(err)
	m.writes.WithLabelValues(resource, verb, result).Inc()
	if result == "conflict" {
		m.conflicts.Inc()
	}
	if resource == resourceJob && verb == verbCreate && err == nil {
		m.creates.Observe(time.Since(began).Seconds())
	}
}

func resultOf(err error) string {
	switch {
	case err == nil:
		return "ok"
	case errors.Is(err, context.Canceled):
		return "error"
	case apierrors.IsAlreadyExists(err):
		return "exists"
	case apierrors.IsNotFound(err):
		return "notfound"
	case apierrors.IsConflict(err):
		return "conflict"
	case apierrors.IsTooManyRequests(err):
		return "throttled"
	case apierrors.IsInvalid(err), apierrors.IsForbidden(err), apierrors.IsBadRequest(err), apierrors.IsRequestEntityTooLargeError(err):
		return "refused"
	}
	return "error"
}
