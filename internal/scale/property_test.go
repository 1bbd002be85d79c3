package scale

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/queuemill/queuemill/api/v1alpha1"
)

// The properties are tried on a hundred thousand policies and loads in all.
const (
	walks  = 60_000
	rests  = 40_000
	shards = 4
)

func TestAnyLoad(t *testing.T) {
	for shard := range shards {
		t.Run(fmt.Sprint(shard), func(t *testing.T) {
			t.Parallel()
			r := rand.New(rand.NewPCG(1, uint64(shard)))
			for range walks / shards {
				walk(t, r)
				if t.Failed() {
					return
				}
			}
		})
	}
}

// walk takes one pool through a load that nobody would call reasonable, and
// checks every decision against what was decided before.
func walk(t *testing.T, r *rand.Rand) {
	p := randomPolicy(t, r)
	s := State{}
	if r.IntN(2) == 0 { // after a restart
		s = State{Desired: r.IntN(40), Decided: true, LastOut: noon.Add(-minutes(r, 10)), LastIn: noon.Add(-minutes(r, 10))}
	}
	h := history{p: p, desired: s.Desired, lastOut: s.LastOut, lastIn: s.LastIn, known: s.Decided}
	x := Sample{At: noon, Workers: s.Desired}
	for range 8 {
		x = randomSample(r, x)
		next, d := Decide(p, s, x)
		if r.IntN(4) == 0 {
			if again, same := Decide(p, s, x); again != next || same != d {
				t.Fatalf("the same sample decides differently\n%+v\n%+v\n%+v", d, same, describe(p, s, x))
			}
		}
		if wrong := h.check(x, d); wrong != "" {
			t.Fatalf("%s\n%+v\n%s", wrong, d, describe(p, s, x))
		}
		larger := x
		larger.Visible += r.IntN(50)
		larger.InFlight += r.IntN(50)
		if _, more := Decide(p, s, larger); more.Desired < d.Desired {
			t.Fatalf("a larger backlog wants fewer\n%+v\n%+v\nbacklog %d + %d\n%s", d, more, larger.Visible, larger.InFlight, describe(p, s, x))
		}
		s, x.Workers = next, d.Desired
	}
}

// history is what a bystander knows of a pool: the policy, the samples and the
// numbers decided, and nothing of State.
type history struct {
	p               Policy
	known           bool // a number was decided before
	desired         int
	lastOut, lastIn time.Time
	idleSince       time.Time
}

// check says what is wrong with a decision, or nothing.
func (h *history) check(x Sample, d Decision) string {
	p, before := h.p, h.desired
	if !h.known { // it takes over those it finds
		before = max(before, x.Workers)
	}
	busy := clamp(x.Busy, 0, max(x.Workers, 0))
	switch {
	case x.Visible > 0 || x.InFlight > 0 || x.Delayed > 0 || busy > 0:
		h.idleSince = time.Time{}
	case h.idleSince.IsZero():
		h.idleSince = x.At
	}
	from := clamp(before, p.Min, p.Max)
	outTooSoon := !h.lastOut.IsZero() && x.At.Sub(h.lastOut) < p.ScaleOutCooldown
	inTooSoon := !h.lastOut.IsZero() && x.At.Sub(h.lastOut) < p.ScaleInCooldown || !h.lastIn.IsZero() && x.At.Sub(h.lastIn) < p.ScaleInCooldown
	known := h.known
	h.desired, h.known = d.Desired, true
	if d.Desired > from && d.Desired > busy {
		h.lastOut = x.At
	}
	if d.Desired < from {
		h.lastIn = x.At
	}
	switch {
	case d.Desired < p.Min:
		return "fewer than min"
	case d.Desired < busy:
		return "fewer than are busy"
	case d.Desired > max(p.Max, busy):
		return "more than max and than are busy"
	case !slices.Contains(Codes(), d.Code):
		return "a code that is not in the set"
	case d.Reason == "":
		return "no reason"
	case !d.NextChange.IsZero() && !d.NextChange.After(x.At):
		return "the next change is past"
	case !known:
		return ""
	case !d.NextChange.IsZero() && d.Desired != from && d.Desired != busy:
		return "it moved and says it is held"
	case d.Desired < from && inTooSoon:
		return "scaled in during the cooldown"
	case d.Desired < from && p.MaxScaleIn > 0 && from-d.Desired > p.MaxScaleIn:
		return "more leave than may at a time"
	case d.Desired > from && d.Desired > busy && from > 0 && outTooSoon:
		return "scaled out during the cooldown"
	case d.Desired == 0 && from > 0 && p.IdleAfter != nil && (h.idleSince.IsZero() || x.At.Sub(h.idleSince) < *p.IdleAfter):
		return "to zero without having been idle"
	}
	return ""
}

