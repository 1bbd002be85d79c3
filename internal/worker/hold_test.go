package worker

import (
	"context"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/queuemill/queuemill/internal/queue"
	"github.com/queuemill/queuemill/internal/queue/queuetest"
)

func TestWhatIsWorkedOnIsExtendedInBatches(t *testing.T) {
	inWorld(t, func(s *setup) {
		s.do, s.flags.Concurrency = takes(10*time.Minute, Result{Kind: Done}), 50
	}, func(w *world) {
		w.send(numbers(50)...)
		w.pass(11 * time.Minute)
		w.wantLeft(0, 0)
		if w.h.count() != 50 {
			w.Errorf("%d deliveries of 50 messages: the hold was lost", w.h.count())
		}
		// Every 30 s, all in one call.
		if n := w.q.Calls(queuetest.OpExtend); n < 18 || n > 25 {
			w.Errorf("%d calls to extend in ten minutes", n)
		}
	})
}

func TestHeartbeatIsTheTimeBetweenExtensions(t *testing.T) {
	inWorld(t, func(s *setup) {
		s.do, s.flags.Heartbeat = takes(time.Minute, Result{Kind: Done}), 5*time.Second
	}, func(w *world) {
		w.send("x")
		w.pass(time.Minute)
		if n := w.q.Calls(queuetest.OpExtend); n < 10 || n > 13 {
			w.Errorf("%d extensions in a minute", n)
		}
	})
}

func TestAHoldEndsBeforeTheQueuesTwelveHours(t *testing.T) {
	inWorld(t, func(s *setup) {
		s.do, s.flags.Concurrency = takes(13*time.Hour, Result{Kind: Done}), 1
	}, func(w *world) {
		w.send("x")
		w.pass(11*time.Hour + 50*time.Minute)
		w.wantLeft(0, 1)
		w.pass(20 * time.Minute)
		w.wantLeft(1, 0)
		if !strings.Contains(w.log.String(), "12 h") {
			w.Error("nothing is said")
		}
	})
}

func TestALongHoldIsExtendedByWhatIsLeft(t *testing.T) {
	inWorld(t, func(s *setup) {
		s.do, s.flags.Concurrency, s.flags.Visibility = takes(11*time.Hour+30*time.Minute, Result{Kind: Done}), 1, 8*time.Hour
	}, func(w *world) {
		w.send("x")
		w.pass(11*time.Hour + 31*time.Minute)
		w.wantLeft(0, 0)
		if w.h.count() != 1 {
			w.Errorf("%d deliveries", w.h.count())
		}
	})
}

// hangs is a queue whose extensions come to nothing for a while.
type hangs struct {
	*queuetest.Fake
	calls atomic.Int32
}

func (q *hangs) Extend(ctx context.Context, all []queue.Extension) []error {
	if q.calls.Add(1) > 1 {
		return q.Fake.Extend(ctx, all)
	}
	<-ctx.Done()
	return slices.Repeat([]error{errAway}, len(all))
}

func TestOneConnectionThatHangsLosesNothing(t *testing.T) {
	inWorld(t, func(s *setup) {
		s.do = takes(3*time.Minute, Result{Kind: Done})
		s.wrap = func(q *queuetest.Fake) queue.Queue { return &hangs{Fake: q} }
	}, func(w *world) {
		w.send("x")
		w.pass(4 * time.Minute)
		w.wantLeft(0, 0)
		if w.h.count() != 1 {
			w.Errorf("%d deliveries", w.h.count())
		}
	})
}

func TestNothingBeginsThatIsSomebodyElses(t *testing.T) {
	inWorld(t, func(s *setup) {
		s.queue.Name, s.queue.FIFO, s.do = "work.fifo", true, takes(5*time.Minute, Result{Kind: Done})
	}, func(w *world) {
		w.w.Drain(true, 0)
		for _, body := range []string{"a0", "a1"} {
			w.sendOne(queue.Outgoing{Body: body, GroupID: "a", DeduplicationID: body})
		}
		w.w.Drain(false, 0)
		w.pass(time.Second)
		w.q.SetHostility(queuetest.Hostility{Unreachable: true})
		w.pass(6 * time.Minute)
		if got := w.h.bodies(); got != "a0" {
			w.Errorf("worked on %s though the visibility timeout was over", got)
		}
		w.q.SetHostility(queuetest.Hostility{})
	})
}

