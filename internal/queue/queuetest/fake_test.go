package queuetest_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/queuemill/queuemill/internal/queue"
	"github.com/queuemill/queuemill/internal/queue/queuetest"
)

func TestFakeConforms(t *testing.T) {
	queuetest.Run(t, queuetest.Harness{
		Bubble: true,
		New: func(_ *testing.T, s queuetest.Spec) (q, deadLetters queue.Queue) {
			dead := queuetest.NewFake(queuetest.Options{Name: "dead"})
			return queuetest.NewFake(queuetest.Options{
				Visibility: s.Visibility, MaxReceiveCount: s.MaxReceiveCount, DeadLetters: dead, FIFO: s.FIFO,
			}), dead
		},
	})
}

func send(t *testing.T, f *queuetest.Fake, bodies ...string) (ids []string) {
	t.Helper()
	for _, body := range bodies {
		r := f.Send(t.Context(), []queue.Outgoing{{Body: body}})[0]
		if r.Err != nil {
			t.Fatal(r.Err)
		}
		ids = append(ids, r.ID)
	}
	return ids
}

func receive(t *testing.T, f *queuetest.Fake) []queue.Message {
	t.Helper()
	got, err := f.Receive(t.Context(), queue.ReceiveOptions{Max: 10})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestFakeScriptsOneFaultPerCall(t *testing.T) {
	f := queuetest.NewFake(queuetest.Options{})
	send(t, f, "a")
	m := receive(t, f)[0]
	f.Script(queuetest.OpDelete,
		queuetest.Fault{Err: queue.ErrThrottled},
		queuetest.Fault{Forgotten: true},
		queuetest.Fault{},
		queuetest.Fault{Err: queue.ErrUnreachable, Done: true})

	del := func() error { return f.Delete(t.Context(), []queue.Receipt{m.Receipt})[0] }
	if err := del(); !errors.Is(err, queue.ErrThrottled) || f.Count().Total() != 1 {
		t.Errorf("refused delete: %v, %d left", err, f.Count().Total())
	}
	if err := del(); err != nil || f.Count().Total() != 1 {
		t.Errorf("forgotten delete: %v, %d left", err, f.Count().Total())
	}
	if err := del(); err != nil || f.Count().Total() != 0 {
		t.Errorf("delete: %v, %d left", err, f.Count().Total())
	}
	send(t, f, "b")
	m = receive(t, f)[0]
	if err := del(); !errors.Is(err, queue.ErrUnreachable) || f.Count().Total() != 0 {
		t.Errorf("delete whose answer is lost: %v, %d left", err, f.Count().Total())
	}
	if got := f.Calls(queuetest.OpDelete); got != 4 {
		t.Errorf("%d deletes counted, want 4", got)
	}
}

func TestFakeLosesReceiveAnswer(t *testing.T) {
	f := queuetest.NewFake(queuetest.Options{})
	send(t, f, "a")
	f.Script(queuetest.OpReceive, queuetest.Fault{Err: queue.ErrUnreachable, Done: true})
	if _, err := f.Receive(t.Context(), queue.ReceiveOptions{Max: 1}); !errors.Is(err, queue.ErrUnreachable) {
		t.Errorf("receive: %v", err)
	}
	if d := f.Count(); d.InFlight != 1 {
		t.Errorf("%+v, want the message in flight", d)
	}
}

func TestFakeDeliversDuplicatesAfterDelete(t *testing.T) {
	f := queuetest.NewFake(queuetest.Options{})
	f.SetHostility(queuetest.Hostility{DuplicateAfterDelete: 1})
	ids := send(t, f, "a")
	for range 3 {
		got := receive(t, f)
		if len(got) != 1 || got[0].ID != ids[0] {
			t.Fatalf("got %v, want the message again", got)
		}
		if err := f.Delete(t.Context(), []queue.Receipt{got[0].Receipt})[0]; err != nil {
			t.Fatal(err)
		}
	}
	f.SetHostility(queuetest.Hostility{})
	f.Delete(t.Context(), []queue.Receipt{receive(t, f)[0].Receipt})
	if got := receive(t, f); len(got) != 0 {
		t.Errorf("%d messages after the last delete", len(got))
	}
	if len(f.Deleted()) != 4 {
		t.Errorf("deletes done: %v, want 4", f.Deleted())
	}
}

func TestFakeDuplicatesOnDemand(t *testing.T) {
	f := queuetest.NewFake(queuetest.Options{})
	send(t, f, "a")
	m := receive(t, f)[0]
	f.Delete(t.Context(), []queue.Receipt{m.Receipt})
	f.Duplicate(m)
	got := receive(t, f)
	if len(got) != 1 || got[0].ID != m.ID || got[0].Receipt == m.Receipt || got[0].ReceiveCount != 2 {
		t.Errorf("got %+v, want %s once more", got, m.ID)
	}
}

func TestFakeRepeatsStaleCounts(t *testing.T) {
	f := queuetest.NewFake(queuetest.Options{})
	send(t, f, "a")
	if d, _ := f.Depth(t.Context()); d.Visible != 1 {
		t.Fatalf("depth %+v", d)
	}
	f.SetHostility(queuetest.Hostility{StaleCounts: true})
	send(t, f, "b")
	if d, _ := f.Depth(t.Context()); d.Visible != 1 {
		t.Errorf("stale depth %+v, want the old one", d)
	}
	if d := f.Count(); d.Visible != 2 {
		t.Errorf("true count %+v", d)
	}
}

func TestFakeMeetsItsChances(t *testing.T) {
	f := queuetest.NewFake(queuetest.Options{})
	f.SetHostility(queuetest.Hostility{Throttle: 0.5, LoseAnswer: 0.5})
	seen := map[error]int{}
	for range 200 {
		err := f.Send(t.Context(), []queue.Outgoing{{Body: "x"}})[0].Err
		for _, kind := range []error{queue.ErrThrottled, queue.ErrUnreachable} {
			if errors.Is(err, kind) {
				seen[kind]++
			}
		}
	}
	if seen[queue.ErrThrottled] < 60 || seen[queue.ErrUnreachable] < 25 {
		t.Errorf("seen %v of 200", seen)
	}
	if got := f.Count().Visible; got != 200-seen[queue.ErrThrottled] {
		t.Errorf("%d messages; throttled sends must not be done, lost answers must be", got)
	}
	f.SetHostility(queuetest.Hostility{Unreachable: true})
	if _, err := f.Receive(t.Context(), queue.ReceiveOptions{Max: 1}); !errors.Is(err, queue.ErrUnreachable) {
		t.Errorf("receive: %v", err)
	}
}

func TestFakeRunsOnVirtualTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := queuetest.NewFake(queuetest.Options{Visibility: time.Hour})
		send(t, f, "a")
		m := receive(t, f)[0]
		start := time.Now()
		for {
			got, err := f.Receive(t.Context(), queue.ReceiveOptions{Max: 1, Wait: 20 * time.Second})
			if err != nil {
				t.Fatal(err)
			}
			if len(got) == 1 {
				break
			}
		}
		if d := time.Since(start); d != time.Hour {
			t.Errorf("came back after %v, want its visibility timeout of an hour", d)
		}
		if !f.Expire(m.ID) || len(receive(t, f)) != 1 {
			t.Error("an expired message is not visible")
		}
	})
}
