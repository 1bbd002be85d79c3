package queuejob_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/queuemill/queuemill/api/v1alpha1"
	"github.com/queuemill/queuemill/internal/queue/queuetest"
	"github.com/queuemill/queuemill/internal/queuejob"
	"github.com/queuemill/queuemill/internal/record"
)

func keepOne(s *v1alpha1.QueueJobSpec) {
	one := 1
	s.SuccessfulJobsHistoryLimit = &one
	s.DeduplicationWindow = duration(10 * time.Minute)
}

func TestSucceededRecordsBeyondTheLimitGoOldestFirstOnceTheWindowHasPassed(t *testing.T) {
	inWorld(t, keepOne, func(t *testing.T, w *world) {
		var names []string
		for range 3 {
			w.send("x")
			names = append(names, w.exec.Names(record.Running)...)
			w.pass(time.Minute)
			w.finish(true)
		}
		w.pass(7*time.Minute + 30*time.Second)
		w.wantStates("3 Succeeded") // the first finished 9:30 ago
		w.pass(time.Minute)
		w.wantStates("2 Succeeded")
		if slices.Contains(w.exec.Names(""), names[0]) {
			t.Error("the oldest is still there")
		}
		w.pass(time.Hour)
		if got := w.exec.Names(""); len(got) != 1 || got[0] != names[2] {
			t.Errorf("%v are left, want the latest, %s", got, names[2])
		}
	})
}

// deletes notes the UIDs that its executor is asked to delete.
type deletes struct {
	queuejob.Executor
	mu   sync.Mutex
	uids []string
}

func (d *deletes) Delete(ctx context.Context, name, uid string) error {
	d.mu.Lock()
	d.uids = append(d.uids, uid)
	d.mu.Unlock()
	return d.Executor.Delete(ctx, name, uid)
}

func TestEveryRecordIsDeletedByTheUIDItMeans(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, queuetest.Options{}, keepOne)
		d := &deletes{Executor: w.exec}
		w.via.exec = d
		w.start()
		defer w.stop()
		var want []string
		for range 2 { // the first goes by the limit, the second is pruned
			w.send("x")
			want = append(want, w.record(w.exec.Names(record.Running)[0]).UID)
			w.pass(time.Minute)
			w.finish(true)
		}
		w.pass(time.Hour)
		if _, err := w.runner.Prune(t.Context(), queuejob.PruneOptions{}); err != nil {
			t.Error(err)
		}
		w.wantStates("")
		d.mu.Lock()
		defer d.mu.Unlock()
		if !slices.Equal(d.uids, want) {
			t.Errorf("deleted the UIDs %q, want %q", d.uids, want)
		}
	})
}

func TestFailedRecordsAreNeverDroppedToMakeRoom(t *testing.T) {
	inWorld(t, func(s *v1alpha1.QueueJobSpec) {
		two := 2
		s.FailedJobsHistoryLimit = &two
		s.MaxActive = 1
		s.Message.Env = []v1alpha1.FieldEnv{{Name: "A", FieldPath: "a"}}
	}, func(t *testing.T, w *world) {
		w.send(`{"a":"1"}`)
		w.finish(false)
		w.send("{}")
		w.wantStates("1 Failed, 1 Invalid")
		w.send(`{"a":"2"}`)
		w.pass(time.Hour)
		w.wantStates("1 Failed, 1 Invalid")
		w.wantQueue(1, 0)
		w.wantCondition(queuejob.ConditionRecordsFull, "True LimitReached")
		w.wantCondition(queuejob.ConditionReady, "False RecordsFull")

		names, err := w.runner.Prune(t.Context(), queuejob.PruneOptions{States: []record.State{record.Invalid}})
		if err != nil || len(names) != 1 {
			t.Errorf("prune: %v, %v", names, err)
		}
		synctest.Wait()
		w.wantStates("1 Running, 1 Failed")
		w.wantCondition(queuejob.ConditionRecordsFull, "False RoomLeft")
	})
}

