package embedded

import (
	"errors"
	"fmt"
	"testing"
	"time"
)

func TestMessageComesBackWhenItsVisibilityTimeoutIsOver(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, b *Broker) {
		q := createQueue(t, b, "q", nil)
		sendBodies(t, q, "one")
		first := receive(t, q, 1)
		start := time.Now()
		got, err := q.Receive(t.Context(), ReceiveOptions{Max: 1, Wait: dur(20 * time.Second)})
		if err != nil || len(got) != 0 || time.Since(start) != 20*time.Second {
			t.Fatalf("%v %v after %v", bodies(got), err, time.Since(start))
		}
		got, err = q.Receive(t.Context(), ReceiveOptions{Max: 1, Wait: dur(20 * time.Second)})
		if err != nil || len(got) != 1 || time.Since(start) != 30*time.Second {
			t.Fatalf("%v %v after %v, want it at 30 s", bodies(got), err, time.Since(start))
		}
		if got[0].ReceiveCount != 2 || got[0].Handle == first[0].Handle || !got[0].FirstReceivedAt.Equal(first[0].FirstReceivedAt) {
			t.Fatalf("%+v", got[0])
		}
		// The first receive's handle still deletes it: a standard queue.
		deleteAll(t, q, first)
		if d := q.Depth(); d.Total() != 0 {
			t.Fatalf("depth %+v", d)
		}
	})
}

func TestDelayedMessageIsInvisibleUntilItsDelayIsOver(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, b *Broker) {
		q := createQueue(t, b, "q", map[string]string{"DelaySeconds": "10"})
		five := 5
		send(t, q, SendEntry{Body: "ten"}, SendEntry{Body: "five", DelaySeconds: &five})
		if d := q.Depth(); d.Delayed != 2 || d.Visible != 0 {
			t.Fatalf("depth %+v", d)
		}
		start := time.Now()
		for _, want := range []struct {
			body string
			at   time.Duration
		}{{"five", 5 * time.Second}, {"ten", 10 * time.Second}} {
			got, err := q.Receive(t.Context(), ReceiveOptions{Max: 10, Wait: dur(20 * time.Second)})
			if err != nil || bodies(got) != "["+want.body+"]" || time.Since(start) != want.at {
				t.Fatalf("%v %v after %v, want %v", bodies(got), err, time.Since(start), want)
			}
		}
	})
}

func TestVisibilityChangeCountsFromTheCallAndEndsAtTwelveHours(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, b *Broker) {
		q := createQueue(t, b, "q", nil)
		sendBodies(t, q, "one")
		got := receive(t, q, 1)
		change := func(d time.Duration) error {
			return q.ChangeVisibility(t.Context(), []VisibilityChange{{got[0].Handle, d}})[0]
		}
		time.Sleep(20 * time.Second)
		if err := change(time.Minute); err != nil {
			t.Fatal(err)
		}
		time.Sleep(59 * time.Second)
		if again := receive(t, q, 1); len(again) != 0 {
			t.Fatal("visible before the changed timeout was over")
		}
		if err := change(12 * time.Hour); err == nil {
			t.Fatal("beyond 12 h from the receive was accepted")
		}
		time.Sleep(time.Second)
		if err := change(time.Minute); errCode(err) != CodeMessageNotInflight {
			t.Fatalf("not in flight: %v", err)
		}
		again := receive(t, q, 1)
		if err := change(time.Minute); errCode(err) != CodeInvalidParameterValue {
			t.Fatalf("handle of an earlier receive: %v", err)
		}
		deleteAll(t, q, again)
		if err := change(time.Minute); errCode(err) != CodeInvalidParameterValue {
			t.Fatalf("deleted: %v", err)
		}
	})
}

func errCode(err error) Code {
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}

func TestRetentionRemovesOldMessagesAlsoWhenNobodyReceives(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, b *Broker) {
		q := createQueue(t, b, "q", map[string]string{"MessageRetentionPeriod": "60", "VisibilityTimeout": "600"})
		sendBodies(t, q, "old", "in flight")
		receive(t, q, 1)
		time.Sleep(30 * time.Second)
		sendBodies(t, q, "young")
		time.Sleep(30 * time.Second)
		if got := receive(t, q, 10); bodies(got) != "[young]" {
			t.Fatal(bodies(got))
		}
		time.Sleep(2 * time.Second)
		if d := q.Depth(); d.Total() != 1 {
			t.Fatalf("after the sweep: %+v", d)
		}
		time.Sleep(time.Minute)
		if d := q.Depth(); d.Total() != 0 || q.sweep.armed {
			t.Fatalf("at the end: %+v, timer %v", d, q.sweep.armed)
		}
		if n := len(storedKeys(t, q)); n != 0 {
			t.Fatalf("%d keys are left in the store", n)
		}
	})
}

