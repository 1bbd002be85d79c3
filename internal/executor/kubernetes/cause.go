package kubernetes

import (
	"fmt"
	"regexp"
	"strings"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/queuemill/queuemill/internal/reason"
)

// Signals by number, as far as programs end by them.
var signals = map[int32]string{
	1: "SIGHUP", 2: "SIGINT", 3: "SIGQUIT", 4: "SIGILL", 5: "SIGTRAP", 6: "SIGABRT", 7: "SIGBUS", 8: "SIGFPE", 9: "SIGKILL",
	10: "SIGUSR1", 11: "SIGSEGV", 12: "SIGUSR2", 13: "SIGPIPE", 14: "SIGALRM", 15: "SIGTERM", 24: "SIGXCPU", 25: "SIGXFSZ", 31: "SIGSYS",
}

// explain says why a Job fails, from its conditions and what is left of its
// pods.
func explain(o *object, pods []*pod) *finding {
	p := culprit(pods)
	f := &finding{}
	if p != nil {
		f.Pod, f.StartedAt = p.name, p.started
	}
	switch {
	case o.condition != nil && o.condition.reason == batchv1.JobReasonDeadlineExceeded:
		f.Cause = reason.Cause{Reason: reason.DeadlineExceeded, Detail: o.deadline(pods)}
		return f
	case p != nil && p.disrupted != "":
		f.Cause = reason.Cause{Reason: reason.Disrupted, Detail: "pod " + p.name + ": " + p.disrupted}
	case o.neverStarted() && (p == nil || p.end == nil || p.end.reason == statusUnknown):
		f.Cause = o.why.Cause
		f.Detail += "; the Job ended before it started"
	case p != nil && p.end != nil:
		p.end.explain(o, f)
	case p == nil && o.condition.disrupted():
		f.Cause = reason.Cause{Reason: reason.Disrupted, Detail: "its pod was evicted, preempted or lost with its node"}
	default:
		f.Cause = reason.Cause{Reason: reason.JobFailed}
	}
	if o.condition == nil {
		return f
	}
	switch c := o.condition; {
	case f.Reason == reason.JobFailed && f.Detail == "":
		f.Detail = strings.TrimSuffix(c.reason+": "+c.message, ": ")
	case c.reason == batchv1.JobReasonPodFailurePolicy:
		f.Detail += "; " + c.message
	}
	return f
}

// disrupted tells whether a Job failed, by its template's own podFailurePolicy,
// since its pod was disrupted: all that tells it once that pod is gone. The words
// are the Job controller's.
func (c *condition) disrupted() bool {
	return c != nil && c.reason == batchv1.JobReasonPodFailurePolicy && strings.Contains(c.message, "has condition "+string(corev1.DisruptionTarget)+" ")
}

// culprit is the latest pod that failed, else the latest one.
func culprit(pods []*pod) *pod {
	var found *pod
	for _, p := range pods {
		if found == nil || p.failed() || !found.failed() {
			found = p
		}
	}
	return found
}

func (p *pod) failed() bool { return p.end != nil || p.disrupted != "" }

// deadline says what a Job did with its time.
func (o *object) deadline(pods []*pod) string {
	detail := "it took longer than its activeDeadlineSeconds"
	if stuck := stuckNow(pods); stuck != nil {
		return detail + " and never started: " + string(stuck.Reason) + ": " + stuck.Detail
	}
	if o.neverStarted() {
		return detail + " and never started: " + string(o.why.Reason) + ": " + o.why.Detail
	}
	return detail
}

// neverStarted tells whether the last that was known of a Job is that it can't
// start, and why.
func (o *object) neverStarted() bool { return o.why != nil && o.why.Stuck }

// statusUnknown is the kubelet's word for a container of a deleted pod that it
// knows nothing of, also one that never ran.
const statusUnknown = "ContainerStatusUnknown"

