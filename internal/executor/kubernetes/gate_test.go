package kubernetes

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func errorsAs[T error](err error, target *T) bool { return errors.As(err, target) }

// Of a burst and a message now and then, the message does not wait.
func TestABurstDoesNotKeepOthersOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &gate{}
		hold := make(chan struct{})
		entered := make(chan string, 100)
		enter := func(key string) {
			go func() {
				if err := g.enter(t.Context(), key); err != nil {
					t.Error(err)
				}
				entered <- key
				<-hold
				g.leave(key)
			}()
		}
		for range 3 * gateWidth {
			enter("burst")
		}
		synctest.Wait()
		if n := len(entered); n != gateWidth {
			t.Errorf("%d creates of a burst at once, want %d", n, gateWidth)
		}
		enter("calm")
		synctest.Wait()
		if n := len(entered); n != gateWidth+1 {
			t.Error("one who has no create under way waits for another one's burst")
		}
		close(hold)
		synctest.Wait()
		if n := len(entered); n != 3*gateWidth+1 {
			t.Errorf("%d came through, want all", n)
		}
		if g.busy != 0 || len(g.lines) != 0 || len(g.turn) != 0 {
			t.Errorf("left over: busy %d, lines %v, turn %v", g.busy, g.lines, g.turn)
		}
	})
}

// Those who wait come in turn, whoever has more of them.
func TestQueueJobsTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &gate{}
		for range gateWidth {
			if err := g.enter(t.Context(), "first"); err != nil {
				t.Fatal(err)
			}
		}
		order := make(chan string, 100)
		wait := func(key string) {
			go func() {
				_ = g.enter(t.Context(), key)
				order <- key
			}()
			synctest.Wait()
		}
		wait("a") // goes at once: it has none under way
		for range gateBeside - 1 {
			wait("a")
		}
		wait("b") // at once too
		wait("b")
		wait("b")
		for range gateWidth {
			g.leave("first")
			synctest.Wait()
		}
		var got string
		for len(order) > 0 {
			got += <-order
		}
		if got != "abababa" {
			t.Errorf("they came in the order %s", got)
		}
	})
}

// While another one creates too, a burst has few creates under way, and as many
// as ever once it is alone again.
func TestABurstIsNarrowBesideOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &gate{}
		if err := g.enter(t.Context(), "calm"); err != nil {
			t.Fatal(err)
		}
		g.leave("calm")
		under := make(chan bool, 100)
		for range 2 * gateWidth {
			go func() {
				_ = g.enter(t.Context(), "burst")
				under <- true
			}()
		}
		synctest.Wait()
		if n := len(under); n != gateBeside {
			t.Errorf("%d creates of a burst beside another QueueJob, want %d", n, gateBeside)
		}
		<-time.After(gateCalm)
		g.leave("burst")
		synctest.Wait()
		if n := len(under); n != gateWidth+1 {
			t.Errorf("%d creates began once the other was calm, want %d", n, gateWidth+1)
		}
		for range 2*gateWidth - 1 {
			g.leave("burst")
			synctest.Wait()
		}
		if g.busy != 0 || len(g.lines) != 0 {
			t.Errorf("busy %d, lines %v", g.busy, g.lines)
		}
	})
}

// Who stops waiting takes no place.
func TestAnAbandonedWaitTakesNoPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &gate{}
		for range gateWidth {
			if err := g.enter(t.Context(), "a"); err != nil {
				t.Fatal(err)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := g.enter(ctx, "a"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the wait ended with %v", err)
		}
		for range gateWidth {
			g.leave("a")
		}
		if g.busy != 0 || len(g.lines) != 0 {
			t.Errorf("busy %d, lines %v", g.busy, g.lines)
		}
	})
}
