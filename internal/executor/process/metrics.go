package process

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/queuemill/queuemill/internal/reason"
	"github.com/queuemill/queuemill/internal/record"
)

// metrics of the executor itself; those of jobs by queue are queuejob's.
type metrics struct {
	starts   prometheus.Counter
	ends     *prometheus.CounterVec // by result: "Succeeded" or a reason
	dispatch prometheus.Histogram
	restarts prometheus.Counter
}

// results are the values of the label of ends.
var results = []string{
	string(record.Succeeded), string(reason.NonZeroExit), string(reason.Signal),
	string(reason.DeadlineExceeded), string(reason.StartError), string(reason.Interrupted),
}

func newMetrics(r prometheus.Registerer) *metrics {
	f := promauto.With(r)
	m := &metrics{
		starts: f.NewCounter(prometheus.CounterOpts{
			Name: "queuemill_process_attempts_started_total", Help: "Attempts started as processes.",
		}),
		ends: f.NewCounterVec(prometheus.CounterOpts{
			Name: "queuemill_process_attempts_ended_total", Help: "Attempts that ended, by how.",
		}, []string{"result"}),
		dispatch: f.NewHistogram(prometheus.HistogramOpts{
			Name: "queuemill_process_start_seconds", Help: "Time from the record's creation to the start of its first attempt.",
			Buckets: prometheus.ExponentialBuckets(0.0005, 4, 10),
		}),
		restarts: f.NewCounter(prometheus.CounterOpts{
			Name: "queuemill_process_supervisor_restarts_total", Help: "Supervisors started in place of one that died.",
		}),
	}
	for _, result := range results {
		m.ends.WithLabelValues(result)
	}
	return m
}

func (m *metrics) started(waited time.Duration, attempt int) {
	m.starts.Inc()
	if attempt == 1 {
		m.dispatch.Observe(max(waited, 0).Seconds())
	}
}

func (m *metrics) ended(o *record.Outcome) {
	result := string(record.Succeeded)
	if o.Cause != nil {
		result = string(o.Cause.Reason)
	}
	m.ends.WithLabelValues(result).Inc()
}
