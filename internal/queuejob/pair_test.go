package queuejob_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/queuemill/queuemill/api/v1alpha1"
	"github.com/queuemill/queuemill/internal/executor"
	"github.com/queuemill/queuemill/internal/queue"
	"github.com/queuemill/queuemill/internal/queue/queuetest"
	"github.com/queuemill/queuemill/internal/queuejob"
	"github.com/queuemill/queuemill/internal/record"
)

// TestTwoThatBothBelieveTheyLead lets two controllers work on one queue and one
// executor, stall, die and come back, under a hostile queue: in the end every
// message was started once and none is lost, as if there had been one.
func TestTwoThatBothBelieveTheyLead(t *testing.T) {
	for seed := range *seeds {
		for _, ack := range []v1alpha1.AckMode{v1alpha1.AckOnCreate, v1alpha1.AckOnSuccess} {
			t.Run(fmt.Sprint(ack, " seed ", seed), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					set := func(s *v1alpha1.QueueJobSpec) {
						few := 2
						s.Ack, s.MaxActive, s.SuccessfulJobsHistoryLimit = ack, 4, &few
						if seed%2 == 1 { // else records go, and no queue gives back what it deleted later than that
							s.DeduplicationWindow = duration(24 * time.Hour)
						}
						if seed%5 == 1 {
							s.Message.Format = []v1alpha1.MessageFormat{v1alpha1.FormatS3Event}
						}
					}
					c := &chaos{
						world:  newWorld(t, queuetest.Options{FIFO: seed%3 == 0}, set),
						random: rand.New(rand.NewPCG(seed, 11)), retried: map[string]int{}, sent: map[string]int{},
					}
					p := &pair{chaos: c, faithful: seed%2 == 0}
					for i := range p.sides {
						p.sides[i] = &side{world: &world{t: t, queue: c.queue, exec: c.exec, qj: c.qj, fifo: c.fifo}, random: rand.New(rand.NewPCG(seed, uint64(i)))}
					}
					p.run()
				})
			})
		}
	}
}

// pair is a world with two controllers in it.
type pair struct {
	*chaos
	sides    [2]*side
	faithful bool // the queue gives nothing back that it deleted
}

// side is one controller.
type side struct {
	*world
	mortal *mortal
	mu     sync.Mutex
	random *rand.Rand
	stall  time.Duration // each look at the executor takes up to that long
	alive  bool
}

func (s *side) live() {
	s.mortal = &mortal{Queue: s.queue, Executor: stalling{s.exec, s}, dies: func() {}}
	s.via.queue, s.via.exec = mortalQueue{s.mortal}, mortalExecutor{s.mortal}
	s.start()
	s.alive = true
}

func (s *side) wait(most time.Duration) {
	s.mu.Lock()
	d := min(s.stall, most)
	if d > 0 {
		d = time.Duration(s.random.Int64N(int64(d)))
	}
	s.mu.Unlock()
	if d > 0 {
		<-time.After(d)
	}
}

// stalling is an executor whose looks may take minutes and whose creates may
// take as long as a client waits for an answer.
type stalling struct {
	queuejob.Executor
	side *side
}

func (x stalling) Get(ctx context.Context, name string) (record.Record, error) {
	rec, err := x.Executor.Get(ctx, name)
	x.side.wait(15 * time.Minute)
	return rec, err
}

func (x stalling) Create(ctx context.Context, job executor.Job) (record.Record, error) {
	x.side.wait(30 * time.Second)
	return x.Executor.Create(ctx, job)
}

func (p *pair) run() {
	for _, s := range p.sides {
		s.live()
	}
	for range 60 {
		if p.random.IntN(3) == 0 {
			p.upset(p.sides[p.random.IntN(2)])
		} else {
			p.step()
		}
		p.pass(time.Duration(p.random.IntN(30_000)) * time.Millisecond)
	}
	p.calm = true
	p.queue.SetHostility(queuetest.Hostility{})
	p.exec.FailCreate(nil)
	p.exec.FailPatch(nil)
	p.exec.FailList(nil)
	p.exec.AfterCreate(nil)
	p.exec.Lag(nil)
	for _, s := range p.sides {
		s.mu.Lock()
		s.stall = 0
		s.mu.Unlock()
		if !s.alive {
			s.live()
		}
		s.runner.Suspend(false)
	}
	for range 20 {
		p.pass(3 * time.Minute)
		p.endSome()
	}
	p.pass(time.Hour)
	for i, s := range p.sides {
		if !s.runner.Idle() {
			p.t.Errorf("controller %d is not idle: %+v", i, s.runner.Status())
		}
		s.stop()
	}
	p.judge()
}

// upset does something to one controller.
func (p *pair) upset(s *side) {
	switch n := p.random.IntN(6); {
	case !s.alive:
		s.live()
	case n == 0:
		s.die(s.mortal)
		s.alive = false
	case n == 1:
		s.stop()
		s.alive = false
	case n == 2:
		s.mu.Lock()
		s.stall = time.Duration(p.random.IntN(900)) * time.Second
		s.mu.Unlock()
	case n == 3:
		s.mu.Lock()
		s.stall = 0
		s.mu.Unlock()
	case n == 4:
		s.runner.Suspend(p.random.IntN(2) == 0)
	default:
		lag := time.Duration(p.random.IntN(5000)) * time.Millisecond
		p.exec.Lag(func() time.Duration { return lag })
	}
}

