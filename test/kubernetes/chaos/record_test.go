package chaos

import (
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/queuemill/queuemill/api/v1alpha1"
	"github.com/queuemill/queuemill/internal/executor/kubernetes"
	"github.com/queuemill/queuemill/test/cluster/fakekubelet"
)

// TestExpiredReceiptIsAdopted: a message whose visibility ended while its job
// runs is delivered again, and nothing starts; the delete is by the new receipt.
func TestExpiredReceiptIsAdopted(t *testing.T) {
	t.Parallel()
	end := make(chan struct{})
	w := newWorld(t, func(*corev1.Pod) fakekubelet.Plan { return fakekubelet.Plan{Until: end} })
	w.sqs.queue(t, "work", 0)
	w.create(w.queueJob("work", "work", "ack: OnSuccess\n"+jobTemplate))
	w.controller("--leader-elect=false")
	id := w.sqs.send(t, "work", body("long"))[0]
	w.running(id)
	w.sqs.expire(t, "work", func(fate) bool { return true })
	w.within(patience, func() string {
		if w.sqs.of(id).receives < 2 {
			return "the message is not received again"
		}
		return ""
	})
	close(end)
	w.jobs(id, "Complete")
	w.empty("work")
	if runs := w.seen.runsOf(id); len(runs) != 1 {
		t.Errorf("%d pods ran, want 1", len(runs))
	}
	w.jobs(id, "Complete")
}

// TestExpiredReceiptOfAFailureComesBack: an adopted message is held for its job,
// and is the queue's again when that fails.
func TestExpiredReceiptOfAFailureComesBack(t *testing.T) {
	t.Parallel()
	end := make(chan struct{})
	var pods atomic.Int32
	w := newWorld(t, func(*corev1.Pod) fakekubelet.Plan {
		if pods.Add(1) == 1 {
			return fakekubelet.Plan{Until: end, ExitCode: 1}
		}
		return fakekubelet.Plan{}
	})
	w.sqs.queue(t, "work", 0)
	w.create(w.queueJob("work", "work", "ack: OnSuccess\n"+jobTemplate))
	w.controller("--leader-elect=false")
	id := w.sqs.send(t, "work", body("fails once"))[0]
	w.running(id)
	w.sqs.expire(t, "work", func(fate) bool { return true })
	w.within(patience, func() string {
		if w.sqs.of(id).receives < 2 {
			return "the message is not received again"
		}
		return ""
	})
	close(end)
	w.jobs(id, "Failed", "Complete")
	w.empty("work")
}

// TestRecordOutlivesAnUnconfirmedDelete: while the queue does not confirm the
// delete of its message the Job stays, whatever the limits say, and goes then.
func TestRecordOutlivesAnUnconfirmedDelete(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.sqs.set(func(s *endpoint) { s.failing = 1 })
	w.sqs.queue(t, "work", 0)
	w.create(w.queueJob("work", "work", "successfulJobsHistoryLimit: 0\ndeduplicationWindow: 1s\n"+jobTemplate))
	w.controller("--leader-elect=false")
	id := w.sqs.send(t, "work", body("x"))[0]
	job := w.jobs(id, "Complete")[0]
	w.within(patience, func() string { // well over the window, in tries of the delete
		if n := len(w.sqs.of(id).history); n < 6 {
			return fmt.Sprintf("the delete was tried %d times", n)
		}
		return ""
	})
	w.condition("work", "SourceHealthy", "False")
	if time.Since(job.Status.CompletionTime.Time) < 2*time.Second {
		t.Fatal("the window has not passed: this shows nothing")
	}
	w.jobs(id, "Complete")
	w.sqs.set(func(s *endpoint) { s.failing = 0 })
	w.jobs(id, "gone")
	w.empty("work")
}

// TestRecordsFullStopsReceiving: failures are never dropped to make room, and
// receiving goes on when there is some.
func TestRecordsFullStopsReceiving(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(*corev1.Pod) fakekubelet.Plan { return fakekubelet.Plan{ExitCode: 1} })
	w.sqs.queue(t, "work", 0)
	w.create(w.queueJob("work", "work", "maxActive: 1\nfailedJobsHistoryLimit: 3\ndeduplicationWindow: 0s\n"+jobTemplate))
	w.controller("--leader-elect=false")
	for i := range 10 {
		w.sqs.send(t, "work", body(fmt.Sprint(i)))
	}
	if text := w.condition("work", "RecordsFull", "True"); !strings.Contains(text, "failedJobsHistoryLimit") {
		t.Errorf("RecordsFull says %q, want failedJobsHistoryLimit", text)
	}
	failed := func() (names []string) {
		for _, j := range w.seen.all() {
			if !j.gone && j.Labels[kubernetes.LabelQueueJob] == "work" {
				names = append(names, j.Name)
			}
		}
		return names
	}
	// As much time as ten jobs take: another QueueJob's are made meanwhile.
	w.sqs.queue(t, "other", 0)
	w.create(w.queueJob("other", "other", "maxActive: 1\nfailedJobsHistoryLimit: 100\n"+jobTemplate))
	for i := range 10 {
		w.sqs.send(t, "other", body(fmt.Sprint(i)))
	}
	w.empty("other")
	// One might be in hand when the third failed.
	names := failed()
	if len(names) < 3 || len(names) > 4 {
		t.Errorf("there are %d Jobs under a limit of 3 failed ones", len(names))
	}
	if left := w.sqs.get(t, "work").Depth().Visible; left < 6 {
		t.Errorf("%d messages are left in the queue, want 6 at least", left)
	}
	w.annotate(names[0], "queuemill.dev/prune", "true")
	w.within(patience, func() string {
		if now := failed(); len(now) < 3 || slices.Contains(now, names[0]) {
			return fmt.Sprintf("Jobs are %s, want the pruned one gone and another one made", w.seen.counts())
		}
		return ""
	})
	w.condition("work", "RecordsFull", "True")
	w.edit("work", func(qj *v1alpha1.QueueJob) { limit := 100; qj.Spec.FailedJobsHistoryLimit = &limit })
	w.empty("work")
	w.condition("work", "RecordsFull", "False")
	w.within(patience, func() string {
		if n := len(w.seen.all()); n != 20 {
			return fmt.Sprintf("%d Jobs were made of 20 messages", n)
		}
		return ""
	})
}

