package workerpool

import (
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/queuemill/queuemill/api/v1alpha1"
)

// held is a Target with a will of its own.
type held struct {
	replicas
	mu        sync.Mutex
	refusal   *RefusedError
	contested string
}

func (h *held) Replicas(ctx context.Context) (Replicas, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	r, err := h.replicas.Replicas(ctx)
	if r.Contested = h.contested; h.refusal != nil {
		return Replicas{}, h.refusal
	}
	return r, err
}

func (h *held) is(refusal *RefusedError, contested string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.refusal, h.contested = refusal, contested
}

// target runs a pool over h until the test ends; events returns what it told.
func target(t *testing.T, q *backlog, h *held) (p *Pool, events func(EventReason) int) {
	t.Helper()
	var mu sync.Mutex
	var told []EventReason
	slowIn := func(s *v1alpha1.WorkerPoolSpec) { s.Scaling.ScaleInCooldown.Duration = time.Minute }
	p, err := New(manifest(slowIn), Options{Queue: q, Target: h, OnEvent: func(e Event) {
		mu.Lock()
		defer mu.Unlock()
		told = append(told, e.Reason)
	}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); p.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	return p, func(reason EventReason) (n int) {
		mu.Lock()
		defer mu.Unlock()
		for _, r := range told {
			if r == reason {
				n++
			}
		}
		return n
	}
}

func TestATargetThatRefusesIsLeftAloneAndThenTakenAsItIs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, h := &backlog{}, &held{}
		h.desired = 1
		p, events := target(t, q, h)
		q.set(4, 0, nil)
		after(5 * time.Second)
		no := &RefusedError{Reason: EventAlsoScaled, Message: "an HPA scales it too"}
		h.is(no, "")
		h.replicas.SetReplicas(t.Context(), 7) // the other one's
		q.set(6, 0, nil)
		after(20 * time.Second)
		if s := p.Status(); s.Refused != no || s.Queue == nil || s.Trouble != "" {
			t.Errorf("the status while it refuses: %+v", s)
		}
		if !slices.Equal(h.set, []int{4, 7}) {
			t.Errorf("set to %v, want 4 and the other one's 7", h.set)
		}
		if n := events(EventAlsoScaled); n != 1 {
			t.Errorf("told %d times", n)
		}
		h.is(nil, "")
		after(2 * time.Second)
		if s := p.Status(); s.Refused != nil || s.Workers.Ready != 7 || events(EventTargetFollowed) != 1 {
			t.Errorf("the status when it no longer refuses: %+v", s)
		}
		if h.desired != 7 {
			t.Errorf("of the 7 replicas that were found %d are left at once: no cooldown held", h.desired)
		}
	})
}

func TestASuspendedTargetStaysAsItIs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, h := &backlog{}, &held{}
		h.desired = 1
		p, _ := target(t, q, h)
		q.set(4, 0, nil)
		after(5 * time.Second)
		p.Suspend(true)
		q.set(9, 0, nil)
		after(time.Hour)
		if s := p.Status(); !slices.Equal(h.set, []int{4}) || s.Desired != 4 {
			t.Errorf("suspended, it was set to %v and %d are desired", h.set, s.Desired)
		}
		h.replicas.SetReplicas(t.Context(), 8) // a person's
		q.set(6, 0, nil)
		p.Suspend(false)
		after(5 * time.Second)
		if h.desired != 8 {
			t.Errorf("resumed, %d are left of the 8 there were: no cooldown held", h.desired)
		}
		q.set(9, 0, nil)
		after(5 * time.Second)
		if h.desired != 9 {
			t.Errorf("resumed, there are %d of 9", h.desired)
		}
	})
}

func TestWhoElseWritesATargetIsToldOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, h := &backlog{}, &held{}
		p, events := target(t, q, h)
		h.is(nil, "helm writes it too")
		after(time.Minute)
		if s := p.Status(); s.Contested != "helm writes it too" || events(EventAlsoWritten) != 1 {
			t.Errorf("told %d times; %+v", events(EventAlsoWritten), s)
		}
	})
}
