package chaos

import (
	"strings"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"

	"github.com/queuemill/queuemill/api/v1alpha1"
	"github.com/queuemill/queuemill/test/cluster/fakekubelet"
)

// deleteJob is `kubectl delete job`.
func (w *world) deleteJob(name string) {
	w.t.Helper()
	background := metav1.DeletePropagationBackground
	if err := w.client.BatchV1().Jobs(w.namespace).Delete(w.t.Context(), name, metav1.DeleteOptions{PropagationPolicy: &background}); err != nil {
		w.t.Fatal(err)
	}
}

// annotate is `kubectl annotate job`.
func (w *world) annotate(name, key, value string) {
	w.t.Helper()
	patch := []byte(`{"metadata":{"annotations":{"` + key + `":"` + value + `"}}}`)
	if _, err := w.client.BatchV1().Jobs(w.namespace).Patch(w.t.Context(), name, types.MergePatchType, patch, metav1.PatchOptions{}); err != nil {
		w.t.Fatal(err)
	}
}

// event waits for an event about a QueueJob with the words.
func (w *world) event(words ...string) {
	w.t.Helper()
	w.within(patience, func() string {
		list, err := w.client.EventsV1().Events(w.namespace).List(w.t.Context(), metav1.ListOptions{})
		if err != nil {
			return err.Error()
		}
		var all []string
		for i := range list.Items {
			e := &list.Items[i]
			if e.Regarding.Kind != "QueueJob" {
				continue
			}
			text := e.Reason + ": " + e.Note
			all = append(all, text)
			has := true
			for _, word := range words {
				has = has && strings.Contains(text, word)
			}
			if has {
				return ""
			}
		}
		return "no event has " + strings.Join(words, " and ") + ":\n" + strings.Join(all, "\n")
	})
}

// empty waits until a queue is.
func (w *world) empty(name string) {
	w.t.Helper()
	w.within(patience, func() string {
		if w.sqs.get(w.t, name).Depth().Total() > 0 {
			return "queue " + name + " holds " + w.sqs.depth(w.t, name)
		}
		return ""
	})
}

// TestRunningJobDeletedByAPerson: under OnSuccess its message comes back and
// becomes a Job anew; under OnCreate it is gone, as asked. An event says so.
func TestRunningJobDeletedByAPerson(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	ran := map[string]bool{}
	w := newWorld(t, func(pod *corev1.Pod) fakekubelet.Plan {
		mu.Lock()
		defer mu.Unlock()
		id := envOf(pod, "QUEUEMILL_MESSAGE_ID")
		if ran[id] {
			return fakekubelet.Plan{}
		}
		ran[id] = true
		return fakekubelet.Plan{Until: make(chan struct{})} // does not end by itself
	})
	w.sqs.queue(t, "kept", 0)
	w.sqs.queue(t, "gone", 0)
	w.create(w.queueJob("kept", "kept", "ack: OnSuccess\n"+jobTemplate))
	w.create(w.queueJob("gone", "gone", "ack: OnCreate\n"+jobTemplate))
	w.controller("--leader-elect=false")
	kept := w.sqs.send(t, "kept", body("kept"))[0]
	gone := w.sqs.send(t, "gone", body("gone"))[0]
	w.running(kept)
	w.running(gone)
	w.deleteJob(w.jobs(kept, "unfinished")[0].Name)
	w.deleteJob(w.jobs(gone, "unfinished")[0].Name)
	w.event("Deleted", "message is given back")
	w.event("Deleted", "gone")
	jobs := w.jobs(kept, "gone", "Complete")
	if jobs[0].Name != jobs[1].Name || jobs[0].UID == jobs[1].UID {
		t.Errorf("the message became Job %s (%s) and then %s (%s), want the same name and another UID", jobs[0].Name, jobs[0].UID, jobs[1].Name, jobs[1].UID)
	}
	w.empty("kept")
	w.empty("gone")
	w.jobs(gone, "gone")
}

// running waits until a pod of the message's Job runs.
func (w *world) running(messageID string) {
	w.t.Helper()
	w.within(patience, func() string {
		if len(w.seen.runsOf(messageID)) == 0 {
			return "no pod of message " + messageID + " runs\n" + w.history(messageID)
		}
		return ""
	})
}

// firstFails lets every message's first run fail.
func firstFails(pod *corev1.Pod) fakekubelet.Plan {
	if envOf(pod, "QUEUEMILL_ATTEMPT") == "1" {
		return fakekubelet.Plan{ExitCode: 3}
	}
	return fakekubelet.Plan{}
}

// TestRetryByAnnotation: `kubectl annotate job NAME queuemill.dev/retry=true`
// runs the failed job again, once, with nothing sent to the queue.
func TestRetryByAnnotation(t *testing.T) {
	t.Parallel()
	w := newWorld(t, firstFails)
	w.sqs.queue(t, "work", 0)
	w.create(w.queueJob("work", "work", jobTemplate))
	w.controller("--leader-elect=false")
	id := w.sqs.send(t, "work", body("fails once"))[0]
	job := w.jobs(id, "Failed")[0]
	w.empty("work")
	w.annotate(job.Name, "queuemill.dev/retry", "true")
	jobs := w.jobs(id, "Failed", "Complete")
	if jobs[1].Name != job.Name+"-2" {
		t.Errorf("the retry is Job %s, want %s-2", jobs[1].Name, job.Name)
	}
	if runs := w.seen.runsOf(id); len(runs) != 2 || runs[0].exitCode != 3 || runs[1].exitCode != 0 {
		t.Errorf("runs are %v, want one with exit code 3 and one with 0", runs)
	}
	if n := w.sqs.called("SendMessage") + w.sqs.called("SendMessageBatch"); n > 0 {
		t.Errorf("a retry sent to the queue %d times", n)
	}
}

// TestInvalidMessageIsReadAnewUnderAMendedSchema.
func TestInvalidMessageIsReadAnewUnderAMendedSchema(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.sqs.queue(t, "work", 0)
	w.create(w.queueJob("work", "work", `
message:
  format: [json]
  schema: {type: object, properties: {size: {maximum: 10}}}
`+jobTemplate))
	w.controller("--leader-elect=false")
	id := w.sqs.send(t, "work", body(`{"size": 11}`))[0]
	invalid := w.jobs(id, "unfinished")[0]
	if why := invalid.Annotations["queuemill.dev/reason"]; !strings.Contains(why, "SchemaMismatch") || !strings.Contains(why, "10") {
		t.Errorf("the reason is %s, want SchemaMismatch and what it says of 10", why)
	}
	w.empty("work")
	w.edit("work", func(qj *v1alpha1.QueueJob) {
		qj.Spec.Message.Schema = &runtime.RawExtension{Raw: []byte(`{"type":"object","properties":{"size":{"maximum":20}}}`)}
	})
	w.observed("work")
	w.annotate(invalid.Name, "queuemill.dev/retry", "true")
	w.jobs(id, "", "Complete")
	if n := len(w.seen.runsOf(id)); n != 1 {
		t.Errorf("%d pods ran, want 1", n)
	}
	w.within(patience, func() string {
		if now := w.get("work").Status.Jobs; now.Invalid != 0 || now.Succeeded != 1 {
			return "the status counts one record in the wrong state"
		}
		return ""
	})
}
