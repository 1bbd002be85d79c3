package queuejob_test

import (
	"context"
	"errors"
	"fmt"
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

var errDead = errors.New("the controller is dead")

// mortal stands between a Runner and the world. At its n-th call the controller
// dies, before the call is made or after it with the answer lost; from then on
// no call gets through, as after kill -9.
type mortal struct {
	queue.Queue
	queuejob.Executor

	after bool // the fatal call is made
	dies  func()

	mu    sync.Mutex
	left  int // calls until death
	calls int
	dead  bool
}

// call makes one call unless the controller is dead or dies of it.
func (m *mortal) call(do func()) error {
	m.mu.Lock()
	if m.dead {
		m.mu.Unlock()
		return errDead
	}
	m.calls++
	m.left--
	fatal := m.left == 0
	m.dead = fatal
	m.mu.Unlock()
	if !fatal || m.after {
		do()
	}
	if fatal {
		m.dies()
		return errDead
	}
	return nil
}

func (m *mortal) Receive(ctx context.Context, o queue.ReceiveOptions) (got []queue.Message, err error) {
	if dead := m.call(func() { got, err = m.Queue.Receive(ctx, o) }); dead != nil {
		return nil, dead
	}
	return got, err
}

func (m *mortal) Delete(ctx context.Context, receipts []queue.Receipt) (errs []error) {
	if dead := m.call(func() { errs = m.Queue.Delete(ctx, receipts) }); dead != nil {
		return allOf(len(receipts), dead)
	}
	return errs
}

func (m *mortal) Extend(ctx context.Context, extensions []queue.Extension) (errs []error) {
	if dead := m.call(func() { errs = m.Queue.Extend(ctx, extensions) }); dead != nil {
		return allOf(len(extensions), dead)
	}
	return errs
}

func allOf(n int, err error) []error {
	errs := make([]error, n)
	for i := range errs {
		errs[i] = err
	}
	return errs
}

func (m *mortal) Create(ctx context.Context, job executor.Job) (rec record.Record, err error) {
	if dead := m.call(func() { rec, err = m.Executor.Create(ctx, job) }); dead != nil {
		return record.Record{}, dead
	}
	return rec, err
}

func (m *mortal) Get(ctx context.Context, name string) (rec record.Record, err error) {
	if dead := m.call(func() { rec, err = m.Executor.Get(ctx, name) }); dead != nil {
		return record.Record{}, dead
	}
	return rec, err
}

func (m *mortal) Patch(ctx context.Context, name, uid string, p executor.Patch) (rec record.Record, err error) {
	if dead := m.call(func() { rec, err = m.Executor.Patch(ctx, name, uid, p) }); dead != nil {
		return record.Record{}, dead
	}
	return rec, err
}

func (m *mortal) List(ctx context.Context, queueJob string) (list []record.Record, err error) {
	if dead := m.call(func() { list, err = m.Executor.List(ctx, queueJob) }); dead != nil {
		return nil, dead
	}
	return list, err
}

func (m *mortal) Watch(ctx context.Context, queueJob string, ready func(), handle func(executor.Event)) error {
	return m.Executor.Watch(ctx, queueJob, ready, func(ev executor.Event) {
		m.mu.Lock()
		dead := m.dead
		m.mu.Unlock()
		if !dead {
			handle(ev)
		}
	})
}

func (m *mortal) Delete2(ctx context.Context, name, uid string) (err error) {
	if dead := m.call(func() { err = m.Executor.Delete(ctx, name, uid) }); dead != nil {
		return dead
	}
	return err
}

// mortalQueue and mortalExecutor are the two sides of a mortal, whose Delete
// methods differ.
type mortalQueue struct{ *mortal }

func (m mortalQueue) Send(ctx context.Context, out []queue.Outgoing) []queue.SendResult {
	return m.Queue.Send(ctx, out)
}

type mortalExecutor struct{ *mortal }

func (m mortalExecutor) Delete(ctx context.Context, name, uid string) error {
	return m.Delete2(ctx, name, uid)
}

// work finishes every job that runs for a second, until stopped. Jobs whose body
// starts with "fail" fail at their first attempt.
func (w *world) work(ctx context.Context) {
	timer := time.NewTimer(time.Second)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
			timer.Reset(time.Second)
		}
		for _, name := range w.exec.Names(record.Running) {
			rec, err := w.exec.Get(context.Background(), name)
			if err != nil || time.Since(rec.StartedAt) < time.Second {
				continue
			}
			w.exec.Finish(name, !(rec.LastAttempt() == 1 && len(rec.Message.Body) > 4 && rec.Message.Body[:4] == "fail"))
		}
	}
}

