package operator_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/queuemill/queuemill/api/v1alpha1"
	"github.com/queuemill/queuemill/internal/executor/kubernetes"
	"github.com/queuemill/queuemill/internal/operator"
	"github.com/queuemill/queuemill/internal/queue"
	"github.com/queuemill/queuemill/internal/queuejob"
	"github.com/queuemill/queuemill/internal/record"
)

func TestMessagesBecomeJobsAndTheStatusTells(t *testing.T) {
	w := newWorld(t)
	w.run(nil)
	w.apply("ping", nil)
	w.awaitReceiving("ping")
	if !slices.Contains(w.get("ping").Finalizers, operator.Finalizer) {
		t.Error("there is no finalizer while it receives")
	}
	w.send("ping", "one", "two")
	w.awaitJobs(2)
	names := w.engine.Names(record.Running)
	w.engine.Finish(names[0], true)
	w.engine.Exit(names[1], 3)
	await(t, "the status counts them", func(context.Context) bool {
		s := w.get("ping").Status
		return s.Jobs == v1alpha1.JobCounts{Succeeded: 1, Failed: 1} && s.LastMessageTime != nil && s.Queue != nil
	})
	w.awaitCondition("ping", operator.ConditionTemplateValid, metav1.ConditionTrue, "DryRun")
	w.awaitCondition("ping", queuejob.ConditionSourceHealthy, metav1.ConditionTrue, "Answers")
	e := w.awaitEvent("ping", "Failed")
	if want := fmt.Sprintf("job %s failed: NonZeroExit: exit code 3", names[1]); e.Note != want || e.Related == nil || e.Related.Name != names[1] {
		t.Errorf("the event says %q about %v, want %q", e.Note, e.Related, want)
	}
}

func TestNamespaceWithoutALineReadsNothing(t *testing.T) {
	w := newWorld(t)
	w.allowing("another", "*")
	w.run(nil)
	w.apply("ping", nil)
	w.send("ping", "one")
	c := w.awaitCondition("ping", queuejob.ConditionReady, metav1.ConditionFalse, "NotAllowed")
	if line := fmt.Sprintf(`- {namespaces: [%s], queues: ["ping"]}`, w.ns); !strings.Contains(c.Message, line) {
		t.Errorf("%q does not have the line %s", c.Message, line)
	}
	if n := w.openings("ping"); n != 0 || w.engine.checks.Load() != 0 {
		t.Errorf("the queue was opened %d times, the template tried %d times", n, w.engine.checks.Load())
	}
	w.allowing(w.ns, "ping") // the file is followed
	w.awaitReceiving("ping")
	w.awaitJobs(1)

	w.allowing("another", "*") // … and a line taken away stops at once
	w.awaitCondition("ping", queuejob.ConditionReady, metav1.ConditionFalse, "NotAllowed")
	if n := w.runs(); n != 0 {
		t.Errorf("%v QueueJobs run that may not", n)
	}
	w.send("ping", "two")
	w.allowing(w.ns, "p*")
	w.awaitReceiving("ping")
	w.awaitJobs(2)
}

func TestInvalidTemplateHoldsBackAndAnUnknownOneDoesNot(t *testing.T) {
	w := newWorld(t)
	w.engine.judge(&kubernetes.TemplateError{Msg: `spec.template.spec.containers[0].image: Required value`})
	w.run(nil)
	w.apply("ping", nil)
	c := w.awaitCondition("ping", queuejob.ConditionReady, metav1.ConditionFalse, "TemplateInvalid")
	if !strings.Contains(c.Message, "image: Required value") {
		t.Errorf("Ready does not say what is wrong: %q", c.Message)
	}
	w.awaitCondition("ping", operator.ConditionTemplateValid, metav1.ConditionFalse, "TemplateInvalid")
	w.awaitEvent("ping", "TemplateInvalid")
	w.send("ping", "one")
	w.engine.judge(&kubernetes.TemplateError{Unknown: true, Msg: "exceeded quota"})
	w.edit("ping", func(qj *v1alpha1.QueueJob) { qj.Spec.MaxActive = 11 })
	w.awaitCondition("ping", operator.ConditionTemplateValid, metav1.ConditionUnknown, "NotTold")
	w.awaitReceiving("ping")
	w.awaitJobs(1)
}

