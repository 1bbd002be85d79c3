package worker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/queuemill/queuemill/api/v1alpha1"
	"github.com/queuemill/queuemill/internal/queue"
	"github.com/queuemill/queuemill/internal/queue/queuetest"
)

func numbers(n int) (all []string) {
	for i := range n {
		all = append(all, fmt.Sprint("m", i))
	}
	return all
}

func TestWhatBecomesOfAMessage(t *testing.T) {
	for _, tc := range []struct {
		result      Result
		least, most time.Duration // until it is delivered again; 0, 0: it is gone
		dead        string
	}{
		{Result{Kind: Done}, 0, 0, ""},
		{Result{Kind: Rejected, Reason: "no such customer"}, 0, 0, "no such customer"},
		{Result{Kind: NotNow, Delay: 90 * time.Second}, 90 * time.Second, 90 * time.Second, ""},
		{Result{Kind: NotNow}, time.Second, 2 * time.Second, ""},
		{Result{Kind: Failed, Reason: "exit code 1"}, time.Second, 2 * time.Second, ""},
	} {
		first := true
		var again time.Duration
		var at time.Time
		do := func(context.Context, *Task) Result {
			if first {
				first, at = false, time.Now()
				return tc.result
			}
			again = time.Since(at)
			return Result{Kind: Done}
		}
		inWorld(t, func(s *setup) { s.do = do }, func(w *world) {
			w.send("body")
			w.pass(2 * time.Minute)
			w.wantLeft(0, 0)
			if slack := 50 * time.Millisecond; again < tc.least || again > tc.most+slack {
				w.Errorf("%+v: delivered again after %v, want %v to %v", tc.result, again, tc.least, tc.most)
			}
			dead := w.dead.Messages()
			if tc.dead == "" && len(dead) > 0 || tc.dead != "" && (len(dead) != 1 || dead[0].Body != "body" || dead[0].Attributes[queue.AttributeReason].StringValue != tc.dead) {
				w.Errorf("%+v: dead letters %+v, want %q", tc.result, dead, tc.dead)
			}
		})
	}
}

func TestAFailureWaitsTwiceAsLongEachTime(t *testing.T) {
	var at []time.Time
	do := func(context.Context, *Task) Result {
		at = append(at, time.Now())
		return Result{Kind: Failed, Reason: "x"}
	}
	inWorld(t, func(s *setup) { s.do = do }, func(w *world) {
		w.send("poison")
		w.pass(3 * time.Hour)
		for i := 1; i < len(at); i++ {
			most := min(time.Duration(1<<i)*time.Second, 15*time.Minute)
			if got := at[i].Sub(at[i-1]); got < most/2 || got > most+50*time.Millisecond {
				w.Errorf("delivery %d came %v after the one before, want %v to %v", i+1, got, most/2, most)
			}
		}
		if len(at) < 15 {
			w.Errorf("%d deliveries in three hours", len(at))
		}
	})
}

func TestConcurrencyIsTheMostInHand(t *testing.T) {
	for _, n := range []int{1, 7, 64} {
		inWorld(t, func(s *setup) { s.flags.Concurrency, s.do = n, takes(time.Second, Result{Kind: Done}) }, func(w *world) {
			w.send(numbers(300)...)
			w.pass(300*time.Second/time.Duration(n) + 10*time.Second)
			w.wantLeft(0, 0)
			if w.h.most != n || w.h.count() != 300 {
				w.Errorf("concurrency %d: %d runs, %d at once", n, w.h.count(), w.h.most)
			}
		})
	}
}

func TestDeletesAndReceivesGoInTens(t *testing.T) {
	inWorld(t, func(s *setup) { s.flags.Concurrency, s.do = 64, takes(5*time.Millisecond, Result{Kind: Done}) }, func(w *world) {
		before := w.q.Calls(queuetest.OpReceive)
		w.send(numbers(2000)...)
		w.pass(5 * time.Second)
		w.wantLeft(0, 0)
		if n := w.q.Calls(queuetest.OpReceive) - before; n > 300 {
			w.Errorf("%d receives for 2000 messages", n)
		}
		if n := w.q.Calls(queuetest.OpDelete); n > 300 {
			w.Errorf("%d calls to delete 2000 messages", n)
		}
	})
}

func TestAReceiveThatFailsIsRepeatedAndSaid(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		w.q.SetHostility(queuetest.Hostility{Unreachable: true})
		w.pass(time.Minute)
		if r := w.w.Report(); !strings.Contains(r.Trouble, "unreachable") {
			w.Errorf("trouble %q", r.Trouble)
		}
		if err := w.w.Healthy(); err != nil {
			w.Errorf("a queue that is away is no stuck worker: %v", err)
		}
		if n := w.q.Calls(queuetest.OpReceive); n < 10 || n > 300 {
			w.Errorf("%d receives in a minute", n)
		}
		w.q.SetHostility(queuetest.Hostility{})
		w.send("x")
		w.pass(3 * time.Second)
		w.wantLeft(0, 0)
		if r := w.w.Report(); r.Trouble != "" {
			w.Errorf("trouble %q", r.Trouble)
		}
	})
}

