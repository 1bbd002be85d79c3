package operator_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/queuemill/queuemill/api/v1alpha1"
	"github.com/queuemill/queuemill/internal/fleet/kubernetes"
	"github.com/queuemill/queuemill/internal/operator"
	"github.com/queuemill/queuemill/internal/queuejob"
)

func TestAPoolFollowsItsBacklogAndSaysSo(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := newPools(w)
	w.runPools(p)
	wp := w.applyPool("follows", nil)
	w.awaitPool("follows", queuejob.ConditionReady, metav1.ConditionTrue, "Scaling")
	w.awaitPool("follows", queuejob.ConditionSourceHealthy, metav1.ConditionTrue, "Reachable")
	w.awaitPool("follows", operator.ConditionTemplateValid, metav1.ConditionTrue, "DryRun")
	if got := w.pool("follows").Status; got.Desired != 0 || got.Queue == nil {
		t.Errorf("at rest: %+v", got)
	}
	began := time.Now()
	w.send("follows", "a", "b", "c")
	await(t, "three workers are desired, and there", func(context.Context) bool {
		s := w.pool("follows").Status
		return s.Desired == 3 && s.Workers.Ready == 3 && p.crew(wp).count() == 3
	})
	t.Logf("written after %v", time.Since(began))
	s := w.pool("follows").Status
	if s.Decision == nil || s.Decision.Desired != 3 || !strings.Contains(s.Decision.Reason, "3") || s.LastScaleOutTime == nil {
		t.Errorf("the status of a decision: %+v", s)
	}
	e := w.awaitPoolEvent("follows", "Scaled")
	if !strings.Contains(e.Note, "0 → 3") {
		t.Errorf("the event says %q", e.Note)
	}
}

