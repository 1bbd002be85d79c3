package queuejob_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/queuemill/queuemill/api/v1alpha1"
	"github.com/queuemill/queuemill/internal/executor"
	"github.com/queuemill/queuemill/internal/queue/queuetest"
	"github.com/queuemill/queuemill/internal/queuejob"
	"github.com/queuemill/queuemill/internal/reason"
	"github.com/queuemill/queuemill/internal/record"
)

// refuse is an executor's hook that takes no job of the given body.
func refuse(body string) func(executor.Job) error {
	return func(job executor.Job) error {
		if job.Message.Body == body && job.Invalid == nil {
			return fmt.Errorf("create: %w", &executor.InvalidError{Cause: reason.Cause{Reason: reason.Rejected, Detail: "the label is too long"}})
		}
		return nil
	}
}

func TestMessageThatTheExecutorRefusesIsInvalidAndTheQueueGoesOn(t *testing.T) {
	for _, ack := range []v1alpha1.AckMode{v1alpha1.AckOnCreate, v1alpha1.AckOnSuccess} {
		t.Run(string(ack), func(t *testing.T) {
			inWorld(t, func(s *v1alpha1.QueueJobSpec) { s.Ack = ack }, func(t *testing.T, w *world) {
				w.exec.BeforeCreate(refuse("bad"))
				w.send("bad", "good")
				w.pass(time.Second)
				w.wantStates("1 Running, 1 Invalid")
				w.finish(true)
				w.pass(time.Second)
				w.wantQueue(0, 0)
				rec := w.record(w.exec.Names(record.Invalid)[0])
				if rec.Cause == nil || rec.Cause.Reason != reason.Rejected || rec.Cause.Detail != "the label is too long" || rec.Message.Body != "bad" {
					t.Errorf("record %+v", rec)
				}
				w.wantCondition(queuejob.ConditionReady, "True Receiving")
				if n := len(w.told(queuejob.EventInvalid)); n != 1 {
					t.Errorf("told %d times, want once", n)
				}

				w.retry(rec.Name) // still refused
				w.wantStates("1 Succeeded, 1 Invalid")
				if n := len(w.told(queuejob.EventRetryRefused)); n != 1 {
					t.Errorf("told %d times that the retry is refused, want once", n)
				}
				w.exec.BeforeCreate(nil)
				w.retry(rec.Name)
				w.wantStates("1 Running, 1 Succeeded")
			})
		})
	}
}

func TestRetryThatTheExecutorRefusesLeavesTheFailedRecord(t *testing.T) {
	inWorld(t, nil, func(t *testing.T, w *world) {
		w.send("bad")
		w.finish(false)
		w.exec.BeforeCreate(refuse("bad"))
		w.retry(w.exec.Names("")[0])
		w.pass(time.Hour)
		w.wantStates("1 Failed")
		w.wantCondition(queuejob.ConditionReady, "True Receiving")
		if w.record(w.exec.Names("")[0]).RetryRequested {
			t.Error("the retry is still asked for")
		}
		if n := len(w.told(queuejob.EventRetryRefused)); n != 1 {
			t.Errorf("told %d times, want once", n)
		}
	})
}

func TestRedeliveryOfAFailedJobThatIsRefusedNowEndsInTheDeadLetterQueue(t *testing.T) {
	for name, spoil := range map[string]func(*world){
		"by the executor": func(w *world) { w.exec.BeforeCreate(refuse("bad")) },
		"by an edited manifest": func(w *world) {
			edited := w.qj.DeepCopy()
			edited.Spec.Message.Format = []v1alpha1.MessageFormat{v1alpha1.FormatJSON}
			if err := w.runner.Update(edited); err != nil {
				w.t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			inWorldOf(t, queuetest.Options{MaxReceiveCount: 3}, onSuccess, func(t *testing.T, w *world) {
				w.send("bad")
				w.finish(false)
				spoil(w)
				w.pass(time.Hour)
				w.wantStates("1 Failed")
				w.wantCreated(1)
				w.wantQueue(0, 0)
				if n := len(w.dead()); n != 1 {
					t.Errorf("%d dead letters, want 1", n)
				}
				w.wantCondition(queuejob.ConditionReady, "True Receiving")
			})
		})
	}
}

func TestMendedManifestReachesTheMessageInHand(t *testing.T) {
	for _, ack := range []v1alpha1.AckMode{v1alpha1.AckOnCreate, v1alpha1.AckOnSuccess} {
		t.Run(string(ack), func(t *testing.T) {
			inWorld(t, func(s *v1alpha1.QueueJobSpec) { s.Ack = ack }, func(t *testing.T, w *world) {
				w.exec.BeforeCreate(func(job executor.Job) error {
					if job.Spec.Process.Command[0] != "mended" {
						return fmt.Errorf("template: %w: %w", errors.New("no such field"), executor.ErrUnavailable)
					}
					return nil
				})
				w.send("a")
				w.pass(5 * time.Minute)
				w.wantCondition(queuejob.ConditionReady, "False ExecutorUnavailable")
				edited := w.qj.DeepCopy()
				edited.Spec.Process.Command = []string{"mended"}
				edited.Spec.Message.Format = []v1alpha1.MessageFormat{v1alpha1.FormatText}
				if err := w.runner.Update(edited); err != nil {
					t.Fatal(err)
				}
				w.pass(time.Minute)
				w.wantStates("1 Running")
				w.finish(true)
				w.pass(time.Second)
				w.wantQueue(0, 0)
				w.wantCreated(1)
			})
		})
	}
}