func TestNothingIsReceivedUntilTheHandlerIsReady(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		w.h.setReady(errors.New("the server at x does not accept yet"))
		w.pass(time.Minute)
		w.send("x")
		w.pass(time.Minute)
		// The poll that was under way may bring one; none is begun.
		if got := w.q.Calls(queuetest.OpReceive); got > 1 {
			w.Errorf("%d receives", got)
		}
		if w.w.Healthy() == nil || w.w.Report().Trouble == "" {
			w.Error("it says that it is well")
		}
		w.h.setReady(nil)
		w.pass(time.Second)
		w.wantLeft(0, 0)
	})
}

func TestBreakerStopsReceivingAndLetsOneThrough(t *testing.T) {
	var good atomic.Bool
	do := func(context.Context, *Task) Result {
		if good.Load() {
			return Result{Kind: Done}
		}
		return Result{Kind: Failed, Reason: "x"}
	}
	inWorld(t, func(s *setup) {
		s.do, s.flags.Concurrency = do, 1
		d := func(d time.Duration) metav1.Duration { return metav1.Duration{Duration: d} }
		s.flags.Breaker = &v1alpha1.Breaker{Failures: 3, Within: d(time.Minute), Pause: d(10 * time.Minute)}
	}, func(w *world) {
		w.send(numbers(20)...)
		w.pass(time.Minute)
		if n := w.h.count(); n != 3 {
			w.Fatalf("%d messages were tried before it opened, want 3", n)
		}
		if r := w.w.Report(); !strings.Contains(r.Trouble, "3 messages failed within 1m0s") {
			w.Errorf("trouble %q", r.Trouble)
		}
		w.pass(10 * time.Minute)
		if n := w.h.count(); n != 4 {
			w.Fatalf("%d messages were tried, want one more", n)
		}
		good.Store(true)
		w.pass(11 * time.Minute)
		w.wantLeft(0, 0)
	})
}

func TestATrialThatSaysNothingIsFollowedByAnother(t *testing.T) {
	var results atomic.Int64
	do := func(context.Context, *Task) Result {
		switch results.Add(1) {
		case 1, 2:
			return Result{Kind: Failed, Reason: "x"}
		case 3:
			return Result{Kind: NotNow, Delay: time.Hour}
		}
		return Result{Kind: Done}
	}
	inWorld(t, func(s *setup) {
		s.do, s.flags.Concurrency = do, 1
		d := func(d time.Duration) metav1.Duration { return metav1.Duration{Duration: d} }
		s.flags.Breaker = &v1alpha1.Breaker{Failures: 2, Within: d(time.Minute), Pause: d(10 * time.Minute)}
	}, func(w *world) {
		w.send(numbers(20)...)
		w.pass(11 * time.Minute)
		if n := w.h.count(); n < 22 {
			w.Errorf("%d messages were tried", n)
		}
	})
}

func TestAMessageThatCantBeReadIsRejected(t *testing.T) {
	spec := v1alpha1.MessageSpec{Env: []v1alpha1.FieldEnv{{Name: "A", FieldPath: "a"}}}
	inWorld(t, func(s *setup) { s.flags.Message = spec }, func(w *world) {
		w.send(`{"a": 1}`, `{"b": 1}`, "not JSON")
		w.pass(time.Second)
		w.wantLeft(0, 0)
		var why []string
		for _, m := range w.dead.Messages() {
			why = append(why, m.Attributes[queue.AttributeReason].StringValue)
		}
		slices.Sort(why)
		if len(why) != 2 || !strings.HasPrefix(why[0], "FieldMissing: ") || !strings.HasPrefix(why[1], "NotJSON: ") || w.h.bodies() != `{"a": 1}` {
			w.Errorf("reasons %q, worked on %q", why, w.h.bodies())
		}
	})
}

func TestARejectedMessageIsKeptWhereThereIsNoDeadLetterQueue(t *testing.T) {
	inWorld(t, func(s *setup) { s.noDLQ, s.do = true, always(Result{Kind: Rejected, Reason: "no such customer"}) }, func(w *world) {
		w.send("x")
		w.wantLeft(0, 1)
		w.pass(time.Minute)
		if n := len(w.q.Messages()); n != 1 || w.h.count() < 3 {
			w.Errorf("%d messages are left after %d deliveries", n, w.h.count())
		}
		if !strings.Contains(w.log.String(), "level=ERROR") || !strings.Contains(w.log.String(), "no such customer") {
			w.Error("nothing is said at level error")
		}
		if r := w.w.Report(); !strings.Contains(r.Trouble, "rejected messages come back again and again: ") {
			w.Errorf("the pool is told %q", r.Trouble)
		}
	})
}

func TestMaxMessages(t *testing.T) {
	inWorld(t, func(s *setup) { s.flags.MaxMessages, s.flags.Concurrency = 7, 4 }, func(w *world) {
		w.send(numbers(20)...)
		w.pass(time.Second)
		if !w.finished() || w.h.count() != 7 {
			w.Errorf("finished %v after %d messages, want 7", w.finished(), w.h.count())
		}
		w.wantLeft(13, 0)
	})
}