// A load that does not change comes to rest: the number goes one way, and then
// stays.
func TestConstantLoadComesToRest(t *testing.T) {
	for shard := range shards {
		t.Run(fmt.Sprint(shard), func(t *testing.T) {
			t.Parallel()
			r := rand.New(rand.NewPCG(2, uint64(shard)))
			for range rests / shards {
				settle(t, r)
				if t.Failed() {
					return
				}
			}
		})
	}
}

func settle(t *testing.T, r *rand.Rand) {
	p := randomPolicy(t, r)
	s := State{Desired: r.IntN(30), Decided: true}
	load := randomSample(r, Sample{At: noon})
	load.Workers, load.Starting = s.Desired, 0
	working, together := load.Busy, int64(max(load.InFlight, load.Busy, 0))
	var went, still int
	for range 400 {
		load.Busy = min(working, load.Workers)
		next, d := Decide(p, s, load)
		way := sign(d.Desired - clamp(s.Desired, p.Min, p.Max))
		if went*way < 0 {
			t.Fatalf("%d after %d: it turns under a constant load\n%+v\n%s", d.Desired, s.Desired, d, describe(p, s, load))
		}
		if way != 0 {
			went, still = way, 0
		} else {
			still++
		}
		if still > 3 && d.NextChange.IsZero() && (p.TargetWait == 0 || still > 10) {
			return
		}
		pause := p.Interval
		if !d.NextChange.IsZero() {
			pause = d.NextChange.Sub(load.At)
		}
		if load.Service > 0 { // what runs together is finished together
			times := int64((pause + load.Service - 1) / load.Service)
			pause = time.Duration(times * int64(load.Service))
			load.Done += times * together
		}
		s = next
		load.At = load.At.Add(pause)
		load.Starting = max(d.Desired-load.Workers, 0) // ready a sample later
		load.Workers = d.Desired
	}
	t.Fatalf("it does not come to rest\n%s", describe(p, s, load))
}

func sign(n int) int { return clamp(n, -1, 1) }

func describe(p Policy, s State, x Sample) string {
	return fmt.Sprintf("policy %+v\nstate %+v\nsample %+v", p, s, x)
}

func minutes(r *rand.Rand, most int) time.Duration {
	return time.Duration(r.Int64N(int64(time.Duration(most) * time.Minute)))
}

// randomPolicy is any policy that a person may write.
func randomPolicy(t *testing.T, r *rand.Rand) Policy {
	spec := v1alpha1.WorkerPoolSpec{MinWorkers: r.IntN(4) * r.IntN(3)}
	spec.MaxWorkers = spec.MinWorkers + 1 + r.IntN(25)
	spec.Worker.Concurrency = 1 + r.IntN(3)*r.IntN(5)
	sc := &spec.Scaling
	switch r.IntN(5) {
	case 0, 1:
		sc.BacklogPerWorker = 1 + r.IntN(20)
	case 2:
		sc.TargetWait = &metav1.Duration{Duration: time.Second + minutes(r, 3)}
	default:
		sc.Steps = randomTable(r)
	}
	sc.ScaleOutCooldown = sometimes(r, 2)
	sc.ScaleInCooldown = sometimes(r, 6)
	sc.MaxScaleIn = r.IntN(2) * r.IntN(5)
	sc.Interval = &metav1.Duration{Duration: 10*time.Millisecond + minutes(r, 1)/10}
	if spec.MinWorkers == 0 {
		sc.IdleAfter = sometimes(r, 10)
	}
	p, err := FromSpec(&spec)
	if err != nil {
		t.Fatalf("%v\n%+v", err, spec)
	}
	return p
}

func sometimes(r *rand.Rand, most int) *metav1.Duration {
	switch r.IntN(3) {
	case 0:
		return nil
	case 1:
		return &metav1.Duration{}
	default:
		return &metav1.Duration{Duration: minutes(r, most)}
	}
}