func TestNothingBeginsOnceItShallEnd(t *testing.T) {
	inWorld(t, func(s *setup) {
		s.queue.Name, s.queue.FIFO, s.do = "work.fifo", true, takes(10*time.Second, Result{Kind: Done})
	}, func(w *world) {
		w.w.Drain(true, 0)
		for _, body := range []string{"a0", "a1"} {
			w.sendOne(queue.Outgoing{Body: body, GroupID: "a", DeduplicationID: body})
		}
		w.w.Drain(false, 0)
		w.pass(time.Second)
		w.w.Stop()
		w.pass(11 * time.Second)
		if got := w.h.bodies(); got != "a0" || !w.finished() {
			w.Errorf("worked on %s", got)
		}
		w.wantLeft(1, 0)
	})
}

func TestWhatMayNotBeDeletedStopsEverything(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		w.pass(time.Second)
		var denied []queuetest.Fault
		for range 8 {
			denied = append(denied, queuetest.Fault{Err: queue.ErrDenied})
		}
		w.q.Script(queuetest.OpDelete, denied...)
		w.send("x")
		w.pass(time.Second)
		w.send("y")
		if got := w.h.bodies(); got != "x" || w.w.Report().Trouble == "" {
			w.Errorf("worked on %s while x can't be deleted: %+v", got, w.w.Report())
		}
		w.pass(10 * time.Minute)
		w.wantLeft(0, 0)
		if got := w.h.bodies(); got != "x y" {
			w.Errorf("worked on %s", got)
		}
	})
}

func TestADelayIsWhatIsLeftOfTheTwelveHours(t *testing.T) {
	inWorld(t, func(s *setup) {
		s.do, s.flags.Concurrency = takes(time.Hour, Result{Kind: NotNow, Delay: 12 * time.Hour}), 1
	}, func(w *world) {
		w.send("x")
		w.pass(11 * time.Hour)
		if w.h.count() != 1 {
			w.Errorf("%d deliveries: the delay was refused", w.h.count())
		}
		w.pass(2 * time.Hour)
		if w.h.count() != 2 {
			w.Errorf("%d deliveries", w.h.count())
		}
	})
}

func TestAQueueThatIsAwayEndsNoWork(t *testing.T) {
	inWorld(t, func(s *setup) { s.do = takes(2*time.Minute, Result{Kind: Done}) }, func(w *world) {
		w.send("x")
		w.pass(31 * time.Second) // extended until 90 s
		w.q.SetHostility(queuetest.Hostility{Unreachable: true})
		w.pass(55 * time.Second)
		w.q.SetHostility(queuetest.Hostility{})
		w.pass(time.Minute)
		w.wantLeft(0, 0)
		if w.h.count() != 1 || strings.Contains(w.log.String(), "left the hand") {
			w.Errorf("%d deliveries", w.h.count())
		}
	})
}

func TestADeleteIsRepeatedUntilItIsAnswered(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		w.pass(time.Second)
		w.q.Script(queuetest.OpDelete, queuetest.Fault{Err: errAway}, queuetest.Fault{Err: errAway, Done: true}, queuetest.Fault{Err: errAway})
		w.send("x")
		w.pass(25 * time.Millisecond) // the batch's wait for more
		if r := w.w.Report(); r.InHand != 1 || !strings.Contains(r.Trouble, "unreachable") {
			w.Errorf("%+v", r)
		}
		w.send("y")
		if got := w.h.bodies(); got != "x" {
			w.Errorf("worked on %q while the first can't be settled", got)
		}
		w.pass(10 * time.Second)
		w.wantLeft(0, 0)
		if n := w.q.Calls(queuetest.OpDelete); n < 4 || n > 6 {
			w.Errorf("%d calls to delete", n)
		}
	})
}