func TestExitWhenEmpty(t *testing.T) {
	for _, grace := range []time.Duration{0, 45 * time.Second} {
		inWorld(t, func(s *setup) {
			s.flags.ExitWhenEmpty, s.do = &grace, takes(10*time.Second, Result{Kind: Done})
			s.flags.Concurrency = 2
		}, func(w *world) {
			w.send(numbers(4)...) // 20 s
			w.pass(20*time.Second + grace - time.Millisecond)
			if w.finished() {
				w.Fatal("it ended while it worked, or within the grace")
			}
			w.pass(3 * time.Second)
			if !w.finished() {
				w.Error("it has not ended")
			}
			w.wantLeft(0, 0)
		})
	}
}

func TestExitWhenAlone(t *testing.T) {
	inWorld(t, func(s *setup) {
		s.flags.ExitWhenAlone, s.do = time.Minute, takes(5*time.Minute, Result{Kind: Done})
	}, func(w *world) {
		w.pass(50 * time.Second)
		w.w.Report()
		w.pass(50 * time.Second)
		w.send("x")
		w.pass(5*time.Minute + 50*time.Second)
		if w.finished() {
			w.Fatal("it ended though it was asked, or while it worked")
		}
		w.pass(11 * time.Second)
		if !w.finished() {
			w.Error("it has not ended")
		}
	})
}

func TestAFIFOGroupStaysInOrder(t *testing.T) {
	var failed atomic.Bool
	do := func(_ context.Context, t *Task) Result {
		if t.Item.Payload == "a1" && failed.CompareAndSwap(false, true) {
			return Result{Kind: Failed, Reason: "x"}
		}
		return Result{Kind: Done}
	}
	inWorld(t, func(s *setup) { s.queue.Name, s.queue.FIFO, s.do = "work.fifo", true, do }, func(w *world) {
		w.w.Drain(true, 0)
		for _, body := range []string{"a0", "a1", "b0", "a2", "b1", "a3"} {
			w.sendOne(queue.Outgoing{Body: body, GroupID: body[:1], DeduplicationID: body})
		}
		w.w.Drain(false, 0)
		w.pass(time.Minute)
		w.wantLeft(0, 0)
		var a, b []string
		for body := range strings.FieldsSeq(w.h.bodies()) {
			if body[0] == 'a' {
				a = append(a, body)
			} else {
				b = append(b, body)
			}
		}
		if got := strings.Join(a, " ") + ", " + strings.Join(b, " "); got != "a0 a1 a1 a2 a3, b0 b1" {
			w.Errorf("worked on %s", got)
		}
	})
}

func TestMetricsAreOfTheClosedSet(t *testing.T) {
	inWorld(t, func(s *setup) { s.do = always(Result{Kind: Failed, Reason: "x"}) }, func(w *world) {
		w.send("x")
		synctest.Wait()
		all, err := w.reg.Gather()
		if err != nil {
			t.Fatal(err)
		}
		found := map[string]float64{}
		for _, f := range all {
			for _, m := range f.Metric {
				name := f.GetName()
				for _, l := range m.Label {
					name += "/" + l.GetValue()
				}
				found[name] = m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
		for name, want := range map[string]float64{
			"queuemill_worker_messages_total/failed": 1, "queuemill_worker_messages_total/done": 0, "queuemill_worker_messages_total/interrupted": 0,
			"queuemill_worker_messages_received_total": 1, "queuemill_worker_messages_working": 0, "queuemill_worker_messages_invalid_total/NotJSON": 0,
		} {
			if got, ok := found[name]; !ok || got != want {
				t.Errorf("%s is %v (%v), want %v", name, got, ok, want)
			}
		}
	})
}

// A command that can't work at all is seen where the pool is looked at, as soon
// as it is no accident of one message, and until one is done.
func TestWhatAlwaysFailsIsTrouble(t *testing.T) {
	var good atomic.Bool
	n := 0
	inWorld(t, func(s *setup) {
		s.flags.Concurrency = 1
		s.do = func(context.Context, *Task) Result {
			if good.Load() {
				return Result{Kind: Done}
			}
			n++
			return Result{Kind: Failed, Reason: fmt.Sprintf("no such program, the %d. time", n)}
		}
	}, func(w *world) {
		w.send(numbers(2)...)
		w.pass(500 * time.Millisecond)
		if r := w.w.Report(); r.Failed != 2 || r.Trouble != "" {
			w.Fatalf("after two: %+v", r)
		}
		w.pass(time.Minute)
		if r := w.w.Report(); !strings.Contains(r.Trouble, "every message has failed since ") || !strings.HasSuffix(r.Trouble, ": no such program, the 1. time") {
			w.Errorf("trouble %q", r.Trouble)
		}
		good.Store(true)
		w.pass(time.Hour)
		if r := w.w.Report(); r.Trouble != "" {
			w.Errorf("trouble %q after all was done", r.Trouble)
		}
	})
}