// deleteQueueJob is `kubectl delete queuejob`; it waits until it is gone.
func (w *world) deleteQueueJob(name string) {
	w.t.Helper()
	qj := w.get(name)
	if err := w.api.Delete(w.t.Context(), qj); err != nil {
		w.t.Fatal(err)
	}
	w.within(patience, func() string {
		err := w.api.Get(w.t.Context(), client.ObjectKeyFromObject(qj), qj)
		if apierrors.IsNotFound(err) {
			return ""
		}
		return fmt.Sprintf("QueueJob %s is there: %v, finalizers %v", name, err, qj.Finalizers)
	})
}

// TestRecreatedQueueJobFindsItsRecords: what the queue delivers again after the
// QueueJob was deleted and made anew starts nothing.
func TestRecreatedQueueJobFindsItsRecords(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.sqs.queue(t, "work", 0)
	w.create(w.queueJob("work", "work", jobTemplate))
	w.controller("--leader-elect=false")
	w.sqs.set(func(s *endpoint) { s.duplicates, s.holding = 100, true })
	id := w.sqs.send(t, "work", body("x"))[0]
	w.jobs(id, "Complete")
	w.within(patience, func() string {
		if w.sqs.of(id).forgotten == 0 {
			return "the message is not deleted"
		}
		return ""
	})
	w.deleteQueueJob("work")
	w.jobs(id, "Complete")
	w.sqs.expire(t, "work", func(fate) bool { return true })
	w.sqs.takeAndReturn(t, "work") // the receipt that the Job has is worth nothing now
	w.create(w.queueJob("work", "work", jobTemplate))
	w.condition("work", "Ready", "True")
	w.within(patience, func() string {
		if n := w.get("work").Status.Jobs.Succeeded; n != 1 {
			return fmt.Sprintf("the new QueueJob counts %d succeeded jobs, want the old one", n)
		}
		return ""
	})
	w.empty("work")
	w.jobs(id, "Complete")
}

// TestDeletionPolicy: the Jobs stay, or go with their QueueJob; messages of
// jobs that are unfinished under OnSuccess are the queue's again.
func TestDeletionPolicy(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(pod *corev1.Pod) fakekubelet.Plan {
		if envOf(pod, "QUEUEMILL_QUEUEJOB") == "runs" {
			return fakekubelet.Plan{Until: make(chan struct{})}
		}
		return fakekubelet.Plan{}
	})
	for _, name := range []string{"orphans", "deletes", "runs"} {
		w.sqs.queue(t, name, 0)
	}
	w.create(w.queueJob("orphans", "orphans", "deletionPolicy: Orphan\n"+jobTemplate))
	w.create(w.queueJob("deletes", "deletes", "deletionPolicy: Delete\n"+jobTemplate))
	w.create(w.queueJob("runs", "runs", "ack: OnSuccess\n"+jobTemplate))
	w.controller("--leader-elect=false")
	orphan := w.sqs.send(t, "orphans", body("x"))[0]
	deleted := w.sqs.send(t, "deletes", body("x"))[0]
	runs := w.sqs.send(t, "runs", body("x"))[0]
	w.jobs(orphan, "Complete")
	w.jobs(deleted, "Complete")
	w.running(runs)
	for _, name := range []string{"orphans", "deletes", "runs"} {
		w.deleteQueueJob(name)
	}
	w.jobs(deleted, "gone")
	w.jobs(orphan, "Complete")
	w.jobs(runs, "unfinished")
	w.within(patience, func() string {
		if w.sqs.get(t, "runs").Depth().Visible != 1 {
			return "the message of the job that runs is not given back: " + w.sqs.depth(t, "runs")
		}
		return ""
	})
	left, err := w.client.CoreV1().Secrets(w.namespace).List(t.Context(), metav1.ListOptions{})
	if err != nil || len(left.Items) > 0 {
		t.Errorf("%d Secrets are left, %v", len(left.Items), err)
	}
}
