package queuejob_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/queuemill/queuemill/internal/queuejob"
	"github.com/queuemill/queuemill/internal/reason"
	"github.com/queuemill/queuemill/internal/record"
)

func TestStuckJobsAreToldOncePerReason(t *testing.T) {
	inWorld(t, nil, func(t *testing.T, w *world) {
		w.exec.Hold(true)
		w.send(bodies(4)...)
		names := w.exec.Names(record.Queued)
		if s := w.runner.Status().Stuck; s != nil {
			t.Errorf("stuck %v before anything is said", s)
		}
		pull := reason.Cause{Reason: reason.ImagePull, Detail: "no such image"}
		for range 3 { // each said again and again, as a kubelet does
			for _, name := range names[:3] {
				w.exec.Stick(name, pull)
			}
			w.pass(11 * time.Minute)
		}
		w.exec.Stick(names[3], reason.Cause{Reason: reason.Unschedulable, Detail: "no node"})
		synctest.Wait()
		want := []queuejob.Stuck{
			{Reason: reason.ImagePull, Jobs: 3, Job: names[2], Detail: "no such image"},
			{Reason: reason.Unschedulable, Jobs: 1, Job: names[3], Detail: "no node"},
		}
		if diff := cmp.Diff(want, w.runner.Status().Stuck); diff != "" {
			t.Errorf("status (-want +got):\n%s", diff)
		}
		if told := w.told(queuejob.EventStuck); len(told) != 2 || told[0].Message != "ImagePull: no such image" {
			t.Errorf("told %v, want once for each of two reasons", told)
		}
		w.wantCondition(queuejob.ConditionReady, "True Receiving")

		w.exec.Stick(names[2], reason.Cause{}) // the example got through
		w.exec.Start(names[3])
		synctest.Wait()
		s := w.runner.Status().Stuck
		if len(s) != 1 || s[0].Jobs != 2 || s[0].Job != names[0] && s[0].Job != names[1] {
			t.Errorf("stuck %v, want the two that are", s)
		}
		for _, name := range names[:3] {
			w.exec.Start(name)
		}
		synctest.Wait()
		if s := w.runner.Status().Stuck; s != nil {
			t.Errorf("stuck %v with all running", s)
		}
	})
}
