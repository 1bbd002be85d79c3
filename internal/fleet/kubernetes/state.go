package kubernetes

import (
	"fmt"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/queuemill/queuemill/internal/fleet"
)

// over tells whether a pod has ended for good: it was evicted, say. It is nobody's
// worker any more.
func over(pod *corev1.Pod) bool {
	return pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed
}

// asked tells whether the pod's worker can be asked: its container runs.
func asked(pod *corev1.Pod) bool {
	s := mainStatus(pod)
	return pod.Status.PodIP != "" && portOf(pod) != 0 && s != nil && s.State.Running != nil
}

// mainStatus is the status of the container that works, nil when there is none
// yet.
func mainStatus(pod *corev1.Pod) *corev1.ContainerStatus {
	for _, c := range pod.Spec.Containers {
		for _, p := range c.Ports {
			if p.Name != portName {
				continue
			}
			for i := range pod.Status.ContainerStatuses {
				if s := &pod.Status.ContainerStatuses[i]; s.Name == c.Name {
					return s
				}
			}
		}
	}
	return nil
}

// workerOf is what the pod alone tells.
//
//	pending, or its container has not run ─▶ Starting
//	container runs, or ran ────────────────▶ Ready; Retiring once it says that it drains
//	deletion asked for ────────────────────▶ Ending
//
// A container that runs and does not answer is busy. One that is known to wait
// (for its image, after crashes) holds nothing, and comes back held: it was
// another one that was told to go on. Until a pod's worker is told for the first
// time it is Starting, whatever its container does.
func workerOf(pod *corev1.Pod) fleet.Worker {
	w := fleet.Worker{
		Name: pod.Name, UID: string(pod.UID), Template: pod.Labels[LabelTemplateHash],
		State: fleet.Starting, Version: pod.ResourceVersion,
	}
	s := mainStatus(pod)
	switch {
	case pod.DeletionTimestamp != nil:
		w.State = fleet.Ending
	case s != nil && s.State.Running != nil:
		w.State, w.StartedAt = fleet.Ready, s.State.Running.StartedAt.Time
	case pod.Status.Phase == corev1.PodUnknown: // its node does not answer
		w.State = fleet.Ready
	}
	if w.State == fleet.Starting {
		w.Trouble, w.Held = trouble(pod), true
	}
	if term, ok := termOf(pod); ok && term == 0 && w.State != fleet.Ending {
		w.State, w.Held = fleet.Starting, true
	}
	return w
}

// termOf is how often the worker of the pod was told to go on; false: that is not
// counted.
func termOf(pod *corev1.Pod) (int64, bool) {
	n, err := strconv.ParseInt(pod.Annotations[annotationTerm], 10, 64)
	return n, err == nil && n >= 0
}

// answered adds what the worker said; ready is what the kubelet says. What another
// worker says, at an address that changed hands, counts for nothing.
func answered(w *fleet.Worker, ready bool, report fleet.Report, err error) {
	if err != nil || report.ID != w.UID {
		return
	}
	w.Report = &report
	w.Trouble = report.Trouble
	switch {
	case w.State != fleet.Ready:
	case report.Draining:
		w.State = fleet.Retiring
	case !ready && report.InHand == 0 && report.Done == 0:
		w.State = fleet.Starting // its server does not accept yet, say
	}
}

// ready tells whether the kubelet found the pod so.
func ready(pod *corev1.Pod) bool {
	for i := range pod.Status.Conditions {
		if c := &pod.Status.Conditions[i]; c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

// trouble says why a pod does not start, in the cluster's words; empty: nothing
// says so.
func trouble(pod *corev1.Pod) string {
	for i := range pod.Status.Conditions {
		c := &pod.Status.Conditions[i]
		if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse {
			return words(strings.ToLower(c.Reason[:min(1, len(c.Reason))])+c.Reason[min(1, len(c.Reason)):], c.Message)
		}
	}
	for _, statuses := range [][]corev1.ContainerStatus{pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses} {
		for i := range statuses {
			if t := containerTrouble(&statuses[i]); t != "" {
				return t
			}
		}
	}
	return ""
}

func containerTrouble(s *corev1.ContainerStatus) string {
	w := s.State.Waiting
	if w == nil || w.Reason == "" || w.Reason == "ContainerCreating" || w.Reason == "PodInitializing" {
		return ""
	}
	detail := w.Message
	if t := s.LastTerminationState.Terminated; t != nil {
		detail = fmt.Sprintf("exit code %d: %s", t.ExitCode, t.Reason)
		if t.Message != "" {
			detail += ": " + t.Message
		}
	}
	return words("container "+s.Name+": "+w.Reason, detail)
}

// maxWords is how long the words of somebody else are at most, in bytes.
const maxWords = 512

func words(what, detail string) string {
	text := strings.TrimSuffix(what+": "+strings.Join(strings.Fields(strings.ToValidUTF8(detail, "\uFFFD")), " "), ": ")
	if len(text) > maxWords {
		text = strings.ToValidUTF8(text[:maxWords], "") + "…"
	}
	return text
}