func TestSpecThatCantBeFollowedSaysWhy(t *testing.T) {
	w := newWorld(t)
	w.run(nil)
	w.apply("process", func(qj *v1alpha1.QueueJob) {
		qj.Spec.Kubernetes, qj.Spec.Process = nil, &v1alpha1.ProcessTemplate{Command: []string{"date"}}
	})
	w.awaitCondition("process", operator.ConditionTemplateValid, metav1.ConditionFalse, "NeedsKubernetes")
	w.awaitCondition("process", queuejob.ConditionReady, metav1.ConditionFalse, "NeedsKubernetes")

	w.apply("ping", nil)
	w.awaitReceiving("ping")
	w.edit("ping", func(qj *v1alpha1.QueueJob) {
		qj.Spec.Kubernetes.JobTemplate.Raw = []byte(`{"spec":{"ttlSecondsAfterFinished":1,"template":{"spec":{"restartPolicy":"Never","containers":[{"name":"a","image":"b"}]}}}}`)
	})
	c := w.awaitCondition("ping", operator.ConditionTemplateValid, metav1.ConditionFalse, "InvalidSpec")
	if !strings.Contains(c.Message, "spec.kubernetes.jobTemplate.spec.ttlSecondsAfterFinished") {
		t.Errorf("it does not name the field: %q", c.Message)
	}
	w.awaitCondition("ping", queuejob.ConditionReady, metav1.ConditionFalse, "InvalidSpec")
	w.edit("ping", func(qj *v1alpha1.QueueJob) {
		qj.Spec.Kubernetes.JobTemplate.Raw = []byte(`{"spec":{"ttlSecondsAfterFinished":null,"template":{"spec":{"restartPolicy":"Never","containers":[{"name":"a","image":"c"}]}}}}`)
	})
	w.awaitReceiving("ping")
}

func TestQueueThatCantBeOpenedIsTriedAgain(t *testing.T) {
	w := newWorld(t)
	w.away["ping"] = fmt.Errorf("look up queue ping: %w", queue.ErrNotFound)
	w.run(nil)
	w.apply("ping", nil)
	w.awaitCondition("ping", queuejob.ConditionSourceHealthy, metav1.ConditionFalse, "QueueNotFound")
	w.awaitCondition("ping", queuejob.ConditionReady, metav1.ConditionFalse, "SourceUnhealthy")
	w.mu.Lock()
	delete(w.away, "ping")
	w.mu.Unlock()
	w.awaitReceiving("ping")
}