// step does something to the world they share.
func (p *pair) step() {
	switch n := p.random.IntN(16); {
	case n < 5:
		p.queue.SetHostility(queuetest.Hostility{})
		for range 1 + p.random.IntN(4) {
			body, records := p.body()
			p.sent[p.send(body)[0]] = records
		}
		p.queue.SetHostility(p.hostile)
	case n < 9:
		p.endSome()
	case n == 9:
		p.hostile = queuetest.Hostility{
			Seed: p.random.Uint64(), DuplicateAfterDelete: p.random.Float64() / 2, ForgetDelete: p.random.Float64() / 2,
			LoseAnswer: p.random.Float64() / 3, Throttle: p.random.Float64() / 2, Unreachable: p.random.IntN(5) == 0,
		}
		if p.faithful {
			p.hostile.DuplicateAfterDelete, p.hostile.ForgetDelete = 0, 0
		}
		p.queue.SetHostility(p.hostile)
	case n == 10:
		p.hostile = queuetest.Hostility{}
		p.queue.SetHostility(p.hostile)
	case n == 11:
		for _, m := range p.queue.Messages() {
			if p.random.IntN(2) == 0 {
				p.queue.Expire(m.ID)
			}
		}
	case n == 12:
		p.exec.FailCreate(executor.ErrUnavailable)
	case n == 13:
		p.exec.FailCreate(nil)
	case n == 14:
		p.request(record.Failed, wantRetry)
	default:
		p.request(record.Succeeded, wantPrune)
	}
}

// request asks for something by the records alone.
func (p *pair) request(state record.State, what executor.Patch) {
	for _, name := range p.exec.Names(state) {
		before := p.asked(name)
		if _, err := p.exec.Patch(context.Background(), name, "", what); err == nil && !before && what.RetryRequested != nil {
			p.retried[name]++
		}
	}
}

func (p *pair) judge() {
	t := p.t
	starts := map[string]int{} // creates by attempt
	last := map[string]int{}   // the highest attempt by name
	have := map[string]map[string]bool{}
	for _, job := range p.exec.Created() {
		starts[fmt.Sprint(job.Name, " attempt ", job.Attempt)]++
		last[job.Name] = max(last[job.Name], job.Attempt)
		if have[job.Message.ID] == nil {
			have[job.Message.ID] = map[string]bool{}
		}
		have[job.Message.ID][job.Name] = true
	}
	for what, n := range starts {
		if n > 1 {
			t.Errorf("%s was started %d times", what, n)
		}
	}
	for id, want := range p.sent {
		if len(have[id]) != want {
			t.Errorf("message %s became %d jobs, want %d", id, len(have[id]), want)
		}
	}
	onCreate := p.qj.Spec.Ack == v1alpha1.AckOnCreate
	for name, n := range last {
		if onCreate && n-1 > p.retried[name] {
			t.Errorf("%s: %d further attempts, %d retries were asked for", name, n-1, p.retried[name])
		}
	}
	succeeded := 0
	for _, rec := range p.list() {
		if !rec.State.Finished() || rec.RetryRequested || rec.State != record.Succeeded && !onCreate {
			t.Errorf("%s is %s, retry requested %v", rec.Name, rec.State, rec.RetryRequested)
		}
		// Of an S3 event some records may be gone and the others unconfirmed: they
		// stay until no queue can have the message any more.
		if rec.State == record.Succeeded && len(p.qj.Spec.Message.Format) == 0 {
			succeeded++
			if p.faithful && rec.PruneRequested {
				t.Errorf("%s is still there", rec.Name)
			}
		}
	}
	if p.faithful && succeeded > 2 {
		t.Errorf("%d succeeded records are kept, want 2 at most", succeeded)
	}
	p.wantQueue(0, 0)
}

// noExtensions is a queue that answers this controller's extensions no more.
type noExtensions struct{ *queuetest.Fake }

func (noExtensions) Extend(_ context.Context, extensions []queue.Extension) []error {
	return allOf(len(extensions), queue.ErrUnreachable)
}

func TestNothingIsCreatedForAMessageWhoseLeaseRanOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, queuetest.Options{}, nil)
		w.via.queue = noExtensions{w.queue}
		w.exec.FailCreate(executor.ErrUnavailable)
		w.start()
		defer w.stop()
		w.send("a")
		w.runner.Suspend(true)
		w.pass(90 * time.Second)
		// Another controller does it meanwhile, and its record is removed.
		got, err := w.queue.Receive(t.Context(), queue.ReceiveOptions{Max: 1})
		if err != nil || len(got) != 1 {
			t.Fatalf("received %d, %v: the lease should have run out", len(got), err)
		}
		if err := w.queue.Delete(t.Context(), []queue.Receipt{got[0].Receipt})[0]; err != nil {
			t.Fatal(err)
		}
		w.exec.FailCreate(nil)
		w.pass(10 * time.Minute)
		w.wantCreated(0)
	})
}
