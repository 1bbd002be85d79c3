package operator

import (
	"github.com/prometheus/client_golang/prometheus"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// metrics are those of one controller process.
type metrics struct {
	leading       prometheus.Gauge
	leaderChanges prometheus.Counter
	running       prometheus.GaugeFunc
	pools         prometheus.GaugeFunc
	statusWrites  *prometheus.CounterVec
	events        *prometheus.CounterVec
	templates     *prometheus.CounterVec
}

// Results of writes, and of checks of templates.
const (
	resultOK       = "ok"
	resultConflict = "conflict"
	resultError    = "error"
	resultDropped  = "dropped"

	resultValid   = "valid"
	resultInvalid = "invalid"
	resultUnknown = "unknown"
)

func newMetrics(reg prometheus.Registerer, running, pools func() float64) *metrics {
	const namespace, subsystem = "queuemill", "controller"
	counter := func(name, help string, results ...string) *prometheus.CounterVec {
		c := prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Subsystem: subsystem, Name: name, Help: help}, []string{"result"})
		for _, r := range results {
			c.WithLabelValues(r)
		}
		return c
	}
	m := &metrics{
		leading: prometheus.NewGauge(prometheus.GaugeOpts{
			Namespace: namespace, Subsystem: subsystem, Name: "leader", Help: "1 while this process leads.",
		}),
		leaderChanges: prometheus.NewCounter(prometheus.CounterOpts{
			Namespace: namespace, Subsystem: subsystem, Name: "leader_changes_total",
			Help: "Leaders seen since the start: the first one, and each failover.",
		}),
		running: prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Namespace: namespace, Subsystem: subsystem, Name: "queuejobs_running", Help: "QueueJobs that this process runs.",
		}, running),
		pools: prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Namespace: namespace, Subsystem: subsystem, Name: "workerpools_running", Help: "WorkerPools that this process runs.",
		}, pools),
		statusWrites: counter("status_writes_total", "Writes of a QueueJob's or WorkerPool's status.", resultOK, resultConflict, resultError),
		events:       counter("events_total", "Events told about QueueJobs and WorkerPools.", resultOK, resultError, resultDropped),
		templates:    counter("template_checks_total", "Dry runs of templates.", resultValid, resultInvalid, resultUnknown),
	}
	if reg != nil {
		reg.MustRegister(m.leading, m.leaderChanges, m.running, m.pools, m.statusWrites, m.events, m.templates)
	}
	return m
}

// checked counts a verdict on a template.
func (m *metrics) checked(v verdict) {
	m.templates.WithLabelValues(map[metav1.ConditionStatus]string{
		metav1.ConditionTrue: resultValid, metav1.ConditionFalse: resultInvalid, metav1.ConditionUnknown: resultUnknown,
	}[v.status]).Inc()
}