func TestANextControllerGoesOnFromTheStatus(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := newPools(w)
	first := w.runPools(p)
	wp := w.applyPool("next", func(wp *v1alpha1.WorkerPool) {
		wp.Spec.Scaling.ScaleInCooldown = &metav1.Duration{Duration: time.Hour}
	})
	w.send("next", "a", "b")
	await(t, "two workers are desired", func(context.Context) bool { return w.pool("next").Status.Desired == 2 })
	await(t, "two workers are there", func(context.Context) bool { return p.crew(wp).count() == 2 })
	out := w.pool("next").Status.LastScaleOutTime
	first.stop()
	if n := p.crew(wp).count(); n != 2 {
		t.Fatalf("%d workers outlived their controller", n)
	}
	if err := w.queue("next").Purge(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.runPools(p)
	await(t, "the next one has looked", func(context.Context) bool {
		q := w.pool("next").Status.Queue
		return q != nil && q.Visible == 0
	})
	s := w.pool("next").Status
	if s.Desired != 2 || p.crew(wp).count() != 2 || !s.LastScaleOutTime.Equal(out) {
		t.Errorf("the cooldown of an hour does not hold over a change of controllers: %+v", s)
	}
}

func TestADeletedPoolGoesOnceItsWorkersAreIdle(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := newPools(w)
	w.runPools(p)
	wp := w.applyPool("deleted", nil)
	w.send("deleted", "a", "b")
	await(t, "two workers are there", func(context.Context) bool { return p.crew(wp).count() == 2 })
	p.crew(wp).busy(1)
	if err := w.client.Delete(t.Context(), wp); err != nil {
		t.Fatal(err)
	}
	c := w.awaitPool("deleted", queuejob.ConditionReady, metav1.ConditionFalse, "Deleting")
	if !strings.Contains(c.Message, "worker-1 (1 in hand), worker-2 (1 in hand)") {
		t.Errorf("the condition says %q", c.Message)
	}
	if e := w.awaitPoolEvent("deleted", "Deleting"); !strings.Contains(e.Note, "worker-1") {
		t.Errorf("the event says %q", e.Note)
	}
	if n := p.crew(wp).count(); n != 2 {
		t.Errorf("%d workers are left of two that are busy", n)
	}
	p.crew(wp).busy(0)
	await(t, "the pool is gone", func(ctx context.Context) bool {
		return apierrors.IsNotFound(w.client.Get(ctx, client.ObjectKeyFromObject(wp), &v1alpha1.WorkerPool{}))
	})
	if c := p.crew(wp); c.count() != 0 || len(c.wrong) > 0 {
		t.Errorf("%d workers are left, removed without their agreement: %q", c.count(), c.wrong)
	}
}

func TestWhatIsNotFollowedSaysWhy(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.allowing(w.ns, "allowed")
	p := newPools(w)
	w.runPools(p)
	w.applyPool("forbidden", nil)
	c := w.awaitPool("forbidden", queuejob.ConditionReady, metav1.ConditionFalse, "NotAllowed")
	if !strings.Contains(c.Message, `queues: ["forbidden"]`) || w.openings("forbidden") > 0 {
		t.Errorf("a queue that is not allowed was opened %d times; %q", w.openings("forbidden"), c.Message)
	}
	elsewhere := func(edit func(*v1alpha1.WorkerPool)) func(*v1alpha1.WorkerPool) {
		return func(wp *v1alpha1.WorkerPool) {
			wp.Spec.Queue.SQS.Name, wp.Spec.Kubernetes = "allowed", nil
			edit(wp)
		}
	}
	w.applyPool("laptop", elsewhere(func(wp *v1alpha1.WorkerPool) {
		wp.Spec.Process = &v1alpha1.WorkerProcess{Command: []string{"work"}}
	}))
	w.awaitPool("laptop", queuejob.ConditionReady, metav1.ConditionFalse, "NeedsKubernetes")
	wp := w.applyPool("allowed", nil)
	w.awaitPool("allowed", queuejob.ConditionReady, metav1.ConditionTrue, "Scaling")
	w.send("allowed", "a")
	await(t, "a worker is there", func(context.Context) bool { return p.crew(wp).count() == 1 })
	w.allowing(w.ns, "nothing")
	w.awaitPool("allowed", queuejob.ConditionReady, metav1.ConditionFalse, "NotAllowed")
	if n := p.crew(wp).count(); n != 1 {
		t.Errorf("%d workers are left when the list no longer allows the queue", n)
	}
}

func TestASuspendedPoolHasNoWorkers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := newPools(w)
	w.runPools(p)
	wp := w.applyPool("suspended", nil)
	w.send("suspended", "a", "b")
	await(t, "two workers are there", func(context.Context) bool { return p.crew(wp).count() == 2 })
	p.crew(wp).busy(1)
	w.editPool("suspended", func(wp *v1alpha1.WorkerPool) { wp.Spec.Suspend = true })
	w.awaitPool("suspended", queuejob.ConditionSuspended, metav1.ConditionTrue, "Suspending")
	p.crew(wp).busy(0)
	w.awaitPool("suspended", queuejob.ConditionSuspended, metav1.ConditionTrue, "Suspended")
	w.editPool("suspended", func(wp *v1alpha1.WorkerPool) { wp.Spec.Suspend = false })
	w.awaitPool("suspended", queuejob.ConditionSuspended, metav1.ConditionFalse, "NotSuspended")
	await(t, "two workers are there again", func(context.Context) bool { return p.crew(wp).count() == 2 })
}

func TestAPoolSaysWhatIsWrongWithQueueAndTemplate(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := newPools(w)
	w.breakQueue("sick", errors.New("no such host"))
	w.runPools(p)
	w.applyPool("sick", nil)
	w.awaitPool("sick", queuejob.ConditionReady, metav1.ConditionFalse, "SourceUnhealthy")
	w.breakQueue("sick", nil)
	w.awaitPool("sick", queuejob.ConditionReady, metav1.ConditionTrue, "Scaling")
	p.judge(&kubernetes.TemplateError{Msg: "spec.kubernetes.template: no such field"})
	w.editPool("sick", func(wp *v1alpha1.WorkerPool) { wp.Spec.MaxWorkers = 3 })
	w.awaitPool("sick", operator.ConditionTemplateValid, metav1.ConditionFalse, "TemplateInvalid")
	w.awaitPool("sick", queuejob.ConditionReady, metav1.ConditionFalse, "TemplateInvalid")
}

func TestAPoolOfAnotherQueueReadsThatOne(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := newPools(w)
	w.runPools(p)
	wp := w.applyPool("moves", nil)
	w.awaitPool("moves", queuejob.ConditionReady, metav1.ConditionTrue, "Scaling")
	w.send("other", "a", "b")
	w.editPool("moves", func(wp *v1alpha1.WorkerPool) { wp.Spec.Queue.SQS.Name = "other" })
	await(t, "two workers are there", func(context.Context) bool { return p.crew(wp).count() == 2 })
}
