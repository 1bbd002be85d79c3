//go:build linux

package process_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/queuemill/queuemill/internal/reason"
	"github.com/queuemill/queuemill/internal/record"
)

func TestAJobThatKillsItsSupervisorFailsAndThoseBesideItSucceed(t *testing.T) {
	r := newRig(t)
	beside := []string{"beside-1", "beside-2"}
	for _, name := range beside {
		r.create(newJob(name, shell(`echo up; sleep 1`)))
		r.awaitOutput(name, 1)
	}
	r.create(newJob("poison", shell(`sleep 0.3; kill -9 $PPID; sleep 1000`)))
	rec := r.await("poison", finished)
	if rec.State != record.Failed || rec.Cause.Reason != reason.Interrupted || len(rec.Attempts) != 5 || !strings.Contains(rec.Cause.Detail, "5 times in a row") {
		t.Errorf("the job that kills its supervisor ended as %s %+v after %d attempts", rec.State, rec.Cause, len(rec.Attempts))
	}
	for _, name := range beside {
		if rec := r.await(name, finished); rec.State != record.Succeeded {
			t.Errorf("%s, which ran beside it, ended as %s %+v", name, rec.State, rec.Cause)
		}
	}
}

// A controller that is stopped again and again is not the job's doing.
func TestInterruptionsByTheControllerAreNotCounted(t *testing.T) {
	r := newRig(t)
	r.create(newJob("a", shell(`[ "$QUEUEMILL_ATTEMPT" -gt 6 ] || sleep 1000`)))
	for attempt := 1; attempt <= 6; attempt++ {
		r.await("a", func(rec record.Record) bool { return rec.State == record.Running && rec.LastAttempt() == attempt })
		r.close()
		r.open()
	}
	if rec := r.await("a", finished); rec.State != record.Succeeded || len(rec.Attempts) != 7 {
		t.Errorf("after six restarts: %s", fmt.Sprint(rec.State, rec.Cause, len(rec.Attempts)))
	}
}
