package app

import (
	"github.com/prometheus/client_golang/prometheus"
)

// queueMetrics reads the embedded queues' gauges off the queues themselves.
type queueMetrics struct{ queues *queues }

var (
	messagesDesc = prometheus.NewDesc("queuemill_queue_messages",
		"Messages in an embedded queue, by what keeps them there.", []string{"queue", "state"}, nil)
	oldestDesc = prometheus.NewDesc("queuemill_queue_oldest_message_age_seconds",
		"Age of the oldest visible message of an embedded queue, 0 when there is none.", []string{"queue"}, nil)
)

// Describe is prometheus.Collector's.
func (m queueMetrics) Describe(ch chan<- *prometheus.Desc) {
	ch <- messagesDesc
	ch <- oldestDesc
}

// Collect is prometheus.Collector's.
func (m queueMetrics) Collect(ch chan<- prometheus.Metric) {
	for _, q := range m.queues.broker.Queues("", "") {
		d, name := q.Depth(), m.queues.nameOf(q)
		ch <- prometheus.MustNewConstMetric(messagesDesc, prometheus.GaugeValue, float64(d.Visible), name, "visible")
		ch <- prometheus.MustNewConstMetric(messagesDesc, prometheus.GaugeValue, float64(d.InFlight), name, "in_flight")
		ch <- prometheus.MustNewConstMetric(messagesDesc, prometheus.GaugeValue, float64(d.Delayed), name, "delayed")
		ch <- prometheus.MustNewConstMetric(oldestDesc, prometheus.GaugeValue, d.OldestAge.Seconds(), name)
	}
}
