package simulate

import (
	"slices"
	"time"
)

// Result is what a policy did to a load.
type Result struct {
	Waits []time.Duration // of each message, from its arrival to its start, sorted
	Done  int             // messages finished

	Span       time.Duration // from the beginning to the end of what was simulated
	WorkerTime time.Duration // that all workers were there: starting, working, idle, retiring
	Billed     time.Duration // the same, each worker at least a minute, as Fargate charges
	Worked     time.Duration // on messages, all slots together
	Slots      int           // of a worker

	Started    int // workers
	MaxWorkers int // at once, without the retiring
	ScaleOuts  int
	ScaleIns   int
	Changes    []Change

	Points []Point // one per sample

	lastFinish time.Duration
}

// Change is one decision that changed the number of workers.
type Change struct {
	At       time.Duration
	From, To int
	Reason   string
}

// Point is the pool at a sample, after the decision.
type Point struct {
	At                time.Duration
	Waiting, Running  int // messages
	Workers, Retiring int // there are; Workers are those that receive or start
	Desired           int
	Oldest            time.Duration // that the oldest waiting message waits
}

// Wait is the waiting time that a share of all messages did not exceed; 0.5 is the
// median, 1 the longest. No messages: 0.
func (r *Result) Wait(share float64) time.Duration {
	if len(r.Waits) == 0 {
		return 0
	}
	return r.Waits[min(max(int(share*float64(len(r.Waits))+0.999999)-1, 0), len(r.Waits)-1)]
}

// Utilisation is the share of the workers' time that went into messages.
func (r *Result) Utilisation() float64 {
	if r.WorkerTime <= 0 {
		return 0
	}
	return r.Worked.Seconds() / (r.WorkerTime.Seconds() * float64(r.Slots))
}

// meter adds up what is paid for.
type meter struct {
	there, billed, worked time.Duration
}

func (m *meter) advance(s *simulation, d time.Duration) {
	m.there += d * time.Duration(len(s.workers)+s.retiring)
}

func (m *meter) lived(d time.Duration) { m.billed += max(d, time.Minute) }

func (s *simulation) note(desired int) {
	p := Point{
		At: s.now, Waiting: s.waiting.len(), Running: s.running,
		Workers: len(s.workers), Retiring: s.retiring, Desired: desired,
	}
	if p.Waiting > 0 {
		p.Oldest = s.now - s.waiting.at[s.waiting.head]
	}
	s.r.Points = append(s.r.Points, p)
}

func (s *simulation) result() *Result {
	r := s.r
	for _, w := range s.workers {
		s.m.lived(s.now - w.started)
	}
	slices.Sort(r.Waits)
	r.Span, r.Slots = s.now, s.slots
	r.WorkerTime, r.Billed, r.Worked = s.m.there, s.m.billed, s.m.worked
	return &r
}
