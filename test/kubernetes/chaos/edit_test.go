package chaos

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/queuemill/queuemill/api/v1alpha1"
	"github.com/queuemill/queuemill/test/cluster/fakekubelet"
)

// TestEditedTemplateLeavesRunningJobsAlone: they finish on the old one, and
// new messages follow the new one; each Job tells which it came from.
func TestEditedTemplateLeavesRunningJobsAlone(t *testing.T) {
	t.Parallel()
	end := make(chan struct{})
	w := newWorld(t, func(pod *corev1.Pod) fakekubelet.Plan {
		if pod.Spec.Containers[0].Image == "job" {
			return fakekubelet.Plan{Until: end}
		}
		return fakekubelet.Plan{}
	})
	w.sqs.queue(t, "work", 0)
	w.create(w.queueJob("work", "work", jobTemplate))
	w.controller("--leader-elect=false")
	old := w.sqs.send(t, "work", body("old"))[0]
	w.running(old)
	before := w.jobs(old, "unfinished")[0]

	w.edit("work", func(qj *v1alpha1.QueueJob) {
		raw := strings.ReplaceAll(string(qj.Spec.Kubernetes.JobTemplate.Raw), `"image":"job"`, `"image":"job:2"`)
		if raw == string(qj.Spec.Kubernetes.JobTemplate.Raw) {
			t.Fatalf("nothing was edited in %s", raw)
		}
		qj.Spec.Kubernetes.JobTemplate.Raw = []byte(raw)
	})
	w.observed("work")
	young := w.sqs.send(t, "work", body("new"))[0]
	after := w.jobs(young, "Complete")[0]
	const key = "queuemill.dev/template-hash"
	if a, b := before.Labels[key], after.Labels[key]; a == "" || b == "" || a == b {
		t.Errorf("the template's hash is %q on the old Job and %q on the new one, want two different ones", a, b)
	}
	if image := after.Spec.Template.Spec.Containers[0].Image; image != "job:2" {
		t.Errorf("the new Job runs %s, want job:2", image)
	}
	now := w.jobs(old, "unfinished")[0]
	if now.UID != before.UID || now.Generation != before.Generation {
		t.Errorf("the running Job was touched: generation %d, was %d", now.Generation, before.Generation)
	}
	close(end)
	w.jobs(old, "Complete")
	if n := len(w.seen.runsOf(old)); n != 1 {
		t.Errorf("%d pods ran of the old Job, want 1", n)
	}
}

// observed waits until the controller has seen the latest edit.
func (w *world) observed(name string) {
	w.t.Helper()
	w.within(patience, func() string {
		if qj := w.get(name); qj.Status.ObservedGeneration != qj.Generation {
			return "the edit is not seen"
		}
		return ""
	})
}

// TestSuspendStopsReceivingAndResumeGoesOn, with a controller killed in between.
func TestSuspendStopsReceivingAndResumeGoesOn(t *testing.T) {
	t.Parallel()
	end := make(chan struct{})
	w := newWorld(t, func(*corev1.Pod) fakekubelet.Plan { return fakekubelet.Plan{Until: end} })
	w.sqs.queue(t, "work", 0)
	w.create(w.queueJob("work", "work", jobTemplate))
	c := w.controller("--leader-elect=false")
	runs := w.sqs.send(t, "work", body("runs"))[0]
	w.running(runs)

	w.edit("work", func(qj *v1alpha1.QueueJob) { qj.Spec.Suspend = true })
	w.condition("work", "Suspended", "True")
	waits := w.sqs.send(t, "work", body("waits"))[0]
	c.Kill()
	w.controller("--leader-elect=false")
	close(end) // what runs goes on, also while suspended
	w.jobs(runs, "Complete")
	w.within(patience, func() string {
		if qj := w.get("work"); qj.Status.Jobs.Succeeded != 1 {
			return "the end of the job is not seen"
		}
		return ""
	})
	if f := w.sqs.of(waits); f.receives > 0 {
		t.Errorf("a message was received while suspended\n%s", w.history(waits))
	}
	w.edit("work", func(qj *v1alpha1.QueueJob) { qj.Spec.Suspend = false })
	w.jobs(waits, "Complete")
	w.condition("work", "Suspended", "False")
	w.empty("work")
}
