package workerpool

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/queuemill/queuemill/api/v1alpha1"
	"github.com/queuemill/queuemill/internal/fleet/fleettest"
	"github.com/queuemill/queuemill/internal/queue"
	"github.com/queuemill/queuemill/internal/scale"
)

var (
	seeds     = flag.Int("seeds", 250, "how many random lives of a pool are lived")
	firstSeed = flag.Uint64("seed", 1, "of them, the first")
)

// TestRandomLives has controllers, up to two at a time, run a pool while what can
// go wrong does: answers that come late or not at all after they had their
// effect, controllers that end at any step, workers that die or fall silent,
// edits, suspensions, and a backlog that goes up and down. Workers take messages
// as soon as they may.
func TestRandomLives(t *testing.T) {
	for i := range *seeds {
		seed := *firstSeed + uint64(i)
		synctest.Test(t, func(t *testing.T) { liveOnce(t, seed) })
		if t.Failed() {
			t.Fatalf("go test ./internal/workerpool -run RandomLives -seed %d -seeds 1", seed)
		}
	}
}

const mostAlive = 5 // maxWorkers at most

// life is one of them.
type life struct {
	*testing.T
	fleet *fleettest.Fake
	queue *crowd

	mu     sync.Mutex
	random *rand.Rand
	calm   bool // nothing goes wrong any more
	spec   func(*v1alpha1.WorkerPoolSpec)
	state  scale.State
	pools  []*controller
	ended  int // of fleet.Ended, that were checked

	alone bool // one controller at a time
	most  int  // workers of one template
}

type controller struct {
	pool *Pool
	end  context.CancelFunc
	done chan struct{}
}

// crowd is the queue: what is visible, and how many the workers have in hand.
type crowd struct {
	mu      sync.Mutex
	visible int
	fleet   *fleettest.Fake
	fails   bool
}

func (c *crowd) Depth(context.Context) (queue.Depth, error) {
	inHand := 0
	c.fleet.Do(func(workers []*fleettest.FakeWorker) {
		for _, w := range workers {
			inHand += w.InHand
		}
	})
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.fails {
		return queue.Depth{}, errors.New("throttled")
	}
	return queue.Depth{Visible: c.visible, InFlight: inHand}, nil
}

func liveOnce(t *testing.T, seed uint64) {
	f := fleettest.NewFake()
	l := &life{T: t, fleet: f, queue: &crowd{fleet: f}, random: rand.New(rand.NewPCG(seed, 0)), alone: seed%2 == 0, most: mostAlive}
	if !l.alone { // each may start those that are missing
		l.most *= 2
	}
	f.StartupTime = time.Duration(l.intn(3000)) * time.Millisecond
	f.Between = l.between
	l.edit()
	l.open()
	ctx, stop := context.WithCancel(t.Context())
	worked := make(chan struct{})
	go func() { defer close(worked); l.work(ctx) }()
	for range 60 {
		l.shock()
		after(time.Duration(l.intn(1500)) * time.Millisecond)
		l.check()
		if t.Failed() {
			break
		}
	}
	l.quiet()
	stop()
	<-worked
	for _, c := range l.pools {
		c.end()
		<-c.done
	}
	l.check()
}

func (l *life) intn(n int) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.random.IntN(n)
}

// between delays steps, and loses calls and answers.
func (l *life) between(fleettest.Step) error {
	l.mu.Lock()
	calm, roll, delay := l.calm, l.random.IntN(100), time.Duration(l.random.IntN(400))*time.Millisecond
	l.mu.Unlock()
	if calm {
		return nil
	}
	if roll < 40 {
		<-time.After(delay)
	}
	if roll >= 90 {
		return errors.New("the connection was lost")
	}
	return nil
}

// work has workers take messages and finish them, as real ones do.
func (l *life) work(ctx context.Context) {
	for ctx.Err() == nil {
		<-time.After(time.Duration(1+l.intn(60)) * time.Millisecond)
		roll := l.intn(100)
		l.queue.mu.Lock()
		l.fleet.Do(func(workers []*fleettest.FakeWorker) {
			for _, w := range workers {
				switch {
				case w.InHand > 0 && roll < 10:
					w.InHand--
					w.Done++
					w.Seconds += 0.3
				case w.InHand == 0 && !w.Draining && l.queue.visible > 0:
					w.InHand++
					l.queue.visible--
				}
			}
		})
		l.queue.mu.Unlock()
	}
}