// explain says in f how a container ended. What it left as its last message is
// the message's as much as its log is.
func (e *end) explain(o *object, f *finding) {
	code := int(e.exitCode)
	f.ExitCode, f.StartedAt, f.FinishedAt = &code, e.started, e.finished
	if f.StartedAt.Unix() <= 0 {
		f.StartedAt = time.Time{}
	}
	where := "container " + e.container
	if e.init {
		where = "init container " + e.container
	}
	number := e.signal
	if number == 0 && e.exitCode > 128 {
		number = e.exitCode - 128
	}
	name, known := signals[number]
	f.Cause = reason.Cause{Reason: reason.NonZeroExit, Detail: fmt.Sprintf("%s: exit code %d", where, e.exitCode)}
	switch {
	case e.reason == "OOMKilled":
		f.Cause = reason.Cause{Reason: reason.OutOfMemory, Detail: where + " went over its memory limit"}
		f.Signal = "SIGKILL"
	case startErrors[e.reason]:
		f.Cause = reason.Cause{Reason: reason.StartError, Detail: where + ": " + short(e.message)}
		f.ExitCode = nil
		return
	case known:
		f.Cause = reason.Cause{Reason: reason.Signal, Detail: fmt.Sprintf("%s: exit code %d (%s)", where, e.exitCode, name)}
		f.Signal = name
	}
	if e.message != "" && !o.confidential {
		f.Detail += ": " + short(e.message)
	}
}

// startErrors are a runtime's words for a container that it could not start.
var startErrors = map[string]bool{
	"StartError": true, "ContainerCannotRun": true, "RunContainerError": true, "CreateContainerError": true, "PostStartHookError": true,
}

// Waiting reasons of containers that can't start, and what they are to us.
var waitReasons = map[string]reason.Reason{
	"ErrImagePull": reason.ImagePull, "ImagePullBackOff": reason.ImagePull, "InvalidImageName": reason.ImagePull,
	"ErrImageNeverPull": reason.ImagePull, "RegistryUnavailable": reason.ImagePull, "ImageInspectError": reason.ImagePull,
	"SignatureValidationFailed":  reason.ImagePull,
	"CreateContainerConfigError": reason.ConfigMissing,
	"CreateContainerError":       reason.StartError, "RunContainerError": reason.StartError,
}

// stuckNow says why the latest pod can't start, nil when nothing says so.
func stuckNow(pods []*pod) *finding {
	for i := len(pods) - 1; i >= 0; i-- {
		p := pods[i]
		if p.terminal() || p.running() || p.deleting {
			continue
		}
		f := &finding{Stuck: true, Pod: p.name}
		switch {
		case p.waiting != nil && waitReasons[p.waiting.reason] != "":
			f.Cause = reason.Cause{Reason: waitReasons[p.waiting.reason], Detail: fmt.Sprintf("container %s: %s",
				p.waiting.container, strings.TrimSuffix(p.waiting.reason+": "+short(p.waiting.message), ": "))}
		case p.unschedulable != "":
			f.Cause = reason.Cause{Reason: unschedulable(p.unschedulable), Detail: short(p.unschedulable)}
		default:
			return nil
		}
		return f
	}
	return nil
}

var missingClaim = regexp.MustCompile(`persistentvolumeclaim "[^"]*" not found|unbound immediate PersistentVolumeClaims`)

// unschedulable is what the scheduler's words mean.
func unschedulable(words string) reason.Reason {
	if missingClaim.MatchString(words) {
		return reason.VolumeMissing
	}
	return reason.Unschedulable
}

// maxDetail is how long the words of somebody else are at most, in bytes.
const maxDetail = 1 << 10

// short makes somebody else's words one line of bounded length.
func short(words string) string {
	words = strings.Join(strings.Fields(strings.ToValidUTF8(words, "\uFFFD")), " ")
	if len(words) <= maxDetail {
		return words
	}
	return strings.ToValidUTF8(words[:maxDetail], "") + "…"
}
