package operator

import (
	"context"
	"slices"
	"time"

	apiequality "k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/queuemill/queuemill/api/v1alpha1"
	"github.com/queuemill/queuemill/internal/queuejob"
	"github.com/queuemill/queuemill/internal/workerpool"
)

// ConditionScalingActive tells whether the number of workers follows the
// backlog; its message is the decision's reason.
const ConditionScalingActive = "ScalingActive"

// Reasons of a WorkerPool's Ready that are the operator's.
const (
	reasonDeleting   = "Deleting"
	reasonSuspended  = "Suspended"
	reasonStarting   = "Starting"
	reasonUnhealthy  = "SourceUnhealthy"
	reasonWorkers    = "WorkersNotReady"
	reasonScaling    = "Scaling"
	reasonTrouble    = "WorkersInTrouble" // of a pool that is Ready: some can't work
	reasonSuspending = "Suspending"
)

// countsEvery is how often a status is written at most for nothing but counts
// of messages and the words of a decision that holds.
const countsEvery = 10 * time.Second

// report writes the status when it has changed, until ctx ends: at once when the
// pool tells something, else once a second at most.
func (r *poolRun) report(ctx context.Context) {
	tick := time.NewTicker(reportEvery)
	defer tick.Stop()
	var written time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-r.wake:
		}
		var wp v1alpha1.WorkerPool
		if err := r.op.client.Get(ctx, r.key, &wp); err != nil || wp.UID != r.uid {
			continue // the watch tells
		}
		status := r.status(&wp.Status)
		if time.Since(written) < countsEvery && apiequality.Semantic.DeepEqual(lasting(wp.Status), lasting(status)) {
			continue
		}
		if !apiequality.Semantic.DeepEqual(wp.Status, status) {
			written = time.Now()
		}
		if err := (pools{r.op}).writePoolStatus(ctx, &wp, status); err != nil && ctx.Err() == nil {
			r.log.Warn("the status could not be written", keyError, err)
		}
	}
}

// lasting is s without what changes at every look at the queue.
func lasting(s v1alpha1.WorkerPoolStatus) v1alpha1.WorkerPoolStatus {
	s = *s.DeepCopy()
	s.Queue, s.Decision = nil, nil
	for i := range s.Conditions {
		if c := &s.Conditions[i]; c.Type == ConditionScalingActive && c.Status == metav1.ConditionTrue {
			c.Message = ""
		}
	}
	return s
}

// status is how r does, given the status before.
func (r *poolRun) status(old *v1alpha1.WorkerPoolStatus) v1alpha1.WorkerPoolStatus {
	now := r.now()
	r.mu.Lock()
	defer r.mu.Unlock()
	s := *old.DeepCopy()
	s.ObservedGeneration, s.Queue = r.latest, nil
	if now != nil {
		s.Desired, s.Workers, s.Decision = now.Desired, now.Workers, now.Decision
		if r.pool != nil && now.Source == nil {
			s.Queue = now.Queue
		}
		s.LastScaleOutTime, s.LastScaleInTime, s.IdleSince = micro(now.State.LastOut), micro(now.State.LastIn), micro(now.State.IdleSince)
	}
	other := ConditionTargetOwned
	if r.wp.Spec.ScaleTargetRef != nil {
		other = ConditionTemplateValid
	}
	meta.RemoveStatusCondition(&s.Conditions, other)
	for _, c := range r.conditions(now) {
		setCondition(&s.Conditions, s.ObservedGeneration, c)
	}
	return s
}

// micro is a time as a status keeps it; zero: none.
func micro(t time.Time) *metav1.MicroTime {
	if t.IsZero() {
		return nil
	}
	at := metav1.NewMicroTime(t.Truncate(time.Microsecond))
	return &at
}

// conditions are what a person reads first; r.mu is held.
func (r *poolRun) conditions(now *workerpool.Status) []metav1.Condition {
	source := r.source(now)
	if r.wp.Spec.ScaleTargetRef != nil {
		ready := r.ready(now, &source, &metav1.Condition{})
		return []metav1.Condition{ready, source, owned(now), r.suspended(now), r.scaling(now, &source)}
	}
	template := templateCondition(r.verdict, r.refused)
	if template.Status == metav1.ConditionTrue {
		template.Message = "the API server takes a pod of it"
	}
	return []metav1.Condition{r.ready(now, &source, &template), source, template, r.suspended(now), r.scaling(now, &source)}
}