func TestSettlingEndsWithTheVisibilityTimeout(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		w.h.do = func(context.Context, *Task) Result {
			w.q.SetHostility(queuetest.Hostility{Unreachable: true})
			return Result{Kind: Done}
		}
		w.send("x")
		w.pass(59 * time.Second)
		if w.w.Report().InHand == 0 {
			w.Error("it gave up before the visibility timeout was over")
		}
		w.pass(5 * time.Second)
		if r := w.w.Report(); r.Done != 1 {
			w.Errorf("it still tries: %+v", r)
		}
	})
}

func TestAWorkerThatCantSettleSaysSoAndIsNotSick(t *testing.T) {
	inWorld(t, func(s *setup) { s.flags.Visibility = time.Hour }, func(w *world) {
		w.h.do = func(context.Context, *Task) Result {
			w.q.SetHostility(queuetest.Hostility{Throttle: 1})
			return Result{Kind: Done}
		}
		w.send("x")
		w.pass(time.Minute)
		if err := w.w.Healthy(); err != nil {
			w.Errorf("after a minute: %v", err)
		}
		w.pass(2 * time.Minute)
		if err := w.w.Healthy(); err != nil {
			w.Errorf("after three: %v; a restart would settle nothing", err)
		}
		if r := w.w.Report(); !strings.Contains(r.Trouble, "throttles") {
			w.Errorf("%+v", r)
		}
		w.q.SetHostility(queuetest.Hostility{})
		w.pass(5 * time.Second)
		if r := w.w.Report(); r.InHand != 0 {
			w.Errorf("once it can: %+v", r)
		}
	})
}

func TestAReceiveLoopThatStandsStillIsNotHealthy(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		w.pass(10 * time.Minute)
		if err := w.w.Healthy(); err != nil {
			w.Errorf("idle: %v", err)
		}
		w.w.mu.Lock()
		w.w.looped = time.Now().Add(-stuckAfter - time.Second)
		w.w.mu.Unlock()
		if err := w.w.Healthy(); err == nil || !strings.Contains(err.Error(), "receive loop") {
			w.Errorf("stuck: %v", err)
		}
	})
}

func TestDrainAgreesWhenNothingIsInHand(t *testing.T) {
	inWorld(t, func(s *setup) { s.do = takes(time.Minute, Result{Kind: Done}) }, func(w *world) {
		w.send("x")
		if r := w.w.Drain(true, 0); r.Agreed() || !r.Draining || r.InHand != 1 || r.ID != "w1" {
			w.Errorf("while it works: %+v", r)
		}
		w.send("y")
		w.pass(59 * time.Second)
		w.wantLeft(1, 1)
		w.pass(2 * time.Second)
		r := w.w.Report()
		if !r.Agreed() || r.Done != 1 || r.ServiceSeconds != 60 {
			w.Errorf("when it is done: %+v", r)
		}
		w.pass(time.Hour)
		w.wantLeft(1, 0)
		if r := w.w.Drain(false, 0); r.Draining {
			w.Errorf("told to go on: %+v", r)
		}
		w.pass(2 * time.Minute)
		w.wantLeft(0, 0)
	})
}

func TestADrainCallsOffTheReceivesAtOnce(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		w.pass(5 * time.Second)
		start := time.Now()
		if r := w.w.Drain(true, 0); !r.Agreed() || time.Since(start) > 0 {
			w.Errorf("%+v after %v", r, time.Since(start))
		}
	})
}

func TestAHeldWorkerReceivesOnceItIsToldToGoOn(t *testing.T) {
	inWorld(t, func(s *setup) { s.held = true }, func(w *world) {
		w.send("x")
		w.pass(time.Hour)
		w.wantLeft(1, 0)
		if r := w.w.Report(); !r.Agreed() {
			w.Errorf("held: %+v", r)
		}
		if r := w.w.Drain(false, 1); r.Draining {
			w.Errorf("told to go on: %+v", r)
		}
		w.pass(time.Second)
		w.wantLeft(0, 0)
	})
}

