package app

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/queuemill/queuemill/internal/queuejob"
)

func TestBurstOfFailuresIsAFewLinesAndTheirNumber(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		log := slog.New(slog.NewTextHandler(&out, nil))
		r := &runners{ctx: t.Context(), log: log, bursts: newBursts(log)}
		failed := queuejob.Event{QueueJob: "ping", Reason: queuejob.EventFailed, Warning: true, Message: "NonZeroExit: exit code 2"}
		for range 100 {
			r.tell(failed)
		}
		r.tell(queuejob.Event{QueueJob: "other", Reason: queuejob.EventFailed, Warning: true, Message: "x"})
		<-time.After(burstWindow + time.Second)
		synctest.Wait()
		wantLines(t, &out, burstFirst+2, "95 more jobs failed in the last 10s; queuemill jobs --state failed lists them")

		r.tell(failed) // the next window says its first again, and nothing of more
		<-time.After(burstWindow + time.Second)
		synctest.Wait()
		wantLines(t, &out, 1, "job failed: NonZeroExit: exit code 2")

		for range 7 {
			r.tell(failed)
		}
		<-time.After(2 * time.Second)
		r.bursts.flush()
		wantLines(t, &out, burstFirst+1, "2 more jobs failed in the last 2s")
	})
}

func TestChangesOfStateAreAlwaysLogged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		log := slog.New(slog.NewTextHandler(&out, nil))
		r := &runners{ctx: t.Context(), log: log, bursts: newBursts(log)}
		for range 20 {
			r.tell(queuejob.Event{QueueJob: "ping", Reason: queuejob.EventUnhealthy, Warning: true, Message: "away"})
		}
		wantLines(t, &out, 20, "away")
	})
}

func wantLines(t *testing.T, out *bytes.Buffer, n int, part string) {
	t.Helper()
	if got := strings.Count(out.String(), "\n"); got != n || !strings.Contains(out.String(), part) {
		t.Errorf("%d lines, want %d with %q among them:\n%s", got, n, part, out)
	}
	out.Reset()
}
