package kubernetes

import (
	"slices"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// pod is what is kept of a pod of a Job.
type pod struct {
	namespace, name string
	uid             types.UID
	job             types.UID // that controls it; empty: none does
	record          string
	main            string // container whose output is the job's
	created         time.Time
	scheduled       time.Time // zero: not yet
	started         time.Time // of the first container of the job itself; zero: not yet
	phase           corev1.PodPhase
	deleting        bool

	unschedulable string // the scheduler's words
	disrupted     string // why, when it was
	waiting       *wait  // of the container that can't start
	end           *end   // of the container that failed
	settingUp     bool   // scheduled, and no container has a reason of its own yet
	initRuns      bool   // an init container runs, or one has ended
}

// wait is why a container waits.
type wait struct {
	container, reason, message string
}

// end is how a container ended.
type end struct {
	container, reason, message string
	init                       bool
	exitCode, signal           int32
	started, finished          time.Time
}

func (p *pod) terminal() bool {
	return p.phase == corev1.PodSucceeded || p.phase == corev1.PodFailed
}

// running tells whether it is at work; an init container's work counts.
func (p *pod) running() bool {
	return p.phase == corev1.PodRunning || p.phase == corev1.PodPending && p.initRuns && p.waiting == nil
}

// GetObjectMeta names the pod to the store in which a reflector puts a list
// together.
func (p *pod) GetObjectMeta() metav1.Object {
	return &metav1.ObjectMeta{Namespace: p.namespace, Name: p.name, UID: p.uid}
}

// podOf is what is kept of a pod.
func podOf(c *corev1.Pod) *pod {
	p := &pod{
		namespace: c.Namespace, name: c.Name, uid: c.UID,
		job: jobOf(c), record: c.Labels[LabelRecord], main: mainContainer(c),
		created: c.CreationTimestamp.Time, phase: c.Status.Phase, deleting: c.DeletionTimestamp != nil,
	}
	for i := range c.Status.Conditions {
		cond := &c.Status.Conditions[i]
		switch {
		case cond.Type == corev1.PodScheduled && cond.Status == corev1.ConditionTrue:
			p.scheduled = cond.LastTransitionTime.Time
		case cond.Type == corev1.PodScheduled && cond.Reason == corev1.PodReasonUnschedulable:
			p.unschedulable = cond.Message
		case cond.Type == corev1.DisruptionTarget && cond.Status == corev1.ConditionTrue:
			p.disrupted = cond.Reason + ": " + cond.Message
		}
	}
	if p.disrupted == "" && c.Status.Phase == corev1.PodFailed && c.Status.Reason == "Evicted" {
		p.disrupted = "Evicted: " + c.Status.Message
	}
	p.settingUp = p.phase == corev1.PodPending && c.Spec.NodeName != ""
	for i := range c.Status.InitContainerStatuses {
		p.takeContainer(&c.Status.InitContainerStatuses[i], true)
	}
	for i := range c.Status.ContainerStatuses {
		p.takeContainer(&c.Status.ContainerStatuses[i], false)
	}
	return p
}

// jobOf is the Job that controls a pod. Labels don't count: who may make pods
// may write any.
func jobOf(c *corev1.Pod) types.UID {
	if owner := metav1.GetControllerOfNoCopy(c); owner != nil && owner.Kind == "Job" && owner.APIVersion == batchv1.SchemeGroupVersion.String() {
		return owner.UID
	}
	return ""
}

func (p *pod) takeContainer(s *corev1.ContainerStatus, init bool) {
	var last *corev1.ContainerStateTerminated // of its runs that failed
	for _, t := range []*corev1.ContainerStateTerminated{s.LastTerminationState.Terminated, s.State.Terminated} {
		if t == nil {
			continue
		}
		if init {
			p.initRuns = true
		} else {
			p.startedAt(t.StartedAt.Time)
		}
		if t.ExitCode != 0 {
			last = t
		}
	}
	// The container that failed first: others end because it did.
	if last != nil && (p.end == nil || last.FinishedAt.Time.Before(p.end.finished)) {
		p.end = &end{
			container: s.Name, init: init, reason: last.Reason, message: last.Message, exitCode: last.ExitCode, signal: last.Signal,
			started: last.StartedAt.Time, finished: last.FinishedAt.Time,
		}
	}
	if r := s.State.Running; r != nil {
		if init {
			p.initRuns = true
		} else {
			p.startedAt(r.StartedAt.Time)
		}
		p.settingUp = false
	}
	if w := s.State.Waiting; w != nil && w.Reason != "" && w.Reason != "ContainerCreating" && w.Reason != "PodInitializing" {
		p.settingUp = false
		if p.waiting == nil {
			p.waiting = &wait{s.Name, w.Reason, w.Message}
		}
	}
}

func (p *pod) startedAt(t time.Time) {
	if t.Unix() > 0 && (p.started.IsZero() || t.Before(p.started)) {
		p.started = t
	}
}

func byCreation(pods []*pod) {
	slices.SortStableFunc(pods, func(a, b *pod) int { return a.created.Compare(b.created) })
}

func sortPods(pods []corev1.Pod) {
	slices.SortStableFunc(pods, func(a, b corev1.Pod) int {
		return a.CreationTimestamp.Compare(b.CreationTimestamp.Time)
	})
}
