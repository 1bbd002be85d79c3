package scale

import (
	"fmt"
	"math"
	"time"
)

// look is a sample as Decide reads it: without impossible counts.
type look struct {
	Sample
	visible, running, delayed int64
}

// read takes a sample for what it can be worth. A worker that is busy has a
// message, whatever the queue counts in flight: SQS's counts are approximate and
// late by up to a minute. One that does not answer may have one: it is kept, but
// wants no further workers, else those that are about to answer for the first time
// would be taken for a backlog.
//
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_GetQueueAttributes.html
func read(x Sample) *look {
	x.Workers = clamp(x.Workers, 0, mostWorkers)
	x.Busy = clamp(x.Busy, 0, x.Workers)
	x.Silent = clamp(x.Silent, 0, x.Busy)
	x.Starting = clamp(x.Starting, 0, x.Workers)
	return &look{
		Sample:  x,
		visible: messages(x.Visible),
		running: max(messages(x.InFlight), int64(x.Busy-x.Silent)),
		delayed: messages(x.Delayed),
	}
}

func messages(n int) int64 { return max(min(int64(n), mostMessages), 0) }

func (x *look) backlog() int64 { return x.visible + x.running }

func (x *look) idle() bool { return x.backlog() == 0 && x.delayed == 0 && x.Busy == 0 }

func (x *look) words() string {
	words := fmt.Sprintf("%d waiting + %d running", x.visible, x.running)
	if x.running > messages(x.InFlight) {
		words += fmt.Sprintf(" (the queue counts %d in flight)", messages(x.InFlight))
	}
	return words
}

// Arrivals is how TargetWait knows how much arrives, from one sample to the next.
type Arrivals struct {
	Rate    float64       // messages a second, a moving average; never negative
	Service time.Duration // the last that was measured; 0: none yet
	At      time.Time     // of the sample before; zero: there was none
	Total   int64         // messages visible and in flight then
	Done    int64         // messages finished then
}

// next adds a sample. What arrived since the one before is what has become more
// plus what was finished; a message that is given back counts as arriving again,
// as it is worked on again. The average forgets over four times the target wait,
// twice the service time or thirty samples, whichever is longest: long enough
// that a burst, which stands in the backlog already, is not counted a second time
// as a rate that goes on. It begins, after a restart too, with what is running: by
// Little's law that came in within one service time.
func (a Arrivals) next(p *Policy, x *look) Arrivals {
	n := Arrivals{Rate: a.Rate, Service: a.Service, At: x.At, Total: x.backlog(), Done: x.Done}
	if x.Service > 0 {
		n.Service = x.Service
	}
	if math.IsNaN(n.Rate) || n.Rate < 0 || n.Rate > float64(mostMessages) {
		n.Rate = 0
	}
	if a.Service <= 0 && n.Service > 0 {
		n.Rate = max(n.Rate, float64(x.running)/n.Service.Seconds())
	}
	elapsed := x.At.Sub(a.At).Seconds()
	if a.At.IsZero() || elapsed <= 0 || x.Done < a.Done {
		return n // nothing to compare with, or counting has begun anew
	}
	arrived := float64(x.backlog()-a.Total) + min(float64(x.Done-a.Done), float64(mostMessages))
	window := max(4*p.TargetWait.Seconds(), 2*n.Service.Seconds(), 30*p.Interval.Seconds(), 1e-3)
	weight := -math.Expm1(-elapsed / window)
	n.Rate = min(max(n.Rate+weight*(arrived/elapsed-n.Rate), 0), float64(mostMessages))
	return n
}
