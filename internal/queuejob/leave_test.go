package queuejob_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/queuemill/queuemill/internal/executor"
	"github.com/queuemill/queuemill/internal/queue/queuetest"
)

func TestJobsThatOutliveTheRunnerKeepTheirMessagesInFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, queuetest.Options{MaxReceiveCount: 2}, onSuccess)
		for range 5 { // more leaders than receives are allowed
			w.start()
			w.runner.LeaveJobs(true)
			if len(w.exec.Names("")) == 0 {
				w.send("a")
				w.exec.FailCreate(executor.ErrUnavailable)
				w.send("b")
			}
			w.pass(100 * time.Second) // most of the visibility timeout
			w.stop()
			w.exec.FailCreate(nil)
			w.pass(100 * time.Second) // whoever leads next has a whole one
		}
		w.start()
		defer w.stop()
		w.wantStates("2 Running") // b was given back: it had no job yet
		w.finish(true)
		w.pass(time.Second)
		w.wantQueue(0, 0)
		w.wantCreated(2)
		if n := len(w.dead()); n != 0 {
			t.Errorf("%d dead letters of jobs that succeeded", n)
		}
	})
}

func TestJobsThatEndWithTheRunnerGiveTheirMessagesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, queuetest.Options{}, onSuccess)
		w.start()
		w.runner.LeaveJobs(true)
		w.runner.LeaveJobs(false)
		w.send("a")
		w.stop()
		w.wantQueue(1, 0)
	})
}
