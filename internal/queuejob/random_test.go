package queuejob_test

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/queuemill/queuemill/api/v1alpha1"
	"github.com/queuemill/queuemill/internal/executor"
	"github.com/queuemill/queuemill/internal/queue/queuetest"
	"github.com/queuemill/queuemill/internal/queuejob"
	"github.com/queuemill/queuemill/internal/record"
)

var seeds = flag.Uint64("seeds", 60, "how many scenarios of TestAnythingGoes, in each mode")

// TestAnythingGoes lets everything go wrong at random, and then calm return: by
// then every message has one record, none was done twice, and the queue is empty.
func TestAnythingGoes(t *testing.T) {
	for seed := range *seeds {
		for _, ack := range []v1alpha1.AckMode{v1alpha1.AckOnCreate, v1alpha1.AckOnSuccess} {
			t.Run(fmt.Sprint(ack, " seed ", seed), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					c := &chaos{world: newWorld(t, queuetest.Options{FIFO: seed%3 == 0}, func(s *v1alpha1.QueueJobSpec) {
						s.Ack = ack
						s.MaxActive = 4
						all := 10_000
						s.SuccessfulJobsHistoryLimit = &all
						if seed%5 == 1 {
							s.Message.Format = []v1alpha1.MessageFormat{v1alpha1.FormatS3Event}
						}
					}), random: rand.New(rand.NewPCG(seed, 7)), retried: map[string]int{}}
					c.run()
				})
			})
		}
	}
}

// chaos is a world in which anything may happen next.
type chaos struct {
	*world
	random  *rand.Rand
	hostile queuetest.Hostility
	mortal  *mortal
	sent    map[string]int // records to be, by message ID
	retried map[string]int // requests that were taken, by name
	calm    bool
}

func (c *chaos) run() {
	c.sent = map[string]int{}
	c.live()
	for range 60 {
		c.step()
		c.pass(time.Duration(c.random.IntN(8000)) * time.Millisecond)
	}
	c.calm = true
	c.queue.SetHostility(queuetest.Hostility{})
	c.exec.FailCreate(nil)
	c.exec.FailPatch(nil)
	c.exec.FailList(nil)
	c.exec.AfterCreate(nil)
	c.runner.Suspend(false)
	for range 20 {
		c.pass(3 * time.Minute)
		c.endSome()
	}
	c.pass(time.Hour)
	if !c.runner.Idle() {
		c.t.Errorf("not idle: %+v", c.runner.Status())
	}
	c.stop()
	c.judge()
}

// live starts a controller that can die.
func (c *chaos) live() {
	c.mortal = &mortal{Queue: c.queue, Executor: c.exec, dies: func() {}}
	c.via.queue, c.via.exec = mortalQueue{c.mortal}, mortalExecutor{c.mortal}
	c.start()
}

