package scale

import (
	"fmt"
	"math"
	"time"

	"github.com/queuemill/queuemill/api/v1alpha1"
)

// Counts beyond these are nonsense and are read as these.
const (
	mostMessages = int64(1_000_000_000_000)
	mostWorkers  = 1_000_000
)

// wish is what a policy wants of a sample, before cooldowns and limits.
type wish struct {
	workers  int
	words    string // how it comes to that, ending in the number
	starting bool   // it would be more, but for workers that are not ready yet
}

func (p *Policy) wish(current int, rate float64, service time.Duration, x *look) wish {
	switch {
	case p.TargetWait > 0:
		return p.wishForWait(rate, service, x)
	case len(p.Steps) > 0:
		return p.wishOfSteps(current, x)
	default:
		return p.wishPerWorker(x)
	}
}

// wishPerWorker tracks a target: the least number of workers with no more than
// BacklogPerWorker messages each, as AWS's "backlog per instance" has it and as
// KEDA's queueLength with scaleOnInFlight and the HPA's average value round it:
// up. What is in flight counts, since a worker is busy with it.
//
// https://docs.aws.amazon.com/autoscaling/ec2/userguide/as-using-sqs-queue.html
// https://keda.sh/docs/latest/scalers/aws-sqs/
// https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/#algorithm-details
func (p *Policy) wishPerWorker(x *look) wish {
	per := int64(max(p.BacklogPerWorker, 1))
	n := atMost(x.backlog()/per, mostWorkers)
	if x.backlog()%per > 0 {
		n = min(n+1, mostWorkers)
	}
	return wish{workers: n, words: fmt.Sprintf("%s over %d per worker wants %d", x.words(), per, n)}
}

// wishOfSteps reads the table as a step policy of Application Auto Scaling does,
// but on the backlog itself instead of an alarm's breach: lower bounds belong to
// a row, upper bounds don't. A backlog below the first row wants what an empty
// table would, 0 workers or no change; one above the last belongs to the last.
//
// A change is a change of what is there. More are added to the workers that are
// ready, so that those a step has added are part of the next step's result until
// they are ready; that is the rule of AWS's cooldown, for the very time the start
// takes. Fewer are taken from all that are there.
//
// https://docs.aws.amazon.com/autoscaling/application/APIReference/API_StepScalingPolicyConfiguration.html
// https://docs.aws.amazon.com/autoscaling/ec2/userguide/as-scaling-simple-step.html
func (p *Policy) wishOfSteps(current int, x *look) wish {
	adjustment := p.adjustmentFor(x.backlog())
	if p.Adjustment == v1alpha1.ExactCapacity {
		n := clamp(adjustment, 0, mostWorkers)
		return wish{workers: n, words: fmt.Sprintf("%s: the step wants %d", x.words(), n)}
	}
	ready, there := x.Workers-x.Starting, max(x.Workers, current)
	by, unit := adjustment, ""
	base := ready
	if adjustment < 0 {
		base = there
	}
	if p.Adjustment == v1alpha1.PercentChangeInCapacity {
		by, unit = p.percentOf(base, adjustment), " %"
	}
	switch {
	case adjustment > 0:
		n := clamp(base+by, current, mostWorkers)
		return wish{
			workers:  n,
			words:    fmt.Sprintf("%s: the step adds %d%s to %d ready, which wants %d", x.words(), adjustment, unit, ready, n),
			starting: ready < current && current+by > n,
		}
	case adjustment < 0:
		n := clamp(base+by, 0, current)
		return wish{workers: n, words: fmt.Sprintf("%s: the step takes %d%s from %d, which wants %d", x.words(), -adjustment, unit, there, n)}
	default:
		return wish{workers: current, words: fmt.Sprintf("%s: the step wants no change of %d", x.words(), current)}
	}
}

func (p *Policy) adjustmentFor(backlog int64) int {
	if backlog < p.Steps[0].Lower {
		return clamp(p.Steps[0].Adjustment, -mostWorkers, 0)
	}
	found := 0
	for _, row := range p.Steps {
		if backlog < row.Lower {
			break
		}
		found = clamp(row.Adjustment, -mostWorkers, mostWorkers)
	}
	return found
}

// percentOf is a change in per cent as a change in workers: rounded towards zero,
// but at least one, and at least MinAdjustment.
func (p *Policy) percentOf(base, percent int) int {
	magnitude := int64(base) * int64(max(percent, -percent)) / 100
	by := clamp(int(min(magnitude, mostWorkers)), max(p.MinAdjustment, 1), mostWorkers)
	if percent < 0 {
		return -by
	}
	return by
}

// wishForWait sizes the pool in slots, a worker having Concurrency of them. By
// Little's law the arrivals alone keep rate x service slots busy. A message that
// arrives behind what is waiting begins when that is worked off; for that to be
// within TargetWait it takes waiting x service / TargetWait slots more, but never
// more than one for each message there is.
//
// Without a measured service time a message is taken to last as long as it may
// wait: one slot each, so that the promise holds until something is measured.
func (p *Policy) wishForWait(rate float64, service time.Duration, x *look) wish {
	wait, slots := p.TargetWait.Seconds(), float64(max(p.Concurrency, 1))
	if service <= 0 {
		n := ceil(float64(x.backlog()) / slots)
		return wish{workers: n, words: fmt.Sprintf("%s; no service time is measured yet, so each is taken to last %v, which wants %d", x.words(), p.TargetWait, n)}
	}
	arriving := rate * service.Seconds()
	drain := float64(x.visible) * service.Seconds() / wait
	need := max(arriving, min(arriving+drain, float64(x.backlog())))
	n := ceil(need / slots)
	if n == 0 && x.backlog() > 0 {
		n = 1
	}
	words := fmt.Sprintf("%s + %.3g arriving a minute at %v each, to wait %v at most, wants %d",
		x.words(), rate*60, round(service), p.TargetWait, n)
	return wish{workers: n, words: words}
}

// ceil rounds up, but for what a float adds to a whole number.
func ceil(f float64) int {
	if math.IsNaN(f) || f <= 0 {
		return 0
	}
	return int(math.Ceil(min(f, mostWorkers) - 1e-6))
}

// round is for reading: three figures or so.
func round(d time.Duration) time.Duration {
	switch {
	case d >= 10*time.Second:
		return d.Round(time.Second)
	case d >= time.Second:
		return d.Round(100 * time.Millisecond)
	default:
		return d.Round(100 * time.Microsecond)
	}
}

func clamp(n, low, high int) int { return max(min(n, high), low) }

func atMost(n int64, most int) int { return int(min(n, int64(most))) }
