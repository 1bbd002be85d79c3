package workerpool

import (
	"time"

	"github.com/queuemill/queuemill/api/v1alpha1"
	"github.com/queuemill/queuemill/internal/fleet"
	"github.com/queuemill/queuemill/internal/queue"
	"github.com/queuemill/queuemill/internal/scale"
)

// recentDone is over how many messages the service time is averaged.
const recentDone = 200

// service measures how long a message takes, from the totals that workers tell.
type service struct {
	seen    map[string]fleet.Report // by UID, as last told
	done    int64                   // of all workers since the beginning
	recent  float64                 // messages, and
	seconds float64                 // what they took: the latest count most
}

func (s *service) note(workers []fleet.Worker) {
	now := make(map[string]fleet.Report, len(workers))
	for _, w := range workers {
		last, known := s.seen[w.UID]
		if w.Report == nil {
			if known {
				now[w.UID] = last
			}
			continue
		}
		now[w.UID] = *w.Report
		if done := w.Report.Done - last.Done; done > 0 {
			s.done += done
			s.recent += float64(done)
			s.seconds += max(0, w.Report.ServiceSeconds-last.ServiceSeconds)
		}
	}
	for s.recent > recentDone {
		s.recent, s.seconds = s.recent/2, s.seconds/2
	}
	s.seen = now
}

// mean is 0 as long as nothing was measured.
func (s *service) mean() time.Duration {
	if s.recent == 0 {
		return 0
	}
	return time.Duration(s.seconds / s.recent * float64(time.Second))
}

// sampleOf puts together what Decide looks at. While an edit has old and new
// workers side by side, those that will go are not counted twice.
func sampleOf(at time.Time, depth queue.Depth, workers []fleet.Worker, template string, desired int, s *service) scale.Sample {
	x := scale.Sample{
		At: at, Visible: depth.Visible, InFlight: depth.InFlight, Delayed: depth.Delayed, OldestAge: depth.OldestAge,
		Service: s.mean(), Done: s.done,
	}
	fresh := 0
	for _, w := range workers {
		if w.State != fleet.Starting && w.State != fleet.Ready {
			continue
		}
		x.Workers++
		if w.State == fleet.Starting {
			x.Starting++
		}
		if w.Busy() {
			x.Busy++
			if w.Report == nil {
				x.Silent++
			}
		}
		if w.Template == template {
			fresh++
		}
	}
	if fresh < x.Workers {
		x.Workers = min(x.Workers, max(fresh, desired, x.Busy))
		x.Starting = min(x.Starting, x.Workers)
	}
	return x
}

// countsOf are the workers by state, for people.
func countsOf(workers []fleet.Worker, template string) (c v1alpha1.WorkerCounts) {
	for _, w := range workers {
		switch w.State {
		case fleet.Starting:
			c.Starting++
		case fleet.Ready:
			c.Ready++
		case fleet.Retiring, fleet.Ending:
			c.Retiring++
		}
		if w.Busy() {
			c.Busy++
		}
		if w.Report == nil && (w.State == fleet.Ready || w.State == fleet.Retiring) {
			c.Unknown++
		}
		if w.Template != template && w.State != fleet.Ending {
			c.Outdated++
		}
	}
	return c
}