func TestPruneKeepsWhatMayBeDeliveredAgain(t *testing.T) {
	inWorld(t, func(s *v1alpha1.QueueJobSpec) { s.DeduplicationWindow = duration(10 * time.Minute) }, func(t *testing.T, w *world) {
		w.send("a")
		w.finish(false)
		prune := func(o queuejob.PruneOptions) int {
			t.Helper()
			names, err := w.runner.Prune(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			return len(names)
		}
		w.pass(time.Minute)
		if n := prune(queuejob.PruneOptions{}); n != 0 {
			t.Errorf("%d pruned within the window", n)
		}
		ends := w.record(w.exec.Names(record.Failed)[0]).FinishedAt.Add(10 * time.Minute)
		if k := w.runner.Kept(queuejob.PruneOptions{}); k.InWindow != 1 || k.MaybeQueued != 0 || k.WindowEnds.Before(ends) || k.WindowEnds.After(ends.Add(time.Second)) {
			t.Errorf("kept: %+v, want one until %v", k, ends)
		}
		if k := w.runner.Kept(queuejob.PruneOptions{OlderThan: time.Hour}); k != (queuejob.Kept{}) {
			t.Errorf("kept of what nobody asked for: %+v", k)
		}
		w.pass(10 * time.Minute)
		for _, o := range []queuejob.PruneOptions{
			{States: []record.State{record.Succeeded}},
			{OlderThan: time.Hour},
		} {
			if n := prune(o); n != 0 {
				t.Errorf("%d pruned with %+v", n, o)
			}
		}
		if n := prune(queuejob.PruneOptions{DryRun: true}); n != 1 {
			t.Errorf("dry run names %d", n)
		}
		w.wantStates("1 Failed")
		if k := w.runner.Kept(queuejob.PruneOptions{}); k != (queuejob.Kept{}) {
			t.Errorf("kept after the window: %+v", k)
		}
		if n := prune(queuejob.PruneOptions{OlderThan: 5 * time.Minute}); n != 1 {
			t.Errorf("%d pruned, want 1", n)
		}
		w.wantStates("")
	})
}

func TestPruneUnderOnSuccessTakesTheMessageAlong(t *testing.T) {
	inWorld(t, func(s *v1alpha1.QueueJobSpec) { onSuccess(s); s.DeduplicationWindow = duration(time.Second) }, func(t *testing.T, w *world) {
		w.send("a")
		for range 6 { // until the backoff is minutes long
			w.finish(false)
			w.pass(6 * time.Minute)
		}
		w.finish(false)
		w.pass(2 * time.Second)
		w.wantStates("1 Failed")
		names, err := w.runner.Prune(t.Context(), queuejob.PruneOptions{})
		if err != nil || len(names) != 1 {
			t.Fatalf("prune: %v, %v", names, err)
		}
		w.pass(time.Hour)
		w.wantQueue(0, 0)
		w.wantStates("")
	})
}

func TestPruneUnderOnCreateKeepsRecordsWhoseMessageMayComeBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, queuetest.Options{}, func(s *v1alpha1.QueueJobSpec) { s.DeduplicationWindow = duration(time.Second) })
		w.via.queue = &forgetful{Fake: w.queue}
		w.start()
		defer w.stop()
		w.send("a")
		w.finish(false)
		w.pass(10 * time.Second)
		names, err := w.runner.Prune(t.Context(), queuejob.PruneOptions{})
		if err != nil || len(names) != 0 {
			t.Errorf("pruned %v, %v", names, err)
		}
		w.wantStates("1 Failed")
	})
}

func TestRecordsOfUnconfirmedDeletesOutliveTheLongestRetention(t *testing.T) {
	// Where a queue refuses an expired receipt (FIFO does), whether the message is
	// gone can't be known before no queue can hold it any more.
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, queuetest.Options{}, func(s *v1alpha1.QueueJobSpec) { s.SuccessfulJobsHistoryLimit = new(int) })
		q := &forgetful{Fake: w.queue}
		w.via.queue = q
		w.start()
		defer w.stop()
		w.send("a")
		w.finish(true)
		w.pass(time.Minute)
		w.runner.Suspend(true)
		w.pass(13 * 24 * time.Hour)
		w.wantStates("1 Succeeded")
		w.pass(25 * time.Hour)
		w.wantStates("")
	})
}