// crashScenario is a load and what must hold of it in the end, wherever the
// controller died meanwhile.
type crashScenario struct {
	name    string
	set     func(*v1alpha1.QueueJobSpec)
	bodies  []string
	hostile queuetest.Hostility
	starts  int // attempts in all
	states  string
	records int // each message's, by ID
}

var crashScenarios = []crashScenario{
	{name: "OnCreate", bodies: []string{"one", "fail two", "three"}, starts: 3, states: "2 Succeeded, 1 Failed", records: 3},
	{name: "OnSuccess", set: onSuccess, bodies: []string{"one", "fail two", "three"}, starts: 4, states: "3 Succeeded", records: 3},
	{name: "OnCreate, s3Event", set: func(s *v1alpha1.QueueJobSpec) {
		s.Message.Format = []v1alpha1.MessageFormat{v1alpha1.FormatS3Event}
	}, bodies: []string{s3Event("a", "b", "c")}, starts: 3, states: "3 Succeeded", records: 3},
	{name: "OnSuccess, s3Event", set: func(s *v1alpha1.QueueJobSpec) {
		s.Ack = v1alpha1.AckOnSuccess
		s.Message.Format = []v1alpha1.MessageFormat{v1alpha1.FormatS3Event}
	}, bodies: []string{s3Event("a", "b", "c")}, starts: 3, states: "3 Succeeded", records: 3},
	{
		name: "OnCreate, duplicates and forgotten deletes", bodies: []string{"one", "fail two", "three"},
		hostile: queuetest.Hostility{DuplicateAfterDelete: .3, ForgetDelete: .3, LoseAnswer: .1, Throttle: .1},
		starts:  3, states: "2 Succeeded, 1 Failed", records: 3,
	},
	{
		name: "OnSuccess, duplicates and forgotten deletes", set: onSuccess, bodies: []string{"one", "fail two", "three"},
		hostile: queuetest.Hostility{DuplicateAfterDelete: .3, ForgetDelete: .3, LoseAnswer: .1, Throttle: .1},
		starts:  4, states: "3 Succeeded", records: 3,
	},
}

func s3Event(keys ...string) string {
	body := `{"Records":[`
	for i, k := range keys {
		if i > 0 {
			body += ","
		}
		body += fmt.Sprintf(`{"eventSource":"aws:s3","eventName":"ObjectCreated:Put","s3":{"bucket":{"name":"b"},"object":{"key":%q,"size":1}}}`, k)
	}
	return body + "]}"
}

func TestControllerDeadAtAnyCallStartsNothingTwiceAndLosesNothing(t *testing.T) {
	for _, s := range crashScenarios {
		t.Run(s.name, func(t *testing.T) {
			for _, after := range []bool{false, true} {
				died := 0
				for n := 1; ; n++ {
					if !s.run(t, n, after) {
						break
					}
					died++
				}
				if died < 8 {
					t.Errorf("died at %d calls only: the test covers nothing", died)
				}
				t.Logf("died at each of %d calls (call made: %v)", died, after)
			}
		})
	}
}

// run lets the first controller die at its n-th call and a second one finish;
// false when the first one did all the work in fewer calls.
func (s *crashScenario) run(t *testing.T, n int, after bool) (died bool) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, queuetest.Options{}, s.set)
		h := s.hostile
		h.Seed = uint64(n)
		ids := w.send(s.bodies...)
		w.queue.SetHostility(h)
		ctx, stopWork := context.WithCancel(t.Context())
		worked := make(chan struct{})
		go func() { defer close(worked); w.work(ctx) }()

		dead := make(chan struct{})
		m := &mortal{Queue: w.queue, Executor: w.exec, left: n, after: after, dies: sync.OnceFunc(func() { close(dead) })}
		w.via.queue, w.via.exec = mortalQueue{m}, mortalExecutor{m}
		w.start()
		select {
		case <-dead:
			died = true
		case <-time.After(3 * time.Minute):
		}
		w.stop()

		w.via.queue, w.via.exec = w.queue, w.exec
		w.start()
		w.pass(10 * time.Minute)
		w.queue.SetHostility(queuetest.Hostility{})
		w.pass(30 * time.Minute)
		w.stop()
		stopWork()
		<-worked

		defer func() {
			if t.Failed() {
				t.Errorf("… with the controller dead at call %d, made: %v", n, after)
			}
		}()
		w.wantCreated(s.starts)
		w.wantStates(s.states)
		w.wantQueue(0, 0)
		byID := map[string]int{}
		for _, name := range w.exec.Names("") {
			byID[w.record(name).Message.ID]++
		}
		total := 0
		for _, id := range ids {
			total += byID[id]
		}
		if total != s.records {
			t.Errorf("%d records of the messages sent, want %d: %v", total, s.records, byID)
		}
	})
	return died && !t.Failed()
}
