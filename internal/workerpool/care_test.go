package workerpool

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/queuemill/queuemill/api/v1alpha1"
	"github.com/queuemill/queuemill/internal/fleet/fleettest"
	"github.com/queuemill/queuemill/internal/scale"
)

func TestTenThatDieAtOnceAreOneStepOfTheBackoff(t *testing.T) {
	run(t, manifest(func(s *v1alpha1.WorkerPoolSpec) { s.MinWorkers = 10 }), func(b *bench) {
		after(1900 * time.Millisecond) // they are ready, and not looked at again
		for i := range 10 {
			b.fleet.Do(func(workers []*fleettest.FakeWorker) { workers[i].Silent = true }) // the number stays
		}
		for range 10 {
			var uid string
			b.fleet.Do(func(workers []*fleettest.FakeWorker) { uid = workers[0].UID })
			b.fleet.End(uid)
			after(10 * time.Millisecond)
		}
		after(5 * time.Second)
		b.counts(0, 10, 0, 0)
		if n := b.told(EventShortLived); n != 1 {
			b.Errorf("told %d times: %+v", n, b.events)
		}
	})
}

func TestWorkersThatDieBeforeAnybodyLooksAreStartedMoreAndMoreSlowly(t *testing.T) {
	spec := manifest(func(s *v1alpha1.WorkerPoolSpec) { s.MinWorkers = 3 })
	run(t, spec, func(b *bench) {
		b.anew(spec, func(f *fleettest.Fake) { f.StillBorn = true })
		after(10 * time.Minute)
		if n := b.fleet.Starts; n < 3*8 || n > 3*25 {
			b.Errorf("%d starts in ten minutes, want 8 to 25 of three", n)
		}
		b.want("why", func(s Status) bool { return strings.Contains(s.Trouble, "ended right after their start") })
		b.fleet.Do(func([]*fleettest.FakeWorker) { b.fleet.StillBorn = false })
		after(2 * time.Minute)
		b.want("all is well", func(s Status) bool { return s.Trouble == "" && s.Workers.Ready == 3 })
	})
}

func TestTheStateIsKeptWhenItChanges(t *testing.T) {
	run(t, manifest(nil), func(b *bench) {
		b.stop()
		var kept []scale.State
		pool, err := New(manifest(nil), Options{Queue: b.queue, Fleet: b.fleet, OnEvent: func(Event) {}, Keep: func(s scale.State) { kept = append(kept, s) }})
		if err != nil {
			b.Fatal(err)
		}
		b.pool = pool
		b.runs()
		b.queue.set(3, 0, nil)
		after(time.Minute)
		b.queue.set(0, 0, nil)
		after(time.Minute)
		b.stop()
		if n := len(kept); n < 2 || n > 4 || kept[n-1].Desired != 0 || kept[n-1].IdleSince.IsZero() || !kept[n-1].Needed.IsZero() {
			b.Errorf("kept: %+v", kept)
		}
	})
}

func TestWorkersThatMayNotBeLetGoAreTrouble(t *testing.T) {
	spec := manifest(func(s *v1alpha1.WorkerPoolSpec) { s.MinWorkers = 2 })
	run(t, spec, func(b *bench) {
		forbidden := errors.New("pods is forbidden: cannot patch")
		b.anew(spec, func(f *fleettest.Fake) { f.NoteErr = forbidden })
		after(10 * time.Minute)
		b.counts(2, 0, 0, 0)
		b.want("the cause", func(s Status) bool { return strings.Contains(s.Trouble, forbidden.Error()) })
		if n := b.told(EventTrouble); n != 1 {
			b.Errorf("told %d times", n)
		}
		if n := b.fleet.Lists; n > 10*30+20 {
			b.Errorf("%d looks at the workers in ten minutes, every 2 s", n)
		}
		b.fleet.Do(func([]*fleettest.FakeWorker) { b.fleet.NoteErr = nil })
		after(5 * time.Second)
		b.counts(0, 2, 0, 0)
		b.want("all is well", func(s Status) bool { return s.Trouble == "" })
	})
}

func TestAnEditDropsWhatHasNotBegun(t *testing.T) {
	run(t, manifest(nil), func(b *bench) {
		b.fleet.Do(func([]*fleettest.FakeWorker) { b.fleet.StartupTime = time.Hour })
		b.queue.set(3, 0, nil)
		after(10 * time.Second)
		b.counts(3, 0, 0, 0)
		if err := b.pool.Update(manifest(func(s *v1alpha1.WorkerPoolSpec) { s.Process.Args = []string{"x"} })); err != nil {
			b.Fatal(err)
		}
		after(time.Second)
		b.want("new ones alone", func(s Status) bool { return s.Workers.Starting == 3 && s.Workers.Outdated == 0 })
	})
}

func TestALowerMaxHasWorkersRetireUnderAFullBacklog(t *testing.T) {
	run(t, manifest(func(s *v1alpha1.WorkerPoolSpec) { s.Scaling.ScaleInCooldown.Duration = time.Hour }), func(b *bench) {
		b.queue.set(500, 10, nil)
		after(6 * time.Second)
		b.hold(1)
		if err := b.pool.Update(manifest(func(s *v1alpha1.WorkerPoolSpec) { s.MaxWorkers = 3 })); err != nil {
			b.Fatal(err)
		}
		after(3 * time.Second)
		b.counts(0, 3, 10, 7)
		b.fleet.Do(func(workers []*fleettest.FakeWorker) {
			for _, w := range workers {
				if w.Draining {
					w.InHand = 0
				}
			}
		})
		after(3 * time.Second)
		b.counts(0, 3, 3, 0)
		b.cut()
	})
}

// A controller that takes over keeps the number there is until it knows better,
// whatever the earlier one kept.
func TestAfterARestartTheNumberNeitherJumpsToMinNorToZero(t *testing.T) {
	for name, tc := range map[string]struct {
		kept  scale.State
		err   error // of the queue
		least int
	}{
		"nothing was kept":                      {least: 2},
		"nothing was kept, the queue is silent": {err: errors.New("throttled"), least: 2},
		"the number was kept":                   {kept: scale.State{Desired: 6, Decided: true}},
		"kept, and the queue is silent":         {kept: scale.State{Desired: 6, Decided: true}, err: errors.New("throttled")},
	} {
		t.Run(name, func(t *testing.T) {
			spec := manifest(func(s *v1alpha1.WorkerPoolSpec) {
				s.MinWorkers, s.Scaling.ScaleInCooldown.Duration = tc.least, time.Minute
			})
			run(t, spec, func(b *bench) {
				b.queue.set(6, 0, nil)
				after(6 * time.Second)
				b.counts(0, 6, 0, 0)
				b.stop()
				b.queue.set(0, 0, tc.err)
				b.state = tc.kept
				b.again(spec)
				for range 50 {
					after(time.Second)
					b.want("six", func(s Status) bool { return s.Workers.Ready == 6 && s.Workers.Starting+s.Workers.Retiring == 0 })
				}
				if b.fleet.Starts != 6 {
					b.Errorf("%d starts", b.fleet.Starts)
				}
			})
		})
	}
}