func TestAnotherQueueIsReadOnceTheJobsOfTheOldOneHaveFinished(t *testing.T) {
	w := newWorld(t)
	w.run(nil)
	w.apply("ping", nil)
	w.send("ping", "one")
	w.awaitJobs(1)
	w.send("pong", "none") // the queues' first messages have the same ID
	if err := w.queue("pong").Purge(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.send("pong", "two")
	w.edit("ping", func(qj *v1alpha1.QueueJob) { qj.Spec.Queue.SQS.Name = "pong" })
	w.awaitCondition("ping", queuejob.ConditionReady, metav1.ConditionFalse, "QueueChanging")
	if n := w.openings("pong"); n != 0 {
		t.Error("the new queue is read while a job of the old one runs")
	}
	w.engine.Finish(w.engine.Names(record.Running)[0], true)
	w.awaitReceiving("ping")
	w.awaitJobs(2)
}

func TestDeletedQueueJobGoesAndItsJobsAreWhatThePolicySays(t *testing.T) {
	for _, policy := range []v1alpha1.DeletionPolicy{v1alpha1.DeletionOrphan, v1alpha1.DeletionDelete} {
		t.Run(string(policy), func(t *testing.T) {
			w := newWorld(t)
			w.run(nil)
			qj := w.apply("ping", func(qj *v1alpha1.QueueJob) {
				qj.Spec.DeletionPolicy, qj.Spec.Ack = policy, v1alpha1.AckOnSuccess
			})
			w.send("ping", "one")
			w.awaitJobs(1)
			w.delete(qj)
			left := len(w.engine.Names(record.Running))
			if want := map[v1alpha1.DeletionPolicy]int{v1alpha1.DeletionOrphan: 1}[policy]; left != want {
				t.Errorf("%d jobs are left, want %d", left, want)
			}
			if d, err := w.queue("ping").Depth(t.Context()); err != nil || d.Visible != 1 {
				t.Errorf("the message of the unfinished job was not given back: %+v, %v", d, err)
			}
			if policy != v1alpha1.DeletionOrphan {
				return
			}
			w.apply("ping", func(qj *v1alpha1.QueueJob) { qj.Spec.Ack = v1alpha1.AckOnSuccess }) // the same name finds its old jobs
			await(t, "it counts its old job", func(context.Context) bool { return w.get("ping").Status.Jobs.Running == 1 })
			w.engine.Finish(w.engine.Names(record.Running)[0], true)
			await(t, "the message is acknowledged", func(ctx context.Context) bool {
				d, err := w.queue("ping").Depth(ctx)
				return err == nil && d.Total() == 0
			})
			w.awaitJobs(1)
		})
	}
}

func TestDeletedQueueJobOfAnUnreachableQueueGoesToo(t *testing.T) {
	w := newWorld(t)
	w.away["ping"] = errors.New("connection refused")
	w.run(nil)
	qj := w.apply("ping", nil)
	w.awaitCondition("ping", queuejob.ConditionSourceHealthy, metav1.ConditionFalse, "Error")
	w.delete(qj)
}

func TestJobsThatCantBeDeletedYetKeepTheQueueJob(t *testing.T) {
	w := newWorld(t)
	w.run(nil)
	qj := w.apply("ping", func(qj *v1alpha1.QueueJob) { qj.Spec.DeletionPolicy = v1alpha1.DeletionDelete })
	w.send("ping", "one")
	w.awaitJobs(1)
	w.engine.FailDelete(errors.New("webhook is down"))
	if err := w.client.Delete(t.Context(), qj); err != nil {
		t.Fatal(err)
	}
	if e := w.awaitEvent("ping", "JobsNotDeleted"); !strings.Contains(e.Note, "webhook is down") {
		t.Errorf("the event does not say why: %q", e.Note)
	}
	if n := len(w.engine.Names(record.Running)); n != 1 || w.get("ping").DeletionTimestamp == nil {
		t.Error("the QueueJob did not wait for its Jobs")
	}
	w.engine.FailDelete(nil)
	await(t, "it is gone", func(ctx context.Context) bool {
		return apierrors.IsNotFound(w.client.Get(ctx, client.ObjectKeyFromObject(qj), &v1alpha1.QueueJob{}))
	})
	if n := len(w.engine.Names(record.Running)); n != 0 {
		t.Errorf("%d Jobs are left", n)
	}
}

func TestManyFailuresAreNotAnEventEach(t *testing.T) {
	w := newWorld(t)
	w.run(nil)
	w.apply("ping", func(qj *v1alpha1.QueueJob) { qj.Spec.MaxActive = 50 })
	for i := range 30 {
		w.send("ping", fmt.Sprint(i))
	}
	w.awaitJobs(30)
	for _, name := range w.engine.Names(record.Running) {
		w.engine.Exit(name, 1)
	}
	await(t, "the status counts them", func(context.Context) bool { return w.get("ping").Status.Jobs.Failed == 30 })
	w.awaitEvent("ping", "Failed")
	failed := 0
	for _, e := range w.events(t.Context(), "ping") {
		if e.Reason == "Failed" {
			failed++
		}
	}
	if failed > 3 { // one at once, one a minute
		t.Errorf("%d events of 30 failures", failed)
	}
}

// delete deletes a QueueJob and waits until it is gone.
func (w *world) delete(qj *v1alpha1.QueueJob) {
	w.t.Helper()
	if err := w.client.Delete(w.t.Context(), qj); err != nil {
		w.t.Fatal(err)
	}
	await(w.t, "it is gone", func(ctx context.Context) bool {
		return apierrors.IsNotFound(w.client.Get(ctx, client.ObjectKeyFromObject(qj), &v1alpha1.QueueJob{}))
	})
}
