package kubernetes

import (
	"strings"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/queuemill/queuemill/internal/reason"
)

func ended(container string, code int32, at time.Time) corev1.ContainerStatus {
	return corev1.ContainerStatus{Name: container, State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
		ExitCode: code, Reason: "Error", FinishedAt: metav1.NewTime(at),
	}}}
}

// Of several containers the one that failed first is why; those that ended
// because of it are not. Of several pods it is the latest that failed.
func TestTheContainerThatFailedFirstIsWhy(t *testing.T) {
	at := time.Date(2026, 11, 22, 6, 0, 0, 0, time.UTC)
	made := func(name string, created time.Time, statuses ...corev1.ContainerStatus) *pod {
		return podOf(&corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Name: name, CreationTimestamp: metav1.NewTime(created)},
			Status:     corev1.PodStatus{Phase: corev1.PodFailed, ContainerStatuses: statuses},
		})
	}
	pods := []*pod{
		made("first", at, ended("main", 1, at)),
		made("second", at.Add(time.Minute), ended("proxy", 143, at.Add(3*time.Minute)), ended("main", 3, at.Add(2*time.Minute)), ended("fine", 0, at)),
	}
	f := explain(&object{}, pods)
	if f.Reason != reason.NonZeroExit || f.Pod != "second" || *f.ExitCode != 3 || !strings.Contains(f.Detail, "container main: exit code 3") {
		t.Errorf("explained as %+v", f)
	}
}

// A Job that never started says so when its deadline ends it.
func TestADeadlineTellsWhatKeptTheJobFromStarting(t *testing.T) {
	o := &object{
		condition: &condition{reason: batchv1.JobReasonDeadlineExceeded},
		why:       &finding{Stuck: true, Cause: reason.Cause{Reason: reason.ImagePull, Detail: "no such image"}},
	}
	if f := explain(o, nil); f.Reason != reason.DeadlineExceeded || !strings.Contains(f.Detail, "never started: ImagePull: no such image") {
		t.Errorf("explained as %+v", f)
	}
}

// A Job whose pod was deleted before it could start says what kept it.
func TestAJobThatEndsBeforeItStartedTellsWhatKeptIt(t *testing.T) {
	o := &object{
		condition: &condition{reason: batchv1.JobReasonBackoffLimitExceeded},
		why:       &finding{Stuck: true, Cause: reason.Cause{Reason: reason.ImagePull, Detail: "no such image"}},
	}
	lost := &pod{name: "p", end: &end{container: "main", reason: statusUnknown, exitCode: 137}}
	for _, pods := range [][]*pod{nil, {lost}} {
		if f := explain(o, pods); f.Reason != reason.ImagePull || f.Detail != "no such image; the Job ended before it started" || f.Stuck || f.ExitCode != nil {
			t.Errorf("explained as %+v", f)
		}
	}
	ran := &pod{name: "p", end: &end{container: "main", reason: "Error", exitCode: 3}}
	if f := explain(o, []*pod{ran}); f.Reason != reason.NonZeroExit {
		t.Errorf("what ran after all is explained as %+v", f)
	}
}

// Pods that nobody of ours made don't count, whatever their labels say.
func TestAForgedPodIsNobodys(t *testing.T) {
	forged := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{
		Name: "forged", Namespace: "ns", Labels: map[string]string{LabelQueueJob: "ping", LabelRecord: "ping-x", batchv1.ControllerUidLabel: "job-uid"},
	}}
	tr := newTracker(0)
	tr.putPod(podOf(forged))
	if tr.left("ns", "ping-x") {
		t.Error("a forged pod keeps a record's name taken")
	}
}

func TestWhatIsKeptOfALog(t *testing.T) {
	long := strings.Repeat("0123456789 ünï\n", 300)
	if got := lastOf(long); len(got) > tailBytes || !strings.HasSuffix(long, got) || !strings.HasPrefix(got, "0123") {
		t.Errorf("kept %d bytes: %.40q", len(got), got)
	}
	if got := lastOf("a\xffb"); got != "a\uFFFDb" {
		t.Errorf("kept %q", got)
	}
}

// A drained node's pod may be gone before anybody looks at it: the Job's own
// condition has to do.
func TestADisruptionIsToldWithoutItsPod(t *testing.T) {
	o := &object{condition: &condition{
		reason:  batchv1.JobReasonPodFailurePolicy,
		message: "Pod work/drained-l8xsl has condition DisruptionTarget matching FailJob rule at index 0",
	}}
	if f := explain(o, nil); f.Reason != reason.Disrupted || !strings.Contains(f.Detail, "evicted") || !strings.Contains(f.Detail, "work/drained-l8xsl") {
		t.Errorf("%+v", f)
	}
	o.condition.message = "Container main for pod work/drained-l8xsl failed with exit code 3 matching FailJob rule at index 0"
	if f := explain(o, nil); f.Reason != reason.JobFailed {
		t.Errorf("%+v", f)
	}
}
