package queuejob

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/queuemill/queuemill/internal/reason"
	"github.com/queuemill/queuemill/internal/record"
)

// Metrics are those of all Runners of a process, labelled by the QueueJob's
// namespace and name. A job's name is never a label. A nil *Metrics measures
// into nothing.
type Metrics struct {
	received      *prometheus.CounterVec
	receiveErrors *prometheus.CounterVec
	created       *prometheus.CounterVec
	finished      *prometheus.CounterVec
	invalid       *prometheus.CounterVec
	duplicates    *prometheus.CounterVec
	leasesLost    *prometheus.CounterVec
	deleteRetries *prometheus.CounterVec
	dispatch      *prometheus.HistogramVec
	waiting       *prometheus.HistogramVec
	running       *prometheus.HistogramVec

	jobs        *prometheus.Desc
	stuck       *prometheus.Desc
	breakerOpen *prometheus.Desc
	condition   *prometheus.Desc
	messages    *prometheus.Desc
	deadLetters *prometheus.Desc
	oldest      *prometheus.Desc

	mu      sync.Mutex
	runners map[*Runner]struct{}
}

// NewMetrics registers the metrics, and panics where one of the same name is
// registered already.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	const namespace, subsystem = "queuemill", "queuejob"
	labels := []string{"namespace", "queuejob"}
	counter := func(name, help string, more ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: namespace, Subsystem: subsystem, Name: name, Help: help,
		}, append(append([]string{}, labels...), more...))
	}
	histogram := func(name, help string, buckets []float64) *prometheus.HistogramVec {
		return prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: namespace, Subsystem: subsystem, Name: name, Help: help, Buckets: buckets,
		}, labels)
	}
	long := []float64{.01, .1, .5, 1, 5, 15, 60, 300, 900, 3600, 4 * 3600, 12 * 3600}
	m := &Metrics{
		received:      counter("messages_received_total", "Messages received, redeliveries among them."),
		receiveErrors: counter("receive_errors_total", "Receives that the queue did not answer."),
		created:       counter("jobs_created_total", "Attempts of jobs created, retries among them."),
		finished:      counter("jobs_finished_total", "Jobs that finished, by state and, when failed, by reason.", "state", "reason"),
		invalid:       counter("messages_invalid_total", "Messages that could not become a job, by reason.", "reason"),
		duplicates:    counter("duplicates_total", "Messages acknowledged since another one with the same key and body has its job."),
		leasesLost:    counter("leases_lost_total", "Messages that left the hand while their job was unfinished."),
		deleteRetries: counter("delete_retries_total", "Deletes that the queue did not confirm and that are repeated."),
		dispatch:      histogram("dispatch_seconds", "Time from a message's receive to its job's creation.", []float64{.001, .0025, .005, .01, .02, .05, .1, .25, .5, 1, 5, 30, 120}),
		waiting:       histogram("waiting_seconds", "Time from a message's send to the start of its job's first attempt.", long),
		running:       histogram("running_seconds", "Time a job's last attempt ran.", long),
		jobs: prometheus.NewDesc("queuemill_queuejob_jobs", "Records of jobs, by state.",
			append(append([]string{}, labels...), "state"), nil),
		stuck: prometheus.NewDesc("queuemill_queuejob_stuck_jobs", "Queued jobs that can't start, by reason.",
			append(append([]string{}, labels...), "reason"), nil),
		breakerOpen: prometheus.NewDesc("queuemill_queuejob_breaker_open", "1 while the breaker holds receiving back.", labels, nil),
		condition: prometheus.NewDesc("queuemill_queuejob_condition", "1 while the condition is True, by its type.",
			append(append([]string{}, labels...), "condition"), nil),
		messages: prometheus.NewDesc("queuemill_queuejob_queue_messages", "Messages in the QueueJob's queue by its own count, by what keeps them there; absent while unknown.",
			append(append([]string{}, labels...), "state"), nil),
		deadLetters: prometheus.NewDesc("queuemill_queuejob_dead_letter_messages", "Messages in the dead-letter queue of the QueueJob's queue; absent without one, or without the right to look.", labels, nil),
		oldest: prometheus.NewDesc("queuemill_queuejob_oldest_message_age_seconds",
			"Age of the oldest waiting message; on SQS an estimate from what is received, while there is a backlog; absent while unknown.", labels, nil),
		runners: map[*Runner]struct{}{},
	}
	reg.MustRegister(m.received, m.receiveErrors, m.created, m.finished, m.invalid, m.duplicates,
		m.leasesLost, m.deleteRetries, m.dispatch, m.waiting, m.running, m)
	return m
}

