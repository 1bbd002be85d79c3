package workerpool

import (
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/queuemill/queuemill/api/v1alpha1"
	"github.com/queuemill/queuemill/internal/scale"
)

// Metrics are those of all Pools of a process, labelled by the pool's namespace
// and name. A nil *Metrics measures into nothing.
type Metrics struct {
	decisions, events *prometheus.CounterVec

	desired, least, most, workers, backlog, messages, sourceUp *prometheus.Desc

	mu    sync.Mutex
	pools map[*Pool]struct{}
}

// NewMetrics registers the metrics, and panics where one of the same name is
// registered already.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	labels := []string{"namespace", "workerpool"}
	desc := func(name, help string, more ...string) *prometheus.Desc {
		return prometheus.NewDesc("queuemill_pool_"+name, help, append(append([]string{}, labels...), more...), nil)
	}
	m := &Metrics{
		pools: map[*Pool]struct{}{},
		decisions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "queuemill_pool_decisions_total", Help: "Looks at the queue, by why as many workers are wanted as are.",
		}, append(append([]string{}, labels...), "code")),
		events: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "queuemill_pool_events_total", Help: "What happened to pools and their workers, by what it was.",
		}, append(append([]string{}, labels...), "reason")),
		desired:  desc("desired", "Workers that are wanted."),
		least:    desc("min_workers", "minWorkers of the manifest."),
		most:     desc("max_workers", "maxWorkers of the manifest."),
		workers:  desc("workers", "Workers by state; busy ones and those that don't answer are counted in their state too.", "state"),
		backlog:  desc("backlog", "Messages in the queue, visible and in flight, as it last told."),
		messages: desc("queue_messages", "Messages in the pool's queue by its own count, by what keeps them there; absent while unknown.", "state"),
		sourceUp: desc("source_healthy", "1: the queue tells its numbers; 0: it does not."),
	}
	reg.MustRegister(m, m.decisions, m.events)
	return m
}

// Describe is prometheus.Collector's.
func (m *Metrics) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{m.desired, m.least, m.most, m.workers, m.backlog, m.messages, m.sourceUp} {
		ch <- d
	}
}

// Collect is prometheus.Collector's: what pools tell of themselves right now.
func (m *Metrics) Collect(ch chan<- prometheus.Metric) {
	m.mu.Lock()
	pools := make([]*Pool, 0, len(m.pools))
	for p := range m.pools {
		pools = append(pools, p)
	}
	m.mu.Unlock()
	for _, p := range pools {
		p.mu.Lock()
		namespace, name, least, most := p.pool.Namespace, p.pool.Name, p.policy.Min, p.policy.Max
		p.mu.Unlock()
		s := p.Status()
		gauge := func(d *prometheus.Desc, value float64, more ...string) {
			ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, append([]string{namespace, name}, more...)...)
		}
		gauge(m.desired, float64(s.Desired))
		gauge(m.least, float64(least))
		gauge(m.most, float64(most))
		for state, n := range map[string]int{
			"starting": s.Workers.Starting, "ready": s.Workers.Ready, "retiring": s.Workers.Retiring,
			"busy": s.Workers.Busy, "unknown": s.Workers.Unknown, "outdated": s.Workers.Outdated,
		} {
			gauge(m.workers, float64(n), state)
		}
		if s.Queue != nil {
			gauge(m.backlog, float64(s.Queue.Visible+s.Queue.InFlight))
			for state, n := range map[string]int64{"visible": s.Queue.Visible, "in_flight": s.Queue.InFlight, "delayed": s.Queue.Delayed} {
				gauge(m.messages, float64(n), state)
			}
		}
		healthy := 1.0
		if s.Source != nil {
			healthy = 0
		}
		gauge(m.sourceUp, healthy)
	}
}

func (m *Metrics) add(p *Pool) {
	if m == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.pools[p] = struct{}{}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, code := range append(scale.Codes(), codeSuspended) {
		m.decisions.WithLabelValues(p.pool.Namespace, p.pool.Name, string(code))
	}
	for _, reason := range eventReasons {
		m.events.WithLabelValues(p.pool.Namespace, p.pool.Name, string(reason))
	}
}

func (m *Metrics) remove(p *Pool) {
	if m == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.pools, p)
}

func (m *Metrics) decided(pool *v1alpha1.WorkerPool, code scale.Code) {
	if m != nil {
		m.decisions.WithLabelValues(pool.Namespace, pool.Name, string(code)).Inc()
	}
}

func (m *Metrics) happened(pool *v1alpha1.WorkerPool, reason EventReason) {
	if m != nil {
		m.events.WithLabelValues(pool.Namespace, pool.Name, string(reason)).Inc()
	}
}
