package sqsserver

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics of the endpoint. Labels are closed sets: the actions, the protocols
// and what became of a request.
type metrics struct {
	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec
	inFlight prometheus.Gauge
	open     prometheus.Gauge
	refused  prometheus.Counter

	counters map[counterKey]prometheus.Counter
	timers   map[string]prometheus.Observer
}

type counterKey struct {
	action, result string
	xml            bool
}

// Results of a request.
const (
	resultOK     = "ok"
	resultClient = "client_error"
	resultServer = "server_error"
)

// otherAction is the label of requests that ask for no action there is.
const otherAction = "other"

func newMetrics(reg prometheus.Registerer) *metrics {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "queuemill_sqs_requests_total",
			Help: "Requests answered by the SQS endpoint.",
		}, []string{"action", "protocol", "result"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "queuemill_sqs_request_duration_seconds",
			Help:    "Time from a request's headers to its answer, long polls included.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, 1, 5, 20},
		}, []string{"action"}),
		inFlight: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "queuemill_sqs_requests_in_flight",
			Help: "Requests that are being answered, most of them long polls.",
		}),
		open: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "queuemill_sqs_connections",
			Help: "Connections open to the SQS endpoint.",
		}),
		refused: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "queuemill_sqs_connections_refused_total",
			Help: "Connections closed at once since too many were open.",
		}),
		counters: map[counterKey]prometheus.Counter{},
		timers:   map[string]prometheus.Observer{},
	}
	for _, name := range append(actionNames(), otherAction) {
		m.timers[name] = m.duration.WithLabelValues(name)
		for _, result := range []string{resultOK, resultClient, resultServer} {
			m.counters[counterKey{name, result, false}] = m.requests.WithLabelValues(name, "json", result)
			m.counters[counterKey{name, result, true}] = m.requests.WithLabelValues(name, "query", result)
		}
	}
	if reg != nil {
		reg.MustRegister(m.requests, m.duration, m.inFlight, m.open, m.refused)
	}
	return m
}

func actionNames() []string {
	names := make([]string, 0, len(actions)+1)
	for name := range actions {
		names = append(names, name)
	}
	return names
}

// done counts a call that was answered.
func (m *metrics) done(c *call) {
	m.inFlight.Dec()
	name, result := otherAction, resultOK
	if c.action != nil {
		name = c.name
	}
	switch {
	case c.status >= 500:
		result = resultServer
	case c.status >= 400:
		result = resultClient
	}
	m.counters[counterKey{name, result, c.xml}].Inc()
	m.timers[name].Observe(time.Since(c.began).Seconds())
}