// storedKeys are the keys of a queue's messages in the store.
func storedKeys(t *testing.T, q *Queue) []string {
	t.Helper()
	var keys []string
	for _, kind := range []byte{kindState, kindContent} {
		from, to := span(kind, q.id)
		if err := q.b.scan(from, to, func(k, _ []byte) error { keys = append(keys, fmt.Sprintf("%x", k)); return nil }); err != nil {
			t.Fatal(err)
		}
	}
	return keys
}

func TestNoisyTenantWaitsForQuietOnes(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, b *Broker) {
		q := createQueue(t, b, "q", map[string]string{"VisibilityTimeout": "600"})
		tenant := func(group string, n int) {
			for i := range n {
				send(t, q, SendEntry{Body: fmt.Sprint(group, i), GroupID: group})
			}
		}
		tenant("noisy", 100)
		for range 4 {
			receive(t, q, 10)
		}
		tenant("quiet", 2)
		tenant("calm", 2)
		sendBodies(t, q, "single")
		got := map[string]int{}
		for _, m := range receive(t, q, 10) {
			if m.GroupID == "noisy" && len(got) < 4 {
				t.Errorf("a noisy tenant's message came before a quiet one's: %v", m.Body)
			}
			got[m.Body]++
		}
		for _, want := range []string{"quiet0", "quiet1", "calm0", "calm1", "single"} {
			if got[want] != 1 {
				t.Errorf("%s was not among %v", want, got)
			}
		}
	})
}

func TestTenantIsNoisyByProcessingTime(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, b *Broker) {
		q := createQueue(t, b, "q", map[string]string{"VisibilityTimeout": "600"})
		for i := range 20 {
			send(t, q, SendEntry{Body: fmt.Sprint("slow", i), GroupID: "slow"})
		}
		for range 5 {
			m := receive(t, q, 1)
			time.Sleep(10 * time.Second)
			deleteAll(t, q, m)
		}
		send(t, q, SendEntry{Body: "other", GroupID: "other"})
		if got := receive(t, q, 1); bodies(got) != "[other]" {
			t.Fatal(bodies(got))
		}
		deleteAll(t, q, receive(t, q, 10))
		time.Sleep(30 * time.Minute)
		if q.index.noisy(q.index.groups.byName["slow"], b.clock.now()) {
			t.Error("still noisy half an hour later")
		}
	})
}

func TestReturnedMessagesAlternateWithFreshOnes(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, b *Broker) {
		q := createQueue(t, b, "q", nil)
		sendBodies(t, q, "1", "2", "3", "4", "5", "6")
		for _, m := range receive(t, q, 2) {
			if errs := q.ChangeVisibility(t.Context(), []VisibilityChange{{m.Handle, 0}}); errs[0] != nil {
				t.Fatal(errs[0])
			}
		}
		if got := bodies(receive(t, q, 10)); got != "[1 3 2 4 5 6]" {
			t.Fatal(got)
		}
	})
}

func TestClockSetBackBeforeARestartHoldsNoMessage(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, b *Broker) {
		q := createQueue(t, b, "q", nil)
		now := b.clock.moment()
		ahead := now.wallMs + 24*time.Hour.Milliseconds() // written before the clock was set back
		q.mu.Lock()
		q.restore(now, 1, record{sent: ahead, visible: ahead + 30_000, received: ahead, receives: 1}, nil)
		q.restore(now, 2, record{sent: ahead, visible: ahead + 10_000}, nil)
		q.restore(now, 3, record{sent: ahead, visible: ahead}, nil)
		q.mu.Unlock()
		for _, want := range []struct{ visible, inFlight, delayed int }{{1, 1, 1}, {2, 1, 0}, {3, 0, 0}} {
			if d := q.Depth(); d.Visible != want.visible || d.InFlight != want.inFlight || d.Delayed != want.delayed {
				t.Fatalf("%+v, want %+v", d, want)
			}
			time.Sleep(15 * time.Second)
		}
	})
}
