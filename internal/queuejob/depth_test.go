package queuejob_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/queuemill/queuemill/api/v1alpha1"
	"github.com/queuemill/queuemill/internal/queue"
	"github.com/queuemill/queuemill/internal/queue/queuetest"
	"github.com/queuemill/queuemill/internal/queuejob"
)

// ageless is a queue that does not tell how old its messages are, as SQS.
type ageless struct{ *queuetest.Fake }

func (q ageless) Depth(ctx context.Context) (queue.Depth, error) {
	d, err := q.Fake.Depth(ctx)
	d.OldestAge = 0
	return d, err
}

func TestStatusTellsWhatTheQueueHolds(t *testing.T) {
	for name, hideAge := range map[string]bool{"the queue tells the age": false, "the age is derived": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, queuetest.Options{MaxReceiveCount: 1}, func(s *v1alpha1.QueueJobSpec) {
					s.Ack, s.MaxActive = v1alpha1.AckOnSuccess, 1
				})
				if hideAge {
					w.via.queue = ageless{w.queue}
				}
				w.start()
				defer w.stop()
				w.pass(time.Hour)
				want := func(visible, inFlight, dead int, least, most time.Duration) {
					t.Helper()
					d := w.runner.Status().Queue
					if d == nil || d.Visible != visible || d.InFlight != inFlight || d.DeadLetters != dead || d.OldestAge < least || d.OldestAge > most {
						t.Errorf("queue %+v, want %d visible, %d in flight, %d dead, %v to %v old", d, visible, inFlight, dead, least, most)
					}
				}
				want(0, 0, 0, 0, 0)
				w.send("a")
				w.pass(10 * time.Minute)
				want(0, 1, 0, 0, 0)
				w.send("b", "c")
				w.pass(20 * time.Minute) // no room: they wait
				want(2, 1, 0, 19*time.Minute, 21*time.Minute)
				w.finish(false)
				w.pass(2 * time.Minute) // b is received, c waits, and so does a, given back
				want(2, 1, 0, 21*time.Minute, 33*time.Minute)
				w.finish(true)
				w.pass(time.Minute)
				want(0, 1, 1, 0, 0)

				w.queue.SetHostility(queuetest.Hostility{Unreachable: true})
				w.pass(2 * time.Minute)
				if d := w.runner.Status().Queue; d != nil {
					t.Errorf("queue %+v two minutes after its last answer, want none", d)
				}
			})
		})
	}
}

func TestMetricsForTheAlerts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reg := prometheus.NewPedanticRegistry()
		w := newWorld(t, queuetest.Options{MaxReceiveCount: 1}, func(s *v1alpha1.QueueJobSpec) {
			one := 1
			s.MaxActive, s.FailedJobsHistoryLimit = 1, &one
		})
		w.metrics = queuejob.NewMetrics(reg)
		w.start()
		defer w.stop()
		w.send("a", "b")
		w.finish(false)
		w.pass(30 * time.Second)
		want := `
# HELP queuemill_queuejob_condition 1 while the condition is True, by its type.
# TYPE queuemill_queuejob_condition gauge
queuemill_queuejob_condition{condition="BreakerOpen",namespace="",queuejob="ping"} 0
queuemill_queuejob_condition{condition="Ready",namespace="",queuejob="ping"} 0
queuemill_queuejob_condition{condition="RecordsFull",namespace="",queuejob="ping"} 1
queuemill_queuejob_condition{condition="SourceHealthy",namespace="",queuejob="ping"} 1
queuemill_queuejob_condition{condition="Suspended",namespace="",queuejob="ping"} 0
# HELP queuemill_queuejob_dead_letter_messages Messages in the dead-letter queue of the QueueJob's queue; absent without one, or without the right to look.
# TYPE queuemill_queuejob_dead_letter_messages gauge
queuemill_queuejob_dead_letter_messages{namespace="",queuejob="ping"} 0
# HELP queuemill_queuejob_oldest_message_age_seconds Age of the oldest waiting message; on SQS an estimate from what is received, while there is a backlog; absent while unknown.
# TYPE queuemill_queuejob_oldest_message_age_seconds gauge
queuemill_queuejob_oldest_message_age_seconds{namespace="",queuejob="ping"} 30
# HELP queuemill_queuejob_queue_messages Messages in the QueueJob's queue by its own count, by what keeps them there; absent while unknown.
# TYPE queuemill_queuejob_queue_messages gauge
queuemill_queuejob_queue_messages{namespace="",queuejob="ping",state="delayed"} 0
queuemill_queuejob_queue_messages{namespace="",queuejob="ping",state="in_flight"} 0
queuemill_queuejob_queue_messages{namespace="",queuejob="ping",state="visible"} 1
`
		if err := testutil.GatherAndCompare(reg, strings.NewReader(want), "queuemill_queuejob_condition",
			"queuemill_queuejob_dead_letter_messages", "queuemill_queuejob_oldest_message_age_seconds", "queuemill_queuejob_queue_messages"); err != nil {
			t.Error(err)
		}
	})
}