func TestAnOvertakenOrderToGoOnChangesNothing(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		for _, order := range []struct {
			drain   bool
			term    int64
			drained bool
		}{
			{true, 1, true},
			{false, 2, false},
			{true, 3, true},
			{false, 2, true},
			{false, 3, true},
			{false, 4, false},
			{true, 2, true},
			{false, 3, true},
			{false, 0, false},
			{true, 0, true},
			{false, 5, false},
		} {
			if r := w.w.Drain(order.drain, order.term); r.Draining != order.drained || w.w.Report().Draining != order.drained {
				w.Errorf("%+v: %+v", order, r)
			}
		}
	})
}

func TestStopFinishesWhatRuns(t *testing.T) {
	inWorld(t, func(s *setup) { s.do = takes(20*time.Second, Result{Kind: Done}) }, func(w *world) {
		w.send("x")
		w.w.Stop()
		w.send("y")
		w.pass(19 * time.Second)
		if w.finished() {
			w.Fatal("it did not wait")
		}
		w.pass(2 * time.Second)
		if !w.finished() {
			w.Fatal("it has not ended")
		}
		w.wantLeft(1, 0)
		if w.w.Drain(false, 0); !w.w.Report().Draining {
			w.Error("told to go on, it does so though it ends")
		}
	})
}

func TestTheDeadlineGivesBackAtOnce(t *testing.T) {
	var ended atomic.Int64
	inWorld(t, func(s *setup) {
		s.do = func(ctx context.Context, _ *Task) Result {
			<-ctx.Done()
			<-time.After(time.Second) // the grace of the command
			ended.Store(time.Now().UnixNano())
			return cut(ctx, 0)
		}
	}, func(w *world) {
		w.send(numbers(8)...)
		w.pass(20 * time.Millisecond)
		w.w.Stop()
		start := time.Now()
		w.pass(30*time.Second + 900*time.Millisecond)
		w.wantLeft(0, 8) // not before their work has ended
		w.pass(time.Second)
		w.wantLeft(8, 0)
		took := time.Unix(0, ended.Load()).Sub(start)
		if !w.finished() || took < 31*time.Second || took > 32*time.Second {
			w.Errorf("finished %v, the work ended after %v", w.finished(), took)
		}
	})
}

func TestTheEndDoesNotWaitForAQueueThatIsAway(t *testing.T) {
	inWorld(t, func(s *setup) { s.do = takes(time.Hour, Result{Kind: Done}) }, func(w *world) {
		w.send("x")
		w.q.SetHostility(queuetest.Hostility{Unreachable: true})
		w.w.Stop()
		w.pass(30*time.Second + settleGrace + 100*time.Millisecond)
		if !w.finished() {
			w.Error("it still waits")
		}
	})
}

func TestATimeoutFailsTheMessage(t *testing.T) {
	inWorld(t, func(s *setup) {
		s.do, s.flags.Timeout = takes(time.Hour, Result{Kind: Done}), 10*time.Second
	}, func(w *world) {
		w.send("x")
		w.pass(11 * time.Second)
		synctest.Wait()
		if r := w.w.Report(); r.Failed != 1 || !strings.Contains(w.log.String(), "timed out after") {
			w.Errorf("%+v", r)
		}
	})
}

func TestWhateverAHandlerSaysAtTheDeadlineItIsGivenBackAtOnce(t *testing.T) {
	do := func(ctx context.Context, _ *Task) Result {
		<-ctx.Done()
		return Result{Kind: Failed, Reason: "ended by SIGTERM"}
	}
	for _, name := range []string{"work", "work.fifo"} {
		inWorld(t, func(s *setup) { s.queue.Name, s.queue.FIFO, s.do = name, name != "work", do }, func(w *world) {
			w.w.Drain(true, 0)
			for _, body := range []string{"1", "2", "3"} {
				w.sendOne(queue.Outgoing{Body: body, GroupID: "g", DeduplicationID: body})
			}
			w.w.Drain(false, 0)
			w.pass(time.Second)
			w.wantLeft(0, 3)
			w.w.Stop()
			w.pass(30*time.Second + 100*time.Millisecond)
			if !w.finished() {
				w.Error("it has not ended")
			}
			w.wantLeft(3, 0)
		})
	}
}