func (c *chaos) step() {
	switch n := c.random.IntN(20); {
	case n < 5:
		c.queue.SetHostility(queuetest.Hostility{}) // what was sent is to be known
		for range 1 + c.random.IntN(4) {
			body, records := c.body()
			c.sent[c.send(body)[0]] = records
		}
		c.queue.SetHostility(c.hostile)
	case n < 9:
		c.endSome()
	case n == 9:
		c.die(c.mortal)
		if c.random.IntN(2) == 0 { // the jobs die too
			for _, name := range c.exec.Names(record.Running) {
				c.exec.Interrupt(name)
			}
		}
		c.live()
	case n == 10:
		c.stop()
		c.live()
	case n == 11:
		c.hostile = queuetest.Hostility{
			Seed: c.random.Uint64(), DuplicateAfterDelete: c.random.Float64() / 2, ForgetDelete: c.random.Float64() / 2,
			LoseAnswer: c.random.Float64() / 3, Throttle: c.random.Float64() / 2, Unreachable: c.random.IntN(5) == 0,
		}
		c.queue.SetHostility(c.hostile)
	case n == 12:
		c.hostile = queuetest.Hostility{}
		c.queue.SetHostility(c.hostile)
	case n == 13:
		for _, m := range c.queue.Messages() {
			if c.random.IntN(3) == 0 {
				c.queue.Expire(m.ID)
			}
		}
	case n == 14:
		lose := sync.Mutex{}
		random := rand.New(rand.NewPCG(c.random.Uint64(), 1))
		hook := func(executor.Job) error {
			lose.Lock()
			defer lose.Unlock()
			if random.IntN(2) == 0 {
				return executor.ErrUnavailable
			}
			return nil
		}
		c.exec.BeforeCreate(hook)
		c.exec.AfterCreate(hook)
	case n == 15:
		c.exec.FailCreate(nil)
		c.exec.AfterCreate(nil)
		c.exec.FailPatch(nil)
		c.exec.FailList(nil)
	case n == 16:
		c.exec.FailPatch(executor.ErrUnavailable)
	case n == 17:
		c.exec.FailList(executor.ErrUnavailable)
	case n == 18:
		c.runner.Suspend(c.random.IntN(2) == 0)
	default:
		for _, name := range c.exec.Names(record.Failed) {
			before := c.asked(name)
			if c.runner.Retry(context.Background(), name) == nil && !before {
				c.retried[name]++
			}
		}
	}
}

func (c *chaos) asked(name string) bool {
	for _, rec := range c.list() {
		if rec.Name == name {
			return rec.RetryRequested
		}
	}
	return false
}

func (c *chaos) list() []record.Record {
	list, _ := c.exec.List(context.Background(), "")
	return list
}

// body is a message's, and how many records it becomes.
func (c *chaos) body() (string, int) {
	if len(c.qj.Spec.Message.Format) == 0 {
		return strings.Repeat("x", c.random.IntN(9)+1), 1
	}
	keys := []string{"a", "b", "c"}[:1+c.random.IntN(3)]
	return s3Event(keys...), len(keys)
}

// endSome ends some of what runs, in calm all, and well.
func (c *chaos) endSome() {
	for _, name := range c.exec.Names(record.Running) {
		if c.calm || c.random.IntN(2) == 0 {
			c.exec.Finish(name, c.calm || c.random.IntN(3) > 0)
		}
	}
	synctest.Wait()
}

func (c *chaos) judge() {
	t := c.t
	have := map[string]int{}
	onCreate := c.qj.Spec.Ack == v1alpha1.AckOnCreate
	for _, rec := range c.list() {
		have[rec.Message.ID]++
		if !rec.State.Finished() || rec.RetryRequested {
			t.Errorf("%s is %s, retry requested %v", rec.Name, rec.State, rec.RetryRequested)
		}
		if rec.State != record.Succeeded && !onCreate {
			t.Errorf("%s is %s: its message should have come back until it succeeds", rec.Name, rec.State)
		}
		interrupted := 0
		for i, a := range rec.Attempts {
			if a.Cause == nil && i < len(rec.Attempts)-1 {
				t.Errorf("%s: attempt %d succeeded and attempt %d followed", rec.Name, a.Number, a.Number+1)
			}
			if a.Cause != nil && a.Cause.Reason == "Interrupted" {
				interrupted++
			}
		}
		if extra := len(rec.Attempts) - 1 - interrupted; onCreate && extra > c.retried[rec.Name] {
			t.Errorf("%s: %d further attempts, %d retries were asked for", rec.Name, extra, c.retried[rec.Name])
		}
	}
	for id, want := range c.sent {
		if have[id] != want {
			t.Errorf("message %s has %d records, want %d", id, have[id], want)
		}
		delete(have, id)
	}
	if len(have) > 0 {
		t.Errorf("records of messages that were not sent: %v", have)
	}
	c.wantQueue(0, 0)
}

var _ queuejob.Executor = mortalExecutor{}
