package workerpool

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/queuemill/queuemill/api/v1alpha1"
	"github.com/queuemill/queuemill/internal/fleet/fleettest"
	"github.com/queuemill/queuemill/internal/queue"
	"github.com/queuemill/queuemill/internal/scale"
)

// backlog is a queue that tells what it is told to tell.
type backlog struct {
	mu    sync.Mutex
	depth queue.Depth
	err   error
	looks int
}

func (b *backlog) Depth(context.Context) (queue.Depth, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.looks++
	return b.depth, b.err
}

func (b *backlog) set(visible, inFlight int, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.depth, b.err = queue.Depth{Visible: visible, InFlight: inFlight}, err
}

// bench is a pool at work, inside a synctest bubble.
type bench struct {
	*testing.T
	queue  *backlog
	fleet  *fleettest.Fake
	pool   *Pool
	state  scale.State // what the controller is given
	stop   func()      // ends it
	mu     sync.Mutex
	events []Event
}

func manifest(change func(*v1alpha1.WorkerPoolSpec)) *v1alpha1.WorkerPool {
	wp := &v1alpha1.WorkerPool{ObjectMeta: metav1.ObjectMeta{Name: "p"}, Spec: v1alpha1.WorkerPoolSpec{
		Queue: v1alpha1.QueueSource{SQS: &v1alpha1.SQSSource{Name: "q"}}, MaxWorkers: 10,
		Scaling: v1alpha1.Scaling{BacklogPerWorker: 1, ScaleInCooldown: &metav1.Duration{}},
		Process: &v1alpha1.WorkerProcess{Command: []string{"true"}},
	}}
	if change != nil {
		change(&wp.Spec)
	}
	wp.SetDefaults()
	return wp
}

// run runs a pool in virtual time; all of it has ended when run returns.
func run(t *testing.T, wp *v1alpha1.WorkerPool, test func(b *bench)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := &bench{T: t, queue: &backlog{}, fleet: fleettest.NewFake()}
		b.fleet.StartupTime = time.Second
		b.again(wp)
		test(b)
		b.stop()
	})
}

// again has a controller take over.
func (b *bench) again(wp *v1alpha1.WorkerPool) {
	b.Helper()
	b.open(wp)
	b.runs()
}

// anew begins once more with no workers, and a fleet that is so from the start.
func (b *bench) anew(wp *v1alpha1.WorkerPool, change func(f *fleettest.Fake)) {
	b.Helper()
	b.stop()
	b.fleet = fleettest.NewFake()
	b.fleet.StartupTime = time.Second
	change(b.fleet)
	b.again(wp)
}

func (b *bench) runs() {
	ctx, cancel := context.WithCancel(b.Context())
	done := make(chan struct{})
	pool := b.pool
	go func() { defer close(done); pool.Run(ctx) }()
	b.stop = func() { cancel(); <-done }
}

func (b *bench) open(wp *v1alpha1.WorkerPool) {
	b.Helper()
	var err error
	b.pool, err = New(wp, Options{Queue: b.queue, Fleet: b.fleet, State: b.state, OnEvent: func(e Event) {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.events = append(b.events, e)
	}})
	if err != nil {
		b.Fatal(err)
	}
}