// Describe is prometheus.Collector's.
func (m *Metrics) Describe(ch chan<- *prometheus.Desc) {
	ch <- m.jobs
	ch <- m.stuck
	ch <- m.breakerOpen
	ch <- m.condition
	ch <- m.messages
	ch <- m.deadLetters
	ch <- m.oldest
}

// Collect reads the gauges off the Runners.
func (m *Metrics) Collect(ch chan<- prometheus.Metric) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for r := range m.runners {
		r.mu.Lock()
		for _, state := range record.States {
			ch <- prometheus.MustNewConstMetric(m.jobs, prometheus.GaugeValue, float64(r.view.counts[state]), r.namespace, r.name, string(state))
		}
		for _, why := range reason.OfStuck {
			ch <- prometheus.MustNewConstMetric(m.stuck, prometheus.GaugeValue, float64(r.view.stuck[why]), r.namespace, r.name, string(why))
		}
		open := 0.
		if r.breaker.Open {
			open = 1
		}
		conditions, depth := r.conditions(), r.depth.at(time.Now())
		r.mu.Unlock()
		gauge := func(desc *prometheus.Desc, v float64, more ...string) {
			ch <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, v, append([]string{r.namespace, r.name}, more...)...)
		}
		gauge(m.breakerOpen, open)
		for i := range conditions {
			is := 0.
			if conditions[i].Status == metav1.ConditionTrue {
				is = 1
			}
			gauge(m.condition, is, conditions[i].Type)
		}
		if depth == nil {
			continue
		}
		gauge(m.messages, float64(depth.Visible), "visible")
		gauge(m.messages, float64(depth.InFlight), "in_flight")
		gauge(m.messages, float64(depth.Delayed), "delayed")
		gauge(m.oldest, depth.OldestAge.Seconds())
		if depth.DeadLetters >= 0 {
			gauge(m.deadLetters, float64(depth.DeadLetters))
		}
	}
}

// instruments are one Runner's, the labels filled in and initialised so that
// rate() works from zero.
type instruments struct {
	of *Metrics

	received, receiveErrors, created, duplicates, leasesLost, deleteRetries prometheus.Counter
	dispatch, waiting, running                                              prometheus.Observer

	succeeded prometheus.Counter
	failed    map[reason.Reason]prometheus.Counter
	invalid   map[reason.Reason]prometheus.Counter
}

func (m *Metrics) instruments(namespace, name string) *instruments {
	if m == nil {
		m = NewMetrics(prometheus.NewRegistry())
	}
	i := &instruments{
		of:            m,
		received:      m.received.WithLabelValues(namespace, name),
		receiveErrors: m.receiveErrors.WithLabelValues(namespace, name),
		created:       m.created.WithLabelValues(namespace, name),
		duplicates:    m.duplicates.WithLabelValues(namespace, name),
		leasesLost:    m.leasesLost.WithLabelValues(namespace, name),
		deleteRetries: m.deleteRetries.WithLabelValues(namespace, name),
		dispatch:      m.dispatch.WithLabelValues(namespace, name),
		waiting:       m.waiting.WithLabelValues(namespace, name),
		running:       m.running.WithLabelValues(namespace, name),
		succeeded:     m.finished.WithLabelValues(namespace, name, string(record.Succeeded), ""),
		failed:        map[reason.Reason]prometheus.Counter{},
		invalid:       map[reason.Reason]prometheus.Counter{},
	}
	for _, why := range reason.OfFailed {
		i.failed[why] = m.finished.WithLabelValues(namespace, name, string(record.Failed), string(why))
	}
	for _, why := range reason.OfInvalid {
		i.invalid[why] = m.invalid.WithLabelValues(namespace, name, string(why))
	}
	return i
}

// attach shows r's gauges, detach ends that and forgets all of r's metrics.
func (i *instruments) attach(r *Runner) {
	i.of.mu.Lock()
	defer i.of.mu.Unlock()
	i.of.runners[r] = struct{}{}
}

func (i *instruments) detach(r *Runner) {
	i.of.mu.Lock()
	defer i.of.mu.Unlock()
	delete(i.of.runners, r)
}

func (i *instruments) finish(state record.State, why reason.Reason) {
	if state == record.Succeeded {
		i.succeeded.Inc()
		return
	}
	if c := i.failed[why]; c != nil {
		c.Inc()
	}
}

func (i *instruments) invalidated(why reason.Reason) {
	if c := i.invalid[why]; c != nil {
		c.Inc()
	}
}
