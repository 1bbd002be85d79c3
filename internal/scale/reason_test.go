package scale

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/queuemill/queuemill/api/v1alpha1"
)

var noon = time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)

func ago(d time.Duration) time.Time { return noon.Add(-d) }

func in(d time.Duration) time.Time { return noon.Add(d) }

func ptr[T any](v T) *T { return &v }

// settled is a pool that was decided about long ago.
func settled(workers int) State {
	return State{Desired: workers, Decided: true, LastOut: ago(time.Hour), LastIn: ago(time.Hour)}
}

func perWorker(n int) Policy {
	return Policy{Max: 10, BacklogPerWorker: n, ScaleInCooldown: 5 * time.Minute, Interval: 2 * time.Second}
}

func steps(kind v1alpha1.AdjustmentType, rows ...Step) Policy {
	return Policy{Max: 10, Steps: rows, Adjustment: kind, MinAdjustment: 1, ScaleInCooldown: 5 * time.Minute, Interval: 2 * time.Second}
}

// with is v with a change.
func with[T any](v T, change func(*T)) T {
	change(&v)
	return v
}

// Reasons are read by people in status and events: each says what was counted,
// what that wants and what holds it.
func TestReasons(t *testing.T) {
	changes := steps(v1alpha1.ChangeInCapacity, Step{0, 1, -2}, Step{1, 10, 0}, Step{10, 100, 2}, Step{100, 1000, 4})
	percents := steps(v1alpha1.PercentChangeInCapacity, Step{0, 10, -30}, Step{10, 20, 10}, Step{20, 1000, 70}, Step{1000, 2000, 100})
	wait := Policy{Max: 10, TargetWait: 30 * time.Second, Concurrency: 2, ScaleInCooldown: 5 * time.Minute, Interval: 2 * time.Second}
	recent := settled(8)
	recent.LastOut = ago(88 * time.Second)
	rested := ptr(10 * time.Minute)

	for _, c := range []struct {
		name  string
		p     Policy
		s     State
		x     Sample
		want  int
		code  Code
		next  time.Time
		words string
	}{
		{
			"held by cooldown", perWorker(5), recent,
			Sample{Visible: 23, InFlight: 4, Workers: 8, Busy: 4},
			8, InCooldown, in(212 * time.Second),
			"23 waiting + 4 running over 5 per worker wants 6; scale-in held 212 s by cooldown",
		},
		{
			"first message", perWorker(5), settled(0),
			Sample{Visible: 1},
			1, ScaleOut,
			time.Time{},
			"1 waiting + 0 running over 5 per worker wants 1; scale-out from 0 to 1",
		},
		{
			"first message within the cooldown", with(perWorker(5), func(p *Policy) { p.ScaleOutCooldown = time.Minute }),
			State{Decided: true, LastOut: ago(time.Second)},
			Sample{Visible: 11},
			3, ScaleOut,
			time.Time{},
			"11 waiting + 0 running over 5 per worker wants 3; scale-out from 0 to 3",
		},
		{
			"scale-out within the cooldown", with(perWorker(5), func(p *Policy) { p.ScaleOutCooldown = 2 * time.Minute }),
			recent,
			Sample{Visible: 50, Workers: 8},
			8, OutCooldown, in(32 * time.Second),
			"50 waiting + 0 running over 5 per worker wants 10; scale-out held 32 s by cooldown",
		},
		{
			"more than max", perWorker(5), settled(3),
			Sample{Visible: 400, Workers: 3},
			10, ScaleOut,
			time.Time{},
			"400 waiting + 0 running over 5 per worker wants 80; scale-out from 3 to 10, the most",
		},
		{
			"at max", perWorker(5), settled(10),
			Sample{Visible: 400, Workers: 10},
			10, AtMax,
			time.Time{},
			"400 waiting + 0 running over 5 per worker wants 80; 10 is the most",
		},
		{
			"at min", with(perWorker(5), func(p *Policy) { p.Min = 2 }), settled(2),
			Sample{Workers: 2},
			2, AtMin,
			time.Time{},
			"0 waiting + 0 running over 5 per worker wants 0; 2 is the least",
		},
		{
			"steady", perWorker(5), settled(2),
			Sample{Visible: 8, InFlight: 2, Workers: 2, Busy: 2},
			2, Steady,
			time.Time{},
			"8 waiting + 2 running over 5 per worker wants 2, as there are",
		},
		{
			"the queue has lost what is in flight", perWorker(5), settled(3),
			Sample{Workers: 3, Busy: 3},
			3, HeldByBusy,
			time.Time{},
			"0 waiting + 3 running (the queue counts 0 in flight) over 5 per worker wants 1; scale-in held as all 3 are busy",
		},
		{
			"two that have just begun and have not answered yet", perWorker(1), settled(2),
			Sample{Visible: 2, Workers: 2, Busy: 2, Silent: 2},
			2, Steady,
			time.Time{},
			"2 waiting + 0 running over 1 per worker wants 2, as there are",
		},
		{
			"none answers", perWorker(5), settled(3),
			Sample{Workers: 3, Busy: 3, Silent: 3},
			3, HeldByBusy,
			time.Time{},
			"0 waiting + 0 running over 5 per worker wants 0; scale-in held as all 3 are busy",
		},
		{
			"busy ones stay", perWorker(5), settled(8),
			Sample{InFlight: 4, Workers: 8, Busy: 4},
			4, ScaleIn,
			time.Time{},
			"0 waiting + 4 running over 5 per worker wants 1; scale-in from 8 to 4, as 4 are busy",
		},
		{
			"max lowered below the busy", with(perWorker(5), func(p *Policy) { p.Max = 3 }), settled(8),
			Sample{InFlight: 6, Workers: 8, Busy: 6},
			6, HeldByBusy,
			time.Time{},
			"0 waiting + 6 running over 5 per worker wants 2; 6 are busy",
		},
		{
			"max lowered", with(perWorker(5), func(p *Policy) { p.Max = 3 }), settled(8),
			Sample{Visible: 14, Workers: 8},
			3, Limits,
			time.Time{},
			"14 waiting + 0 running over 5 per worker wants 3; between 0 and 3 that is 3",
		},
		{
			"some at a time", with(perWorker(5), func(p *Policy) { p.MaxScaleIn = 2 }), settled(8),
			Sample{Visible: 1, Workers: 8},
			6, ScaleIn,
			time.Time{},
			"1 waiting + 0 running over 5 per worker wants 1; scale-in from 8 to 6, as 2 leave at a time",
		},
		{
			"to zero by the cooldown alone", perWorker(5), settled(2),
			Sample{Workers: 2, Delayed: 7},
			0, ScaleIn,
			time.Time{},
			"0 waiting + 0 running over 5 per worker wants 0; scale-in from 2 to 0",
		},
		{
			"the last one waits", with(perWorker(5), func(p *Policy) { p.IdleAfter = rested }), settled(4),
			Sample{Workers: 4},
			1, ScaleIn,
			time.Time{},
			"0 waiting + 0 running over 5 per worker wants 0; scale-in from 4 to 1, the last one until it has been idle for 10m0s",
		},
		{
			"idle, but not for long", with(perWorker(5), func(p *Policy) { p.IdleAfter = rested }),
			with(settled(1), func(s *State) { s.IdleSince = ago(4 * time.Minute) }),
			Sample{Workers: 1},
			1, HeldByIdleAfter, in(6 * time.Minute),
			"0 waiting + 0 running over 5 per worker wants 0; the last one held 360 s until idle for 10m0s",
		},
		{
			"idle for long", with(perWorker(5), func(p *Policy) { p.IdleAfter = rested }),
			with(settled(1), func(s *State) { s.IdleSince = ago(10 * time.Minute) }),
			Sample{Workers: 1},
			0, ScaleIn,
			time.Time{},
			"0 waiting + 0 running over 5 per worker wants 0; scale-in from 1 to 0",
		},
		{
			"delayed ones keep it from being idle", with(perWorker(5), func(p *Policy) { p.IdleAfter = rested }),
			with(settled(1), func(s *State) { s.IdleSince = ago(time.Hour) }),
			Sample{Workers: 1, Delayed: 2},
			1, HeldByIdleAfter,
			time.Time{},
			"0 waiting + 0 running over 5 per worker wants 0; the last one held by 2 delayed",
		},
		{
			"taken over without a memory", perWorker(5),
			State{},
			Sample{Workers: 4},
			4, InCooldown, in(5 * time.Minute),
			"0 waiting + 0 running over 5 per worker wants 0; scale-in held 300 s by cooldown",
		},
		{
			"exact step", steps(v1alpha1.ExactCapacity, Step{0, 1, 0}, Step{1, 6, 1}, Step{6, 1000, 2}), settled(1),
			Sample{Visible: 5, InFlight: 1, Workers: 1, Busy: 1},
			2, ScaleOut,
			time.Time{},
			"5 waiting + 1 running: the step wants 2; scale-out from 1 to 2",
		},
		{
			"change", changes, settled(3),
			Sample{Visible: 10, Workers: 3},
			5, ScaleOut,
			time.Time{},
			"10 waiting + 0 running: the step adds 2 to 3 ready, which wants 5; scale-out from 3 to 5",
		},
		{
			"change does not pile up", changes, settled(5),
			Sample{Visible: 10, Workers: 5, Starting: 2},
			5, WaitingForStarts,
			time.Time{},
			"10 waiting + 0 running: the step adds 2 to 3 ready, which wants 5; 5 are there, not all of them ready",
		},
		{
			"a larger step counts what the smaller one started", changes, settled(5),
			Sample{Visible: 100, Workers: 5, Starting: 2},
			7, ScaleOut,
			time.Time{},
			"100 waiting + 0 running: the step adds 4 to 3 ready, which wants 7; scale-out from 5 to 7",
		},
		{
			"those that were not even started yet count too", changes, settled(5),
			Sample{Visible: 10, Workers: 3},
			5, WaitingForStarts,
			time.Time{},
			"10 waiting + 0 running: the step adds 2 to 3 ready, which wants 5; 5 are there, not all of them ready",
		},
		{
			"no change", changes, settled(3),
			Sample{Visible: 9, Workers: 3},
			3, Steady,
			time.Time{},
			"9 waiting + 0 running: the step wants no change of 3, as there are",
		},
		{
			"change downwards", changes, settled(3),
			Sample{Workers: 3},
			1, ScaleIn,
			time.Time{},
			"0 waiting + 0 running: the step takes 2 from 3, which wants 1; scale-in from 3 to 1",
		},
		{
			"ten per cent of four is one", percents, settled(4),
			Sample{Visible: 10, Workers: 4},
			5, ScaleOut,
			time.Time{},
			"10 waiting + 0 running: the step adds 10 % to 4 ready, which wants 5; scale-out from 4 to 5",
		},
		{
			"seventy per cent of four is two", percents, settled(4),
			Sample{Visible: 20, Workers: 4},
			6, ScaleOut,
			time.Time{},
			"20 waiting + 0 running: the step adds 70 % to 4 ready, which wants 6; scale-out from 4 to 6",
		},
		{
			"per cent of nothing is the least adjustment", with(percents, func(p *Policy) { p.MinAdjustment = 3 }), settled(0),
			Sample{Visible: 20},
			3, ScaleOut,
			time.Time{},
			"20 waiting + 0 running: the step adds 70 % to 0 ready, which wants 3; scale-out from 0 to 3",
		},
		{
			"waiting, nothing measured", wait, settled(0),
			Sample{Visible: 5},
			3, ScaleOut,
			time.Time{},
			"5 waiting + 0 running; no service time is measured yet, so each is taken to last 30s, which wants 3; scale-out from 0 to 3",
		},
		{
			"waiting", wait, settled(1),
			Sample{Visible: 60, InFlight: 2, Workers: 1, Busy: 1, Service: 4 * time.Second},
			5, ScaleOut,
			time.Time{},
			"60 waiting + 2 running + 30 arriving a minute at 4s each, to wait 30s at most, wants 5; scale-out from 1 to 5",
		},
		{
			"waiting for less than it takes", wait, settled(0),
			Sample{Visible: 5, Service: time.Minute},
			3, ScaleOut,
			time.Time{},
			"5 waiting + 0 running + 0 arriving a minute at 1m0s each, to wait 30s at most, wants 3; scale-out from 0 to 3",
		},
		{
			"a dip is not yet fewer for long", perWorker(5),
			with(settled(4), func(s *State) { s.Needed = ago(2 * time.Second) }),
			Sample{Visible: 4, Workers: 4},
			4, InCooldown,
			in(298 * time.Second),
			"4 waiting + 0 running over 5 per worker wants 1; scale-in held 298 s by cooldown",
		},
		{
			"those that leave already count", changes, settled(3),
			Sample{Workers: 5, Starting: 2},
			3, Steady,
			time.Time{},
			"0 waiting + 0 running: the step takes 2 from 5, which wants 3, as there are",
		},
		{
			"below a table's first row", steps(v1alpha1.ChangeInCapacity, Step{5, 10, 2}), settled(3),
			Sample{Visible: 4, Workers: 3},
			3, Steady,
			time.Time{},
			"4 waiting + 0 running: the step wants no change of 3, as there are",
		},
		{
			"above a table's last row", steps(v1alpha1.ExactCapacity, Step{5, 10, 2}), settled(3),
			Sample{Visible: 40, Workers: 3},
			2, ScaleIn,
			time.Time{},
			"40 waiting + 0 running: the step wants 2; scale-in from 3 to 2",
		},
		{
			"a hundred per cent of four is four", percents, settled(4),
			Sample{Visible: 1000, Workers: 4},
			8, ScaleOut,
			time.Time{},
			"1000 waiting + 0 running: the step adds 100 % to 4 ready, which wants 8; scale-out from 4 to 8",
		},
		{
			"waiting for somebody else's message", wait, with(settled(2), func(s *State) { s.Arrivals.Service = time.Second }),
			Sample{InFlight: 1, Workers: 2, Service: time.Second},
			1, ScaleIn,
			time.Time{},
			"0 waiting + 1 running + 0 arriving a minute at 1s each, to wait 30s at most, wants 1; scale-in from 2 to 1",
		},
		{
			"waiting, with what was measured before", wait, with(settled(0), func(s *State) { s.Arrivals.Service = 4 * time.Second }),
			Sample{Visible: 60},
			4, ScaleOut,
			time.Time{},
			"60 waiting + 0 running + 0 arriving a minute at 4s each, to wait 30s at most, wants 4; scale-out from 0 to 4",
		},
		{
			"the clock was set back", with(perWorker(5), func(p *Policy) { p.ScaleOutCooldown = time.Minute }),
			with(settled(1), func(s *State) { s.LastOut = in(time.Hour) }),
			Sample{Visible: 50, Workers: 1},
			1, OutCooldown, in(time.Minute),
			"50 waiting + 0 running over 5 per worker wants 10; scale-out held 60 s by cooldown",
		},
		{
			"idle for long, and changed a moment ago", with(perWorker(5), func(p *Policy) { p.IdleAfter = rested }),
			with(settled(1), func(s *State) { s.IdleSince, s.LastIn = ago(9*time.Minute), ago(time.Minute) }),
			Sample{Workers: 1},
			1, HeldByIdleAfter, in(4 * time.Minute),
			"0 waiting + 0 running over 5 per worker wants 0; the last one held 60 s until idle for 10m0s",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.x.At = noon
			_, d := Decide(c.p, c.s, c.x)
			d.Wanted = 0
			if diff := cmp.Diff(Decision{Desired: c.want, Reason: c.words, Code: c.code, NextChange: c.next}, d); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}
