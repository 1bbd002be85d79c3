package scale

import (
	"math"
	"testing"
	"time"
)

// arrive runs samples of a second each through the estimate.
func arrive(a Arrivals, seconds int, sample func(second int) Sample) Arrivals {
	p := Policy{TargetWait: 30 * time.Second, Interval: 2 * time.Second}
	for i := range seconds {
		x := sample(i)
		x.At = noon.Add(time.Duration(i) * time.Second)
		a = a.next(&p, read(x))
	}
	return a
}

func wantRate(t *testing.T, a Arrivals, perSecond float64) {
	t.Helper()
	if math.Abs(a.Rate-perSecond) > 0.05*perSecond+1e-9 {
		t.Errorf("%v arrive a second, want %v", a.Rate, perSecond)
	}
}

// What arrives is seen whether it piles up, is worked off, or both.
func TestArrivalsAreWhatBecameMoreAndWhatWasFinished(t *testing.T) {
	for name, sample := range map[string]func(i int) Sample{
		"piles up":       func(i int) Sample { return Sample{Visible: 3 * i} },
		"is worked off":  func(i int) Sample { return Sample{InFlight: 5, Done: int64(3 * i)} },
		"half of each":   func(i int) Sample { return Sample{Visible: 2 * i, Done: int64(i)} },
		"less and less":  func(i int) Sample { return Sample{Visible: 5000 - 2*i, Done: int64(5 * i)} },
		"was there once": func(i int) Sample { return Sample{Visible: 9000, Done: int64(3 * i)} },
	} {
		t.Run(name, func(t *testing.T) { wantRate(t, arrive(Arrivals{}, 600, sample), 3) })
	}
}

func TestArrivalsBeginWithWhatRuns(t *testing.T) {
	a := arrive(Arrivals{}, 1, func(int) Sample { return Sample{InFlight: 40, Service: 20 * time.Second} })
	wantRate(t, a, 2)
}

// Workers that were replaced count from nothing; that is no negative rate.
func TestArrivalsOutliveACountThatBeginsAnew(t *testing.T) {
	a := arrive(Arrivals{}, 600, func(i int) Sample {
		done := 3 * i
		if i >= 599 {
			done = 0
		}
		return Sample{Done: int64(done)}
	})
	wantRate(t, a, 3)
}

// A burst stands in the backlog; as a rate it wants no more slots than it has
// messages, and is forgotten.
func TestABurstIsNotARateThatGoesOn(t *testing.T) {
	burst := func(i int) Sample {
		x := Sample{Service: time.Minute}
		if i > 0 {
			x.Visible = 100
		}
		return x
	}
	if a := arrive(Arrivals{}, 3, burst); a.Rate*60 > 100 {
		t.Errorf("a burst of 100 is taken for %v messages running", a.Rate*60)
	}
	if a := arrive(Arrivals{}, 900, burst); a.Rate*60 > 1 {
		t.Errorf("a quarter of an hour later it is taken for %v messages running", a.Rate*60)
	}
}

// Decide takes the State of a pool that was restarted for what it was.
func TestStateThatWasRestored(t *testing.T) {
	p := with(perWorker(5), func(p *Policy) { p.ScaleOutCooldown, p.IdleAfter = time.Minute, ptr(10*time.Minute) })
	s := State{Desired: 3, Decided: true, LastOut: ago(20 * time.Second), LastIn: ago(time.Hour), IdleSince: ago(2 * time.Minute)}

	s, d := Decide(p, s, Sample{At: noon, Workers: 3})
	if d.Desired != 3 || d.Code != InCooldown || !d.NextChange.Equal(in(280*time.Second)) {
		t.Errorf("%+v: a scale-in waits for the scale-out before the restart", d)
	}
	s, d = Decide(p, s, Sample{At: in(10 * time.Second), Workers: 3})
	if !s.IdleSince.Equal(ago(2 * time.Minute)) {
		t.Errorf("idle since %v: %+v", s.IdleSince, d)
	}
	_, d = Decide(p, s, Sample{At: in(10 * time.Second), Visible: 100, Workers: 3})
	if d.Desired != 3 || d.Code != OutCooldown || !d.NextChange.Equal(in(40*time.Second)) {
		t.Errorf("%+v: a scale-out waits for the one before the restart", d)
	}
}