// after lets time pass, and what it brings happen.
func after(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

func (b *bench) want(what string, check func(Status) bool) {
	b.Helper()
	if s := b.pool.Status(); !check(s) {
		b.Fatalf("%s: %+v %+v", what, s, s.Decision)
	}
}

func (b *bench) counts(starting, ready, busy, retiring int) {
	b.Helper()
	b.want("workers", func(s Status) bool {
		w := s.Workers
		return w.Starting == starting && w.Ready == ready && w.Busy == busy && w.Retiring == retiring
	})
}

func (b *bench) told(reason EventReason) (n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, e := range b.events {
		if e.Reason == reason {
			n++
		}
	}
	return n
}

// cut fails the test when a worker was removed with work in hand.
func (b *bench) cut() {
	b.Helper()
	b.fleet.Do(func([]*fleettest.FakeWorker) {
		for _, w := range b.fleet.Ended {
			if w.InHand > 0 || w.Silent {
				b.Errorf("removed with work in hand, or unasked: %+v", w)
			}
		}
	})
}

// hold gives every worker n messages.
func (b *bench) hold(n int) {
	b.fleet.Do(func(workers []*fleettest.FakeWorker) {
		for _, w := range workers {
			w.InHand = n
		}
	})
}

func TestTheNumberFollowsTheBacklog(t *testing.T) {
	run(t, manifest(nil), func(b *bench) {
		after(time.Second)
		b.counts(0, 0, 0, 0)
		b.queue.set(4, 0, nil)
		after(2100 * time.Millisecond) // a look, the start, and no more
		b.want("four wanted", func(s Status) bool {
			return s.Desired == 4 && s.Workers.Starting == 0 && strings.Contains(s.Decision.Reason, "4 waiting") && s.Queue.Visible == 4
		})
		after(2 * time.Second)
		b.counts(0, 4, 0, 0)
		b.queue.set(0, 2, nil)
		b.fleet.Do(func(workers []*fleettest.FakeWorker) { workers[0].InHand, workers[2].InHand = 1, 1 })
		after(6 * time.Second)
		b.counts(0, 2, 2, 0)
		b.queue.set(0, 0, nil)
		b.hold(0)
		after(6 * time.Second)
		b.counts(0, 0, 0, 0)
		b.cut()
		if n := b.told(EventScaled); n != 3 {
			b.Errorf("%d changes told, want 3: %+v", n, b.events)
		}
	})
}

func TestBusyWorkersAreNeverRemoved(t *testing.T) {
	run(t, manifest(nil), func(b *bench) {
		b.queue.set(6, 0, nil)
		after(6 * time.Second)
		b.hold(1)
		b.queue.set(0, 6, nil)
		after(4 * time.Second)
		b.counts(0, 6, 6, 0)
		for _, change := range []func(*v1alpha1.WorkerPoolSpec){
			func(s *v1alpha1.WorkerPoolSpec) { s.MaxWorkers = 2 }, // more than max receive nothing
			func(s *v1alpha1.WorkerPoolSpec) { s.Scaling.BacklogPerWorker = 1000 },
		} {
			if err := b.pool.Update(manifest(change)); err != nil {
				b.Fatal(err)
			}
			after(10 * time.Second)
			b.want("all six still work", func(s Status) bool { return s.Workers.Busy == 6 && s.Workers.Ready+s.Workers.Retiring == 6 })
		}
		b.pool.Suspend(true)
		after(10 * time.Second)
		b.counts(0, 0, 6, 6)
		b.hold(0)
		after(5 * time.Second)
		b.counts(0, 0, 0, 0)
		b.cut()
	})
}

func TestMaxIsTheMostThatReceive(t *testing.T) {
	run(t, manifest(nil), func(b *bench) {
		b.queue.set(50, 0, nil)
		after(6 * time.Second)
		b.hold(1)
		if err := b.pool.Update(manifest(func(s *v1alpha1.WorkerPoolSpec) { s.MaxWorkers = 3 })); err != nil {
			b.Fatal(err)
		}
		after(3 * time.Second)
		b.counts(0, 3, 10, 7)
	})
}

func TestAnEditStartsNewOnesBeforeTheOldGo(t *testing.T) {
	run(t, manifest(nil), func(b *bench) {
		b.fleet.Do(func([]*fleettest.FakeWorker) { b.fleet.StartupTime = 10 * time.Second })
		b.queue.set(3, 0, nil)
		after(20 * time.Second)
		b.counts(0, 3, 0, 0)
		edited := manifest(func(s *v1alpha1.WorkerPoolSpec) { s.Worker.Timeout = &metav1.Duration{Duration: time.Minute} })
		if err := b.pool.Update(edited); err != nil {
			b.Fatal(err)
		}
		after(5 * time.Second)
		b.want("old ones until the new are ready", func(s Status) bool {
			return s.Workers.Ready == 3 && s.Workers.Starting == 3 && s.Workers.Outdated == 3
		})
		b.fleet.Do(func(workers []*fleettest.FakeWorker) { workers[1].InHand = 1 }) // an old one
		b.queue.set(2, 1, nil)
		after(10 * time.Second)
		b.counts(0, 3, 1, 1)
		b.hold(0)
		after(3 * time.Second)
		b.want("only new ones", func(s Status) bool { return s.Workers.Ready == 3 && s.Workers.Outdated == 0 && s.Workers.Retiring == 0 })
		b.cut()
		if b.fleet.Starts != 6 {
			b.Errorf("%d workers were started, want 6", b.fleet.Starts)
		}
	})
}

func TestAnEditWhoseWorkersNeverGetReadyKeepsTheOldOnes(t *testing.T) {
	run(t, manifest(nil), func(b *bench) {
		b.queue.set(3, 0, nil)
		after(6 * time.Second)
		b.fleet.Do(func([]*fleettest.FakeWorker) { b.fleet.StartupTime = time.Hour })
		b.fleet.Do(func(workers []*fleettest.FakeWorker) {
			for _, w := range workers {
				w.StartedAt = w.StartedAt.Add(-2 * time.Hour)
			}
		})
		if err := b.pool.Update(manifest(func(s *v1alpha1.WorkerPoolSpec) { s.Process.Args = []string{"x"} })); err != nil {
			b.Fatal(err)
		}
		after(time.Minute)
		b.want("three old, three starting", func(s Status) bool {
			return s.Workers.Ready == 3 && s.Workers.Starting == 3 && s.Workers.Retiring == 0
		})
		if b.fleet.Starts != 6 {
			b.Errorf("%d workers were started, want 6", b.fleet.Starts)
		}
	})
}

func TestADrainedWorkerGoesOnInsteadOfANewStart(t *testing.T) {
	run(t, manifest(nil), func(b *bench) {
		b.queue.set(3, 0, nil)
		after(6 * time.Second)
		b.hold(1)
		b.queue.set(0, 3, nil)
		b.pool.Suspend(true)
		after(3 * time.Second)
		b.counts(0, 0, 3, 3)
		b.fleet.Do(func(workers []*fleettest.FakeWorker) { workers[0].Stubborn = true })
		b.pool.Suspend(false)
		after(6 * time.Second)
		b.counts(0, 3, 3, 1)
		if b.fleet.Starts != 4 {
			b.Errorf("%d workers were started, want 4: two went on, one refused", b.fleet.Starts)
		}
		b.cut()
	})
}

func TestNoAnswerOfTheQueueHoldsTheNumber(t *testing.T) {
	run(t, manifest(nil), func(b *bench) {
		b.queue.set(3, 0, nil)
		after(6 * time.Second)
		b.queue.set(0, 0, errors.New("throttled"))
		after(time.Minute)
		b.counts(0, 3, 0, 0)
		b.want("the cause", func(s Status) bool { return s.Source != nil && s.Desired == 3 })
		b.queue.set(0, 0, nil)
		after(6 * time.Second)
		b.counts(0, 0, 0, 0)
		if b.told(EventUnhealthy) != 1 || b.told(EventHealthy) != 1 {
			b.Errorf("%+v", b.events)
		}
	})
}

func TestAWorkerThatDiesIsReplaced(t *testing.T) {
	run(t, manifest(nil), func(b *bench) {
		b.queue.set(3, 0, nil)
		after(20 * time.Second)
		b.fleet.End("uid-1")
		after(1100 * time.Millisecond) // the watch tells: no need of the next look
		b.counts(0, 3, 0, 0)
	})
}

func TestWorkersThatDieAtOnceAreStartedMoreAndMoreSlowly(t *testing.T) {
	spec := manifest(func(s *v1alpha1.WorkerPoolSpec) { s.MinWorkers = 1 })
	run(t, spec, func(b *bench) {
		b.anew(spec, func(f *fleettest.Fake) { f.Dies = true })
		after(10 * time.Minute)
		if n := b.fleet.Starts; n < 8 || n > 25 {
			b.Errorf("%d starts in ten minutes", n)
		}
		b.want("why", func(s Status) bool { return strings.Contains(s.Trouble, "ended right after their start") })
		b.fleet.Do(func([]*fleettest.FakeWorker) { b.fleet.Dies = false })
		after(2 * time.Minute)
		b.want("all is well", func(s Status) bool { return s.Trouble == "" && s.Workers.Ready == 1 })
	})
}

func TestWorkersThatCanNotBeStartedAreToldOfOnce(t *testing.T) {
	spec := manifest(func(s *v1alpha1.WorkerPoolSpec) { s.MinWorkers = 1 })
	run(t, spec, func(b *bench) {
		b.anew(spec, func(f *fleettest.Fake) { f.StartErr = errors.New("quota exceeded") })
		after(10 * time.Minute)
		b.want("the cause", func(s Status) bool { return strings.Contains(s.Trouble, "quota exceeded") })
		if n := b.told(EventTrouble); n != 1 {
			b.Errorf("told %d times", n)
		}
		b.fleet.Do(func([]*fleettest.FakeWorker) { b.fleet.StartErr = nil })
		after(2 * time.Minute)
		b.want("all is well", func(s Status) bool { return s.Trouble == "" && s.Workers.Ready == 1 })
	})
}

// A container that has just begun to run does not answer yet: what it may have in
// hand is in the queue's counts.
func TestSilenceIsNoBacklog(t *testing.T) {
	run(t, manifest(nil), func(b *bench) {
		b.queue.set(2, 0, nil)
		after(3 * time.Second)
		b.fleet.Do(func(workers []*fleettest.FakeWorker) {
			for _, w := range workers {
				w.Silent = true
			}
		})
		after(time.Minute)
		b.want("two messages want two workers", func(s Status) bool { return s.Desired == 2 && s.Workers.Unknown == 2 })
	})
}

func TestSilenceIsToldAndLeftAlone(t *testing.T) {
	run(t, manifest(nil), func(b *bench) {
		b.queue.set(2, 0, nil)
		after(6 * time.Second)
		b.fleet.Do(func(workers []*fleettest.FakeWorker) { workers[0].Silent = true })
		b.queue.set(0, 0, nil)
		after(10 * time.Minute)
		b.want("it counts as busy", func(s Status) bool { return s.Workers.Unknown == 1 && s.Workers.Busy == 1 })
		if n := b.told(EventSilent); n != 1 {
			b.Errorf("told %d times", n)
		}
		b.pool.Suspend(true)
		after(10 * time.Minute)
		b.want("it is there still", func(s Status) bool { return s.Workers.Unknown == 1 })
		b.cut()
	})
}

func TestRetireEndsAllAndARestartLeavesThem(t *testing.T) {
	run(t, manifest(nil), func(b *bench) {
		b.queue.set(3, 0, nil)
		after(6 * time.Second)
		b.hold(1)
		before := b.pool
		b.open(manifest(nil)) // the next controller
		ctx, cancel := context.WithCancel(b.Context())
		done := make(chan struct{})
		go func() { defer close(done); b.pool.Run(ctx) }()
		b.queue.set(3, 3, nil)
		after(6 * time.Second)
		b.want("the same workers, and more", func(s Status) bool { return s.Workers.Busy == 3 && s.Workers.Ready == 6 })
		cancel()
		<-done
		retired := make(chan error, 1)
		go func() { retired <- before.Retire(b.Context()) }()
		after(30 * time.Second)
		select {
		case err := <-retired:
			b.Fatalf("retired with work in hand: %v", err)
		default:
		}
		b.hold(0)
		after(3 * time.Second)
		if err := <-retired; err != nil {
			b.Error(err)
		}
		b.cut()
	})
}

func TestTheQueueIsAskedOncePerInterval(t *testing.T) {
	run(t, manifest(nil), func(b *bench) {
		b.queue.set(1000, 0, nil)
		after(10 * time.Second)
		for _, uid := range []string{"uid-1", "uid-2", "uid-3"} { // changes of workers cost no request
			b.fleet.End(uid)
			after(10 * time.Millisecond)
		}
		after(50 * time.Second)
		if n := b.queue.looks; n < 28 || n > 33 {
			b.Errorf("%d looks in a minute, every 2 s", n)
		}
	})
}

func TestMetricsAreOfTheMoment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		registry := prometheus.NewPedanticRegistry()
		q, f := &backlog{depth: queue.Depth{Visible: 2, InFlight: 1}}, fleettest.NewFake()
		p, err := New(manifest(nil), Options{Queue: q, Fleet: f, Metrics: NewMetrics(registry)})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); p.Run(ctx) }()
		after(5 * time.Second)
		err = testutil.GatherAndCompare(registry, strings.NewReader(`
# HELP queuemill_pool_backlog Messages in the queue, visible and in flight, as it last told.
# TYPE queuemill_pool_backlog gauge
queuemill_pool_backlog{namespace="",workerpool="p"} 3
# HELP queuemill_pool_desired Workers that are wanted.
# TYPE queuemill_pool_desired gauge
queuemill_pool_desired{namespace="",workerpool="p"} 3
`), "queuemill_pool_backlog", "queuemill_pool_desired")
		if err != nil {
			t.Error(err)
		}
		cancel()
		<-done
		if n, err := testutil.GatherAndCount(registry, "queuemill_pool_desired"); n != 0 || err != nil {
			t.Errorf("a pool that ended is measured: %d, %v", n, err)
		}
	})
}

// replicas is a Target.
type replicas struct {
	mu      sync.Mutex
	desired int
	set     []int
}

func (r *replicas) Replicas(context.Context) (Replicas, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return Replicas{Desired: r.desired, Ready: r.desired}, nil
}

func (r *replicas) SetReplicas(_ context.Context, n int) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.desired, r.set = n, append(r.set, n)
	return nil
}

func TestATargetsReplicasFollow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, target := &backlog{}, &replicas{desired: 1}
		p, err := New(manifest(nil), Options{Queue: q, Target: target})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); p.Run(ctx) }()
		q.set(4, 0, nil)
		after(5 * time.Second)
		q.set(0, 2, nil) // two of them work, whichever
		after(10 * time.Second)
		q.set(0, 0, errors.New("throttled"))
		after(10 * time.Second)
		cancel()
		<-done
		if last := len(target.set) - 1; last < 1 || !slices.Contains(target.set, 4) || target.set[last] != 2 {
			t.Errorf("set to %v, want 4 and then 2", target.set)
		}
	})
}
