package worker

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/queuemill/queuemill/internal/reason"
)

// Metrics are a worker's, of which a process has one.
type Metrics struct {
	registerer prometheus.Registerer // nil: they measure into nothing

	received, receiveErrors, lost, unconfirmed, unrejected prometheus.Counter
	results                                                map[Kind]prometheus.Counter
	invalid                                                map[reason.Reason]prometheus.Counter
	service, waiting                                       prometheus.Histogram
}

// NewMetrics registers the metrics, and panics where one of the same name is
// registered already. nil: nowhere.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	const namespace, subsystem = "queuemill", "worker"
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Namespace: namespace, Subsystem: subsystem, Name: name, Help: help})
	}
	histogram := func(name, help string) prometheus.Histogram {
		return prometheus.NewHistogram(prometheus.HistogramOpts{
			Namespace: namespace, Subsystem: subsystem, Name: name, Help: help,
			Buckets: []float64{.001, .005, .02, .1, .5, 1, 5, 15, 60, 300, 900, 3600, 4 * 3600, 12 * 3600},
		})
	}
	m := &Metrics{
		registerer:    reg,
		received:      counter("messages_received_total", "Messages received, redeliveries among them."),
		receiveErrors: counter("receive_errors_total", "Receives that the queue did not answer."),
		lost:          counter("messages_lost_total", "Messages that left the hand while they were worked on."),
		unconfirmed:   counter("deletes_unconfirmed_total", "Messages that are done and whose delete the queue did not confirm."),
		unrejected:    counter("rejects_kept_total", "Rejected messages that could not be put into a dead-letter queue and are delivered again."),
		service:       histogram("service_seconds", "Time the work on a message took, whatever way it ended."),
		waiting:       histogram("waiting_seconds", "Time from a message's send to its first receive."),
		results:       map[Kind]prometheus.Counter{},
		invalid:       map[reason.Reason]prometheus.Counter{},
	}
	results := prometheus.NewCounterVec(prometheus.CounterOpts{
		Namespace: namespace, Subsystem: subsystem, Name: "messages_total", Help: "Messages that were worked on, by how that ended.",
	}, []string{"result"})
	for _, k := range Kinds {
		m.results[k] = results.WithLabelValues(string(k))
	}
	invalid := prometheus.NewCounterVec(prometheus.CounterOpts{
		Namespace: namespace, Subsystem: subsystem, Name: "messages_invalid_total", Help: "Messages rejected before they were worked on, by reason.",
	}, []string{"reason"})
	for _, why := range reasons {
		m.invalid[why] = invalid.WithLabelValues(string(why))
	}
	if reg != nil {
		reg.MustRegister(m.received, m.receiveErrors, m.lost, m.unconfirmed, m.unrejected, m.service, m.waiting, results, invalid)
	}
	return m
}

// gauges read the live worker.
type gauges struct{ w *Worker }

var (
	inHandDesc   = prometheus.NewDesc("queuemill_worker_messages_in_hand", "Messages in hand, from their receive until they are settled.", nil, nil)
	workingDesc  = prometheus.NewDesc("queuemill_worker_messages_working", "Messages that are worked on.", nil, nil)
	drainingDesc = prometheus.NewDesc("queuemill_worker_draining", "1 while nothing is received since the worker is told so, or ends.", nil, nil)
	breakerDesc  = prometheus.NewDesc("queuemill_worker_breaker_open", "1 while the breaker holds receiving back.", nil, nil)
)

// Describe is prometheus.Collector's.
func (g gauges) Describe(ch chan<- *prometheus.Desc) {
	ch <- inHandDesc
	ch <- workingDesc
	ch <- drainingDesc
	ch <- breakerDesc
}

// Collect is prometheus.Collector's.
func (g gauges) Collect(ch chan<- prometheus.Metric) {
	g.w.mu.Lock()
	hands, working, draining, open := len(g.w.hands), g.w.working, g.w.draining || g.w.stopping, g.w.breaker.Open
	g.w.mu.Unlock()
	gauge := func(d *prometheus.Desc, v float64) { ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v) }
	gauge(inHandDesc, float64(hands))
	gauge(workingDesc, float64(working))
	gauge(drainingDesc, one(draining))
	gauge(breakerDesc, one(open))
}

func one(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// attach shows w's gauges, detach ends that.
func (m *Metrics) attach(w *Worker) {
	if m.registerer != nil {
		m.registerer.MustRegister(gauges{w})
	}
}

func (m *Metrics) detach(w *Worker) {
	if m.registerer != nil {
		m.registerer.Unregister(gauges{w})
	}
}