func randomTable(r *rand.Rand) *v1alpha1.StepScaling {
	kinds := []v1alpha1.AdjustmentType{"", v1alpha1.ExactCapacity, v1alpha1.ChangeInCapacity, v1alpha1.PercentChangeInCapacity}
	table := v1alpha1.StepScaling{AdjustmentType: kinds[r.IntN(len(kinds))], MinAdjustment: r.IntN(4)}
	value, bound := 0, int64(0)
	switch table.AdjustmentType {
	case v1alpha1.ChangeInCapacity:
		value = -r.IntN(6)
	case v1alpha1.PercentChangeInCapacity:
		value = -r.IntN(110)
	}
	if r.IntN(3) == 0 {
		bound = r.Int64N(5)
	}
	for rows := 1 + r.IntN(5); rows > 0; rows-- {
		row := v1alpha1.Step{Adjustment: value}
		if bound > 0 || r.IntN(2) == 0 {
			row.LowerBound = ptr(bound)
		}
		bound += 1 + r.Int64N(40)
		if rows > 1 || r.IntN(3) == 0 {
			row.UpperBound = ptr(bound)
		}
		value += r.IntN(4)
		if table.AdjustmentType == v1alpha1.PercentChangeInCapacity {
			value += r.IntN(60)
		}
		table.Steps = append(table.Steps, row)
	}
	return &table
}

// randomSample is some time after the one before: empty, ordinary, large, or what
// an approximate count may be at its worst.
func randomSample(r *rand.Rand, before Sample) Sample {
	x := Sample{At: before.At.Add(1 + minutes(r, 1+r.IntN(8))), Workers: before.Workers}
	switch r.IntN(6) {
	case 0: // empty
	case 1:
		x.Visible, x.InFlight = -r.IntN(5), -r.IntN(5)
	case 2:
		x.Visible, x.InFlight = r.IntN(1_000_000), r.IntN(100_000)
	default:
		x.Visible, x.InFlight, x.Delayed = r.IntN(150), r.IntN(40), max(r.IntN(20)-10, 0)
	}
	if x.Workers > 0 && r.IntN(3) > 0 {
		x.Busy, x.Starting = r.IntN(x.Workers+1), r.IntN(x.Workers+1)
		x.Silent = r.IntN(x.Busy + 1)
	}
	if r.IntN(10) == 0 { // some died, or were started by hand
		x.Workers = max(x.Workers+r.IntN(7)-3, 0)
	}
	if r.IntN(3) > 0 {
		x.Service = minutes(r, 2)
	}
	x.Done = before.Done + r.Int64N(200)
	return x
}

// Nonsense in every field neither panics nor ends a busy worker nor leaves the
// limits.
func FuzzDecide(f *testing.F) {
	f.Add(uint64(1), 0, 0, 0, 0, 0, 0, int64(0), int64(0), int64(0), 0, math.NaN())
	f.Add(uint64(2), math.MaxInt, math.MaxInt, math.MaxInt, math.MaxInt, math.MaxInt, math.MaxInt, int64(math.MaxInt64), int64(math.MinInt64), int64(math.MaxInt64), math.MaxInt, math.Inf(1))
	f.Add(uint64(3), math.MinInt, math.MinInt, math.MinInt, math.MinInt, math.MinInt, math.MinInt, int64(math.MinInt64), int64(math.MaxInt64), int64(math.MinInt64), math.MinInt, -1.0)
	f.Fuzz(func(t *testing.T, seed uint64, visible, inFlight, delayed, workers, starting, busy int, service, done, at int64, desired int, rate float64) {
		p := randomPolicy(t, rand.New(rand.NewPCG(seed, 0)))
		s := State{Desired: desired, Decided: seed%2 == 0, LastOut: time.Unix(at/2, 0), IdleSince: time.Unix(at/3, 0)}
		s.Arrivals = Arrivals{Rate: rate, At: time.Unix(at/5, at), Total: done, Done: -done}
		x := Sample{
			At: time.Unix(at, 0), Visible: visible, InFlight: inFlight, Delayed: delayed, Workers: workers, Starting: starting, Busy: busy,
			Service: time.Duration(service), Done: done,
		}
		for range 3 {
			var d Decision
			s, d = Decide(p, s, x)
			busy := clamp(x.Busy, 0, clamp(x.Workers, 0, mostWorkers))
			if d.Desired < max(p.Min, busy) || d.Desired > max(p.Max, busy) || d.Reason == "" || !slices.Contains(Codes(), d.Code) {
				t.Fatalf("%+v\n%s", d, describe(p, s, x))
			}
			if r := s.Arrivals.Rate; math.IsNaN(r) || r < 0 || r > float64(mostMessages) {
				t.Fatalf("rate %v\n%s", r, describe(p, s, x))
			}
			x.At = x.At.Add(time.Second)
		}
		if _, d := Decide(Policy{}, s, x); d.Desired < 0 {
			t.Fatalf("no policy at all: %+v", d)
		}
	})
}