// edit makes up a manifest.
func (l *life) edit() {
	least, most, revision, perWorker := l.intn(3), 2+l.intn(mostAlive-1), l.intn(3), 1+l.intn(3)
	cooldown := time.Duration(l.intn(5)) * time.Second
	l.spec = func(s *v1alpha1.WorkerPoolSpec) {
		s.MinWorkers, s.MaxWorkers = least, most
		s.Process.Args = []string{fmt.Sprint(revision)}
		s.Scaling.BacklogPerWorker, s.Scaling.ScaleInCooldown = perWorker, &metav1.Duration{Duration: cooldown}
	}
}

// open has a controller take over, with what the last one kept.
func (l *life) open() {
	pool, err := New(manifest(l.spec), Options{Queue: l.queue, Fleet: l.fleet, State: l.state, OnEvent: func(Event) {}})
	if err != nil {
		l.Fatal(err)
	}
	ctx, end := context.WithCancel(l.Context())
	c := &controller{pool: pool, end: end, done: make(chan struct{})}
	l.pools = append(l.pools, c)
	go func() {
		defer close(c.done)
		if err := pool.Run(ctx); err != nil {
			l.Error(err)
		}
	}()
}

// close ends the oldest controller, wherever it is; it may still be in a call
// when the next one begins.
func (l *life) close() {
	c := l.pools[0]
	l.pools = l.pools[1:]
	l.state = c.pool.Status().State
	if l.intn(4) == 0 { // it is lost
		l.state = scale.State{}
	}
	c.end()
	<-c.done
}

func (l *life) shock() {
	switch l.intn(12) {
	case 0, 1:
		l.backlog(l.intn(20))
	case 2:
		l.backlog(0)
	case 3, 4:
		l.edit()
		for _, c := range l.pools {
			if err := c.pool.Update(manifest(l.spec)); err != nil {
				l.Error(err)
			}
		}
	case 5, 6: // another one takes over
		if l.alone || len(l.pools) > 1 {
			l.close()
		}
		if len(l.pools) == 0 || l.intn(2) == 0 {
			l.open()
		}
	case 7:
		on := l.intn(2) == 0
		for _, c := range l.pools {
			c.pool.Suspend(on)
		}
	case 8:
		l.queue.mu.Lock()
		l.queue.fails = !l.queue.fails
		l.queue.mu.Unlock()
	case 9:
		l.one(func(w *fleettest.FakeWorker) { w.Silent = !w.Silent })
	case 10:
		var uid string
		l.one(func(w *fleettest.FakeWorker) { uid = w.UID })
		l.fleet.End(uid)
	}
}

func (l *life) backlog(n int) {
	l.queue.mu.Lock()
	l.queue.visible = n
	l.queue.mu.Unlock()
}

// one changes any of the workers.
func (l *life) one(change func(*fleettest.FakeWorker)) {
	n := l.intn(100)
	l.fleet.Do(func(workers []*fleettest.FakeWorker) {
		if len(workers) > 0 {
			change(workers[n%len(workers)])
		}
	})
}

// check is of every moment.
func (l *life) check() {
	l.Helper()
	l.fleet.Do(func(workers []*fleettest.FakeWorker) {
		for _, w := range l.fleet.Ended[l.ended:] {
			if w.InHand > 0 {
				l.Errorf("a busy worker was removed: %+v", w)
			}
		}
		l.ended = len(l.fleet.Ended)
		there := map[string]int{} // an edit has new ones beside the old ones
		for _, w := range workers {
			if w.Held || !w.Draining {
				there[w.Template]++
			}
		}
		for template, n := range there {
			if n > l.most {
				l.Errorf("%d workers of %s, and %d are the most", n, template, l.most)
			}
		}
	})
}

// quiet lets everything come to rest, and looks whether it is as wanted.
func (l *life) quiet() {
	for len(l.pools) > 1 {
		l.close()
	}
	l.mu.Lock()
	l.calm = true
	l.mu.Unlock()
	pool := l.pools[0].pool
	pool.Suspend(false)
	l.queue.mu.Lock()
	l.queue.fails = false
	l.queue.mu.Unlock()
	l.backlog(0)
	l.fleet.Do(func(workers []*fleettest.FakeWorker) {
		for _, w := range workers {
			w.Silent = false
		}
	})
	after(2 * time.Minute)
	want := manifest(l.spec)
	s := pool.Status()
	template := v1alpha1.WorkerTemplateHash(&want.Spec)
	l.fleet.Do(func(workers []*fleettest.FakeWorker) {
		wrong := slices.ContainsFunc(workers, func(w *fleettest.FakeWorker) bool {
			return w.Template != template || w.Held || w.Draining
		})
		if wrong || len(workers) != want.Spec.MinWorkers || s.Desired != want.Spec.MinWorkers || s.Trouble != "" && len(workers) > 0 {
			l.Errorf("at rest: want %d, %+v", want.Spec.MinWorkers, s)
			for _, w := range workers {
				l.Logf("%+v", *w)
			}
		}
	})
}
