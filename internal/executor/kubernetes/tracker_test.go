package kubernetes

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/queuemill/queuemill/internal/executor"
	"github.com/queuemill/queuemill/internal/reason"
)

// told runs f with a tracker and returns what its watchers of "ns" heard, an
// event a word: a name, its UID and its state.
func told(t *testing.T, f func(tr *tracker)) string {
	t.Helper()
	var heard []string
	synctest.Test(t, func(t *testing.T) {
		tr := newTracker(0)
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			_ = tr.feed("ns").Watch(ctx, "", nil, func(e executor.Event) {
				word := fmt.Sprintf("%s/%s:%s", e.Record.Name, e.Record.UID, e.Record.State)
				if e.Record.Cause != nil {
					word += "(" + string(e.Record.Cause.Reason) + ")"
				}
				if e.Deleted {
					word = "-" + word
				}
				heard = append(heard, word)
			})
		}()
		synctest.Wait()
		f(tr)
		synctest.Wait()
		cancel()
		synctest.Wait()
	})
	return strings.Join(heard, " ")
}

func attemptOf(slot int, p phase) *object {
	o := &object{
		namespace: "ns", name: slotName("a", slot), uid: types.UID(fmt.Sprintf("u%d", slot)), record: "a", slot: slot, number: slot,
		phase: p, queueJob: "ping",
	}
	if slot > 1 {
		o.recordUID = "u1"
	}
	if p == failed {
		o.condition = &condition{"BackoffLimitExceeded", "Job has reached the specified backoff limit"}
	}
	return o
}

func podFor(o *object, phase corev1.PodPhase) *pod {
	return &pod{namespace: "ns", name: "pod-" + o.name, uid: "p-" + o.uid, job: o.uid, record: "a", phase: phase}
}

func TestEveryChangeOfARecordIsToldOnce(t *testing.T) {
	got := told(t, func(tr *tracker) {
		first := attemptOf(1, underway)
		tr.putJob(first)
		tr.putJob(attemptOf(1, underway)) // nothing new
		tr.putPod(podFor(first, corev1.PodPending))
		tr.putPod(podFor(first, corev1.PodRunning))
		tr.putPod(podFor(first, corev1.PodFailed)) // its Job decides
		tr.putJob(attemptOf(1, failed))
		tr.putJob(attemptOf(2, underway))
		tr.dropPod(podFor(first, corev1.PodFailed))
		tr.putJob(attemptOf(2, complete))
		tr.dropJob(attemptOf(1, failed))
		tr.dropJob(attemptOf(2, complete))
	})
	want := "a/u1:Queued a/u1:Queued a/u1:Running a/u1:Failed(JobFailed) a/u1:Queued a/u1:Queued a/u1:Succeeded a/u1:Succeeded -a/u1:Succeeded"
	if got != want {
		t.Errorf("told\n%s, want\n%s", got, want)
	}
}

// The end of a failed job is told when it is known why; when that takes too
// long, or nobody leads any more, with what its Job says.
func TestAFailureIsToldWithItsReason(t *testing.T) {
	hold := func(o *object) bool { return o.phase == failed && o.why == nil }
	for name, tt := range map[string]struct {
		then func(tr *tracker)
		want string
	}{
		"gathered": {func(tr *tracker) {
			tr.found("u1", &finding{Cause: reason.Cause{Reason: reason.OutOfMemory}})
			tr.putJob(attemptOf(1, failed)) // as seen before it was written
		}, " a/u1:Failed(OOMKilled)"},
		"held":       {func(tr *tracker) { tr.releaseSince(time.Now().Add(-holdAtMost)) }, ""},
		"too long":   {func(tr *tracker) { tr.releaseSince(time.Now().Add(time.Second)) }, " a/u1:Failed(JobFailed)"},
		"leads not":  {func(tr *tracker) { tr.lead(nil) }, " a/u1:Failed(JobFailed)"},
		"is deleted": {func(tr *tracker) { tr.dropJob(attemptOf(1, failed)) }, " -a/u1:Failed(JobFailed)"},
	} {
		t.Run(name, func(t *testing.T) {
			got := told(t, func(tr *tracker) {
				tr.lead(hold)
				tr.putJob(attemptOf(1, underway))
				tr.putJob(attemptOf(1, failed))
				tt.then(tr)
			})
			if want := "a/u1:Queued" + tt.want; got != want {
				t.Errorf("told %s, want %s", got, want)
			}
		})
	}
}

// After a watch broke off, a list says what has come and what has gone.
func TestAListTellsWhatChangedMeanwhile(t *testing.T) {
	got := told(t, func(tr *tracker) {
		tr.putJob(attemptOf(1, underway))
		other := attemptOf(1, underway)
		other.name, other.record, other.uid = "b", "b", "u9"
		tr.replaceJobs("ns", []*object{other})
		again := attemptOf(1, underway)
		again.uid = "u7" // another record of the name
		tr.replaceJobs("ns", []*object{other, again})
		tr.replaceJobs("elsewhere", nil)
		tr.replacePods("ns", []*pod{podFor(again, corev1.PodRunning)})
	})
	if want := "a/u1:Queued -a/u1:Queued b/u9:Queued a/u7:Queued a/u7:Running"; got != want {
		t.Errorf("told %s, want %s", got, want)
	}
}

// What is deleted one by one is the end of a record at every moment, never its
// beginning: that would look as if it had not been retried.
func TestOfAPartlyDeletedRecordTheLatestAttemptIsLeft(t *testing.T) {
	rec := assemble([]*object{attemptOf(2, complete)}, noPods)
	if rec.Name != "a" || rec.UID != "u1" || rec.State != "Succeeded" || rec.LastAttempt() != 2 {
		t.Errorf("what is left is %+v", rec)
	}
}
