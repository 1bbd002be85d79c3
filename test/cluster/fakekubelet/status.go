package fakekubelet

import (
	"encoding/json"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// patchOf is a patch of the status of this very pod and no later one of its name.
func patchOf(pod *corev1.Pod, status corev1.PodStatus) []byte {
	text, err := json.Marshal(map[string]any{"metadata": map[string]any{"uid": pod.UID}, "status": status})
	if err != nil {
		panic(err) // a PodStatus can always be written as JSON
	}
	return text
}

// containers are the statuses of all containers, all in the same state.
func containers(pod *corev1.Pod, ready bool, state corev1.ContainerState) (all []corev1.ContainerStatus) {
	for _, c := range pod.Spec.Containers {
		all = append(all, corev1.ContainerStatus{Name: c.Name, Image: c.Image, Ready: ready, Started: &ready, State: state})
	}
	return all
}

func pending(pod *corev1.Pod, plan Plan) []byte {
	return patchOf(pod, corev1.PodStatus{
		Phase:             corev1.PodPending,
		ContainerStatuses: containers(pod, false, corev1.ContainerState{Waiting: plan.Waiting}),
	})
}

func running(pod *corev1.Pod, start time.Time) []byte {
	began := metav1.NewTime(start)
	return patchOf(pod, corev1.PodStatus{
		Phase:     corev1.PodRunning,
		StartTime: &began,
		Conditions: []corev1.PodCondition{
			{Type: corev1.PodReady, Status: corev1.ConditionTrue, LastTransitionTime: began},
		},
		ContainerStatuses: containers(pod, true, corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: began}}),
	})
}

func ended(pod *corev1.Pod, plan Plan, start, end time.Time) []byte {
	began, over := metav1.NewTime(start), metav1.NewTime(end)
	phase, why := corev1.PodSucceeded, "Completed"
	if plan.ExitCode != 0 {
		phase, why = corev1.PodFailed, "Error"
	}
	if plan.Reason != "" {
		why = plan.Reason
	}
	return patchOf(pod, corev1.PodStatus{
		Phase:     phase,
		StartTime: &began,
		Conditions: append([]corev1.PodCondition{
			{Type: corev1.PodReady, Status: corev1.ConditionFalse, Reason: "PodCompleted", LastTransitionTime: over},
		}, plan.Conditions...),
		ContainerStatuses: containers(pod, false, corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
			ExitCode: plan.ExitCode, Reason: why, Message: plan.Message, StartedAt: began, FinishedAt: over,
		}}),
	})
}
