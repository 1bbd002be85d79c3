package workerpool

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/queuemill/queuemill/internal/fleet/fleettest"
	"github.com/queuemill/queuemill/internal/queue"
)

// Alerts compare what is wanted with the limits, look at what waits, and count
// events from zero on.
func TestMetricsThatAlertsStandOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		registry := prometheus.NewPedanticRegistry()
		q, f := &backlog{depth: queue.Depth{Visible: 2, InFlight: 1, Delayed: 7}}, fleettest.NewFake()
		p, err := New(manifest(nil), Options{Queue: q, Fleet: f, Metrics: NewMetrics(registry), OnEvent: func(Event) {}})
		if err != nil {
			t.Fatal(err)
		}
		go p.Run(t.Context())
		after(time.Second)
		p.Suspend(true)
		after(5 * time.Second)
		err = testutil.GatherAndCompare(registry, strings.NewReader(`
# HELP queuemill_pool_events_total What happened to pools and their workers, by what it was.
# TYPE queuemill_pool_events_total counter
queuemill_pool_events_total{namespace="",reason="AlsoScaled",workerpool="p"} 0
queuemill_pool_events_total{namespace="",reason="AlsoWritten",workerpool="p"} 0
queuemill_pool_events_total{namespace="",reason="Healthy",workerpool="p"} 0
queuemill_pool_events_total{namespace="",reason="Resumed",workerpool="p"} 0
queuemill_pool_events_total{namespace="",reason="Scaled",workerpool="p"} 2
queuemill_pool_events_total{namespace="",reason="ShortLived",workerpool="p"} 0
queuemill_pool_events_total{namespace="",reason="Silent",workerpool="p"} 0
queuemill_pool_events_total{namespace="",reason="Suspended",workerpool="p"} 1
queuemill_pool_events_total{namespace="",reason="TargetFollowed",workerpool="p"} 0
queuemill_pool_events_total{namespace="",reason="TargetMissing",workerpool="p"} 0
queuemill_pool_events_total{namespace="",reason="Trouble",workerpool="p"} 0
queuemill_pool_events_total{namespace="",reason="Unhealthy",workerpool="p"} 0
# HELP queuemill_pool_max_workers maxWorkers of the manifest.
# TYPE queuemill_pool_max_workers gauge
queuemill_pool_max_workers{namespace="",workerpool="p"} 10
# HELP queuemill_pool_min_workers minWorkers of the manifest.
# TYPE queuemill_pool_min_workers gauge
queuemill_pool_min_workers{namespace="",workerpool="p"} 0
# HELP queuemill_pool_queue_messages Messages in the pool's queue by its own count, by what keeps them there; absent while unknown.
# TYPE queuemill_pool_queue_messages gauge
queuemill_pool_queue_messages{namespace="",state="delayed",workerpool="p"} 7
queuemill_pool_queue_messages{namespace="",state="in_flight",workerpool="p"} 1
queuemill_pool_queue_messages{namespace="",state="visible",workerpool="p"} 2
`), "queuemill_pool_events_total", "queuemill_pool_max_workers", "queuemill_pool_min_workers", "queuemill_pool_queue_messages")
		if err != nil {
			t.Error(err)
		}
	})
}

// A reason that is not in the list would be a series that begins at one.
func TestEveryEventReasonIsCountedFromZero(t *testing.T) {
	text, err := os.ReadFile("event.go")
	if err != nil {
		t.Fatal(err)
	}
	written := 0
	for _, m := range regexp.MustCompile(`EventReason = "(\w+)"`).FindAllSubmatch(text, -1) {
		written++
		if !slices.Contains(eventReasons, EventReason(m[1])) {
			t.Errorf("%s is not in eventReasons", m[1])
		}
	}
	if written == 0 || written != len(eventReasons) {
		t.Errorf("%d reasons are declared, %d listed", written, len(eventReasons))
	}
}
