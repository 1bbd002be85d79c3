package operator

import (
	"context"
	"slices"
	"time"

	apiequality "k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/queuemill/queuemill/api/v1alpha1"
	"github.com/queuemill/queuemill/internal/queuejob"
	"github.com/queuemill/queuemill/internal/record"
)

// ConditionTemplateValid tells whether the API server takes a Job of the
// template. The other conditions are the Runner's.
const ConditionTemplateValid = "TemplateValid"

// How often a status is written at most, and for nothing but a later message.
const (
	reportEvery      = time.Second
	lastMessageEvery = 10 * time.Second
)

// report writes the status when it has changed, until ctx ends.
func (r *running) report(ctx context.Context) {
	tick := time.NewTicker(reportEvery)
	defer tick.Stop()
	var lastMessage time.Time // when lastMessageTime was written
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		var qj v1alpha1.QueueJob
		if err := r.op.client.Get(ctx, r.key, &qj); err != nil || qj.UID != r.uid {
			continue // the watch tells
		}
		status := r.status(&qj.Status)
		if old := qj.Status.LastMessageTime; time.Since(lastMessage) < lastMessageEvery {
			status.LastMessageTime = old
		} else if !status.LastMessageTime.Equal(old) {
			lastMessage = time.Now()
		}
		if err := r.op.writeStatus(ctx, &qj, status); err != nil && ctx.Err() == nil {
			r.log.Warn("the status could not be written", keyError, err)
		}
	}
}

// status is how r does, given the status before.
func (r *running) status(old *v1alpha1.QueueJobStatus) v1alpha1.QueueJobStatus {
	r.mu.Lock()
	runner, opening, changing := r.runner, r.opening, r.changing
	refused, verdict, settings := r.refused, r.verdict, r.settings
	suspend := r.qj.Spec.Suspend
	s := *old.DeepCopy()
	s.ObservedGeneration, s.Queue = r.latest, nil
	r.mu.Unlock()

	var conditions []metav1.Condition
	if runner != nil {
		now := runner.Status()
		s.Jobs = v1alpha1.JobCounts{
			Queued: now.Jobs[record.Queued], Running: now.Jobs[record.Running], Succeeded: now.Jobs[record.Succeeded],
			Failed: now.Jobs[record.Failed], Invalid: now.Jobs[record.Invalid],
		}
		s.Duplicates = now.Duplicates
		if d := now.Queue; d != nil {
			s.Queue = &v1alpha1.QueueCounts{Visible: int64(d.Visible), InFlight: int64(d.InFlight), Delayed: int64(d.Delayed)}
		}
		if !now.LastMessage.IsZero() {
			at := metav1.NewTime(now.LastMessage.Truncate(time.Second))
			s.LastMessageTime = &at
		}
		conditions = append(conditions, now.Conditions...)
	} else {
		conditions = append(conditions, notRunning(opening, suspend)...)
	}
	for _, c := range append(conditions, templateCondition(verdict, refused)) {
		switch {
		case c.Type == queuejob.ConditionReady && changing:
			c.Reason, c.Message = "QueueChanging", "the new queue is read once the jobs of the old one have finished"
		case c.Type == queuejob.ConditionSourceHealthy && c.Status == metav1.ConditionTrue && c.Message == "":
			c.Message = settings
		}
		setCondition(&s.Conditions, s.ObservedGeneration, c)
	}
	return s
}

func templateCondition(v verdict, refused *refusal) metav1.Condition {
	c := metav1.Condition{Type: ConditionTemplateValid, Status: v.status, Reason: v.reason, Message: v.message}
	switch {
	case refused != nil && refused.template:
		c.Status, c.Reason, c.Message = metav1.ConditionFalse, refused.reason, refused.message
	case v.status == "":
		c.Status, c.Reason, c.Message = metav1.ConditionUnknown, "NotTold", "not tried yet"
	}
	return c
}

// notRunning is the state before there is a Runner.
func notRunning(opening error, suspend bool) []metav1.Condition {
	ready := metav1.Condition{Type: queuejob.ConditionReady, Status: metav1.ConditionFalse, Reason: "Starting", Message: "the queue is being opened"}
	source := metav1.Condition{Type: queuejob.ConditionSourceHealthy, Status: metav1.ConditionUnknown, Reason: "Starting", Message: "the queue is being opened"}
	if opening != nil {
		ready.Reason, ready.Message = "SourceUnhealthy", "the queue can't be opened"
		source.Status, source.Reason, source.Message = metav1.ConditionFalse, queuejob.SourceReason(opening), opening.Error()
	}
	all := []metav1.Condition{ready, source}
	if suspend {
		all = append(all, metav1.Condition{Type: queuejob.ConditionSuspended, Status: metav1.ConditionTrue, Reason: "Suspended", Message: "nothing is received; jobs that run go on"})
	}
	return all
}

// refuse writes the status of a QueueJob that does not run, and tells why once.
func (op *Operator) refuse(ctx context.Context, qj *v1alpha1.QueueJob, why refusal) error {
	s := *qj.Status.DeepCopy()
	s.ObservedGeneration = qj.Generation
	s.Queue = nil
	was := meta.FindStatusCondition(s.Conditions, queuejob.ConditionReady)
	news := was == nil || was.Reason != why.reason || was.Message != why.message
	setCondition(&s.Conditions, s.ObservedGeneration, metav1.Condition{Type: queuejob.ConditionReady, Status: metav1.ConditionFalse, Reason: why.reason, Message: why.message})
	if why.template {
		setCondition(&s.Conditions, s.ObservedGeneration, metav1.Condition{Type: ConditionTemplateValid, Status: metav1.ConditionFalse, Reason: why.reason, Message: why.message})
	} else {
		meta.RemoveStatusCondition(&s.Conditions, ConditionTemplateValid) // nobody looked
	}
	// What was said of the queue while it was read is not known any more.
	meta.RemoveStatusCondition(&s.Conditions, queuejob.ConditionSourceHealthy)
	if err := op.writeStatus(ctx, qj, s); err != nil {
		return err
	}
	if news {
		op.recorder.tell(happening{about: reference(v1alpha1.KindQueueJob, qj), warning: true, reason: why.reason, action: "Reconcile", note: why.message})
	}
	return nil
}

func setCondition(all *[]metav1.Condition, generation int64, c metav1.Condition) {
	c.ObservedGeneration = generation
	c.Message = cut(c.Message, maxMessage)
	c.LastTransitionTime = metav1.Time{} // kept while the status is the same, else now
	meta.SetStatusCondition(all, c)
}

// maxMessage keeps a status readable, and far from the API's limit of 32 KiB.
const maxMessage = 2048

// writeStatus writes what differs from qj's status.
func (op *Operator) writeStatus(ctx context.Context, qj *v1alpha1.QueueJob, s v1alpha1.QueueJobStatus) error {
	if apiequality.Semantic.DeepEqual(qj.Status, s) {
		return nil
	}
	edited := qj.DeepCopy()
	edited.Status = s
	edited.Status.Conditions = slices.Clone(s.Conditions)
	return op.patchStatus(ctx, edited, qj)
}

// patchStatus writes what differs between the statuses of edited and object.
func (op *Operator) patchStatus(ctx context.Context, edited, object client.Object) error {
	err := op.client.Status().Patch(ctx, edited, client.MergeFrom(object))
	result := resultOK
	switch {
	case apierrors.IsNotFound(err):
		err = nil // gone meanwhile
	case apierrors.IsConflict(err):
		result = resultConflict
	case err != nil:
		result = resultError
	}
	op.metrics.statusWrites.WithLabelValues(result).Inc()
	return err
}