func (r *poolRun) source(now *workerpool.Status) metav1.Condition {
	c := metav1.Condition{Type: queuejob.ConditionSourceHealthy, Status: metav1.ConditionUnknown, Reason: reasonStarting, Message: "the queue is being opened"}
	switch {
	case r.opening != nil:
		c.Status, c.Reason, c.Message = metav1.ConditionFalse, queuejob.SourceReason(r.opening), r.opening.Error()
	case r.pool == nil || now == nil:
	case now.Source != nil:
		c.Status, c.Reason, c.Message = metav1.ConditionFalse, queuejob.SourceReason(now.Source), now.Source.Error()
	case now.Queue != nil:
		c.Status, c.Reason, c.Message = metav1.ConditionTrue, "Reachable", ""
	}
	return c
}

// ready says in one condition what a person has to do something about.
func (r *poolRun) ready(now *workerpool.Status, source, template *metav1.Condition) metav1.Condition {
	c := metav1.Condition{Type: queuejob.ConditionReady, Status: metav1.ConditionFalse}
	trouble, words := "", ""
	if r.wp.Spec.ScaleTargetRef != nil {
		trouble, words = targetTrouble(now)
	}
	switch {
	case r.refused != nil:
		c.Reason, c.Message = r.refused.reason, r.refused.message+"; the workers of the spec before go on"
	case template.Status == metav1.ConditionFalse:
		c.Reason, c.Message = template.Reason, template.Message
	case source.Status == metav1.ConditionFalse && trouble == "":
		c.Reason, c.Message = reasonUnhealthy, "the backlog is not known: the workers there are stay"
	case r.wp.Spec.Suspend:
		c.Reason, c.Message = reasonSuspended, r.whileSuspended()
	case trouble != "":
		c.Reason, c.Message = trouble, words
	case now == nil || source.Status == metav1.ConditionUnknown:
		c.Reason, c.Message = reasonStarting, "the queue is being opened"
	case now.Trouble != "" && now.Workers.Ready == 0 && now.Desired > 0:
		c.Reason, c.Message = reasonWorkers, now.Trouble
	case now.Trouble != "":
		c.Status, c.Reason, c.Message = metav1.ConditionTrue, reasonTrouble, now.Trouble
	default:
		c.Status, c.Reason, c.Message = metav1.ConditionTrue, reasonScaling, "the number of workers follows the backlog"
	}
	return c
}

func (r *poolRun) whileSuspended() string {
	if r.wp.Spec.ScaleTargetRef != nil {
		return "the Deployment's replicas stay as they are while the pool is suspended"
	}
	return "no worker is wanted while the pool is suspended"
}

func (r *poolRun) suspended(now *workerpool.Status) metav1.Condition {
	c := metav1.Condition{Type: queuejob.ConditionSuspended, Status: metav1.ConditionFalse, Reason: "NotSuspended"}
	if !r.wp.Spec.Suspend {
		return c
	}
	if r.wp.Spec.ScaleTargetRef != nil {
		c.Status, c.Reason, c.Message = metav1.ConditionTrue, reasonSuspended, r.whileSuspended()
		return c
	}
	c.Status, c.Reason, c.Message = metav1.ConditionTrue, reasonSuspended, "all workers have gone"
	if now == nil || now.Workers != (v1alpha1.WorkerCounts{}) {
		c.Reason, c.Message = reasonSuspending, "the workers go, each when it has nothing in hand"
	}
	return c
}

func (r *poolRun) scaling(now *workerpool.Status, source *metav1.Condition) metav1.Condition {
	c := metav1.Condition{Type: ConditionScalingActive, Status: metav1.ConditionFalse}
	switch {
	case r.wp.Spec.Suspend:
		c.Reason, c.Message = reasonSuspended, r.whileSuspended()
	case now != nil && now.Refused != nil:
		c.Reason, c.Message = string(now.Refused.Reason), now.Refused.Message
	case source.Status == metav1.ConditionFalse:
		c.Reason, c.Message = reasonUnhealthy, source.Message
	case now == nil || now.Decision == nil:
		c.Status, c.Reason, c.Message = metav1.ConditionUnknown, reasonStarting, "nothing is decided yet"
	default:
		c.Status, c.Reason, c.Message = metav1.ConditionTrue, reasonScaling, now.Decision.Reason
	}
	return c
}

// writePoolStatus writes what differs from wp's status.
func (op pools) writePoolStatus(ctx context.Context, wp *v1alpha1.WorkerPool, s v1alpha1.WorkerPoolStatus) error {
	if apiequality.Semantic.DeepEqual(wp.Status, s) {
		return nil
	}
	edited := wp.DeepCopy()
	edited.Status = s
	edited.Status.Conditions = slices.Clone(s.Conditions)
	return op.patchStatus(ctx, edited, wp)
}
