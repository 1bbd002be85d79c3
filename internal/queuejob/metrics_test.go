package queuejob_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/queuemill/queuemill/internal/queue/queuetest"
	"github.com/queuemill/queuemill/internal/queuejob"
	"github.com/queuemill/queuemill/internal/record"
)

func TestMetricsFollowTheJobs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reg := prometheus.NewPedanticRegistry()
		w := newWorld(t, queuetest.Options{}, dedup)
		w.metrics = queuejob.NewMetrics(reg)
		w.start()
		w.send(`{"id":"1"}`, `{"id":"2"}`, `{"id":"2"}`, `{}`)
		w.pass(3 * time.Second)
		w.exec.Finish(w.exec.Names(record.Running)[0], true)
		w.exec.Finish(w.exec.Names(record.Running)[0], false)
		w.send(`{"id":"3"}`)
		synctest.Wait()

		want := `
# HELP queuemill_queuejob_duplicates_total Messages acknowledged since another one with the same key and body has its job.
# TYPE queuemill_queuejob_duplicates_total counter
queuemill_queuejob_duplicates_total{namespace="",queuejob="ping"} 1
# HELP queuemill_queuejob_jobs Records of jobs, by state.
# TYPE queuemill_queuejob_jobs gauge
queuemill_queuejob_jobs{namespace="",queuejob="ping",state="Failed"} 1
queuemill_queuejob_jobs{namespace="",queuejob="ping",state="Invalid"} 1
queuemill_queuejob_jobs{namespace="",queuejob="ping",state="Queued"} 0
queuemill_queuejob_jobs{namespace="",queuejob="ping",state="Running"} 1
queuemill_queuejob_jobs{namespace="",queuejob="ping",state="Succeeded"} 1
# HELP queuemill_queuejob_jobs_created_total Attempts of jobs created, retries among them.
# TYPE queuemill_queuejob_jobs_created_total counter
queuemill_queuejob_jobs_created_total{namespace="",queuejob="ping"} 3
# HELP queuemill_queuejob_messages_received_total Messages received, redeliveries among them.
# TYPE queuemill_queuejob_messages_received_total counter
queuemill_queuejob_messages_received_total{namespace="",queuejob="ping"} 5
# HELP queuemill_queuejob_breaker_open 1 while the breaker holds receiving back.
# TYPE queuemill_queuejob_breaker_open gauge
queuemill_queuejob_breaker_open{namespace="",queuejob="ping"} 0
`
		if err := testutil.GatherAndCompare(reg, strings.NewReader(want),
			"queuemill_queuejob_duplicates_total", "queuemill_queuejob_jobs", "queuemill_queuejob_jobs_created_total",
			"queuemill_queuejob_messages_received_total", "queuemill_queuejob_breaker_open"); err != nil {
			t.Error(err)
		}
		for name, counts := range map[string]map[string]float64{
			"queuemill_queuejob_jobs_finished_total":    {"Succeeded": 1, "NonZeroExit": 1, "Signal": 0, "OOMKilled": 0, "JobFailed": 0},
			"queuemill_queuejob_messages_invalid_total": {"FieldMissing": 1, "NotJSON": 0, "Rejected": 0},
		} {
			for label, n := range counts {
				if got := sample(t, reg, name, label); got != n {
					t.Errorf("%s of %s is %v, want %v", name, label, got, n)
				}
			}
		}
		for name, n := range map[string]uint64{
			"queuemill_queuejob_dispatch_seconds": 3, "queuemill_queuejob_waiting_seconds": 3, "queuemill_queuejob_running_seconds": 2,
		} {
			if got := observations(t, reg, name); got != n {
				t.Errorf("%d observations of %s, want %d", got, name, n)
			}
		}
		if problems, err := testutil.GatherAndLint(reg); err != nil || len(problems) > 0 {
			t.Errorf("lint: %v, %v", problems, err)
		}
		w.stop()
		if n, _ := testutil.GatherAndCount(reg, "queuemill_queuejob_jobs"); n != 0 {
			t.Errorf("%d gauges of a Runner that has ended", n)
		}
	})
}

// sample is the value of the first counter of name with label's value among its labels.
func sample(t *testing.T, g prometheus.Gatherer, name, label string) float64 {
	t.Helper()
	families, err := g.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if l.GetValue() == label {
					return m.GetCounter().GetValue()
				}
			}
		}
	}
	t.Errorf("no %s with %s: labels are to be there from the start", name, label)
	return -1
}

func observations(t *testing.T, g prometheus.Gatherer, name string) uint64 {
	t.Helper()
	families, err := g.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			return f.GetMetric()[0].GetHistogram().GetSampleCount()
		}
	}
	return 0
}
