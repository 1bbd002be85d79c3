package kubernetes_test

import (
	"errors"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/queuemill/queuemill/internal/executor"
	"github.com/queuemill/queuemill/internal/record"
)

// While a deleted Job's pod still ends, no other attempt runs beside it; and a
// Job that is being deleted is left alone.
func TestNothingRunsBesideWhatStillEnds(t *testing.T) {
	r := newRig(t)
	r.kubelet.setLingers(true)
	events := r.events()
	r.create(newJob("a", simple(t)))
	r.awaitEvent(events, runs)
	if err := r.Delete(t.Context(), "a", ""); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Create(t.Context(), newJob("a", simple(t))); !errors.Is(err, executor.ErrTerminating) {
		t.Fatalf("create beside a pod that still ends: %v", err)
	}
	r.kubelet.letGo(t.Context())
	r.awaitCreate(newJob("a", simple(t)))

	r.kubelet.setLingers(true)
	r.await("a", func(rec record.Record) bool { return rec.State == record.Running })
	r.deleteJob("a", metav1.DeletePropagationForeground)
	if _, err := r.Create(t.Context(), newJob("a", simple(t))); !errors.Is(err, executor.ErrTerminating) {
		t.Fatalf("create over a Job that is being deleted: %v", err)
	}
	r.kubelet.letGo(t.Context())
}

// Also not when the delete has not been seen yet.
func TestNothingRunsBesideWhatEndsUnseen(t *testing.T) {
	r := newLiveRig(t)
	jobs := newLag("jobs")
	r.Executor = r.openLate(jobs).Executor(r.namespace, nil)
	r.kubelet.setLingers(true)
	events := r.events()
	r.create(newJob("a", simple(t)))
	r.awaitEvent(events, runs)
	jobs.hold()
	r.deleteJob("a", metav1.DeletePropagationBackground)
	if _, err := r.Create(t.Context(), newJob("a", simple(t))); !errors.Is(err, executor.ErrTerminating) {
		t.Fatalf("create beside a pod that still ends: %v", err)
	}
	r.kubelet.letGo(t.Context())
	r.awaitCreate(newJob("a", simple(t)))
}

// Nor when nothing of the Job was seen, not even that it was made.
func TestNothingRunsBesideWhatCameAndWentUnseen(t *testing.T) {
	r := newLiveRig(t)
	both := newLag("")
	r.Executor = r.openLate(both).Executor(r.namespace, nil)
	both.hold()
	r.kubelet.setLingers(true)
	r.create(newJob("a", simple(t)))
	r.kubelet.pod("a")
	if err := r.Delete(t.Context(), "a", ""); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Create(t.Context(), newJob("a", simple(t))); !errors.Is(err, executor.ErrTerminating) {
		t.Fatalf("create beside a pod that still ends: %v", err)
	}
	r.kubelet.letGo(t.Context())
	r.awaitCreate(newJob("a", simple(t)))
}

// A Job that came and went before the first of its pods was seen leaves that pod
// to be looked for.
func TestNothingRunsBesideAPodThatWasNeverSeen(t *testing.T) {
	r := newLiveRig(t)
	pods := newLag("pods")
	r.Executor = r.openLate(pods).Executor(r.namespace, nil)
	pods.hold()
	r.kubelet.setLingers(true)
	events := r.events()
	r.create(newJob("a", simple(t)))
	r.awaitEvent(events, runs)
	r.deleteJob("a", metav1.DeletePropagationBackground)
	r.awaitEvent(events, func(e executor.Event) bool { return e.Deleted })
	if _, err := r.Create(t.Context(), newJob("a", simple(t))); !errors.Is(err, executor.ErrTerminating) {
		t.Fatalf("create beside a pod that still ends: %v", err)
	}
	r.kubelet.letGo(t.Context())
	r.awaitCreate(newJob("a", simple(t)))
}

// Who does not watch at all looks as well.
func TestNothingRunsBesideWhatEndsWithoutRun(t *testing.T) {
	r := newLiveRig(t)
	r.kubelet.setLingers(true)
	r.create(newJob("a", simple(t)))
	r.await("a", func(rec record.Record) bool { return rec.State == record.Running })
	if err := r.Delete(t.Context(), "a", ""); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Create(t.Context(), newJob("a", simple(t))); !errors.Is(err, executor.ErrTerminating) {
		t.Fatalf("create beside a pod that still ends: %v", err)
	}
	r.kubelet.letGo(t.Context())
	r.awaitCreate(newJob("a", simple(t)))
}

// deleteJob deletes a Job as a person does.
func (r *rig) deleteJob(name string, how metav1.DeletionPropagation) {
	r.t.Helper()
	if err := r.client.BatchV1().Jobs(r.namespace).Delete(r.t.Context(), name, metav1.DeleteOptions{PropagationPolicy: &how}); err != nil {
		r.t.Fatal(err)
	}
}

func runs(e executor.Event) bool { return !e.Deleted && e.Record.State == record.Running }

// events are what those who watch are told from now on.
func (r *rig) events() <-chan executor.Event {
	events := make(chan executor.Event, 100)
	ready := make(chan struct{})
	go func() {
		_ = r.Watch(r.t.Context(), "", func() { close(ready) }, func(e executor.Event) { events <- e })
	}()
	<-ready
	return events
}

func (r *rig) awaitEvent(events <-chan executor.Event, want func(executor.Event) bool) {
	r.t.Helper()
	for {
		select {
		case e := <-events:
			if want(e) {
				return
			}
		case <-r.patience():
			r.t.Fatal("what was waited for was not told")
		}
	}
}

// awaitCreate creates as soon as nothing of an earlier Job is left.
func (r *rig) awaitCreate(job executor.Job) {
	r.t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		_, err := r.Create(r.t.Context(), job)
		if err == nil {
			return
		}
		if !errors.Is(err, executor.ErrTerminating) {
			r.t.Fatalf("create after a pod has ended: %v", err)
		}
		select {
		case <-tick.C:
		case <-r.patience():
			r.t.Fatal("the name never became free")
		}
	}
}
