package operator

import (
	"context"
	"errors"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/queuemill/queuemill/api/v1alpha1"
	"github.com/queuemill/queuemill/internal/executor/kubernetes"
)

// When a template is dry-run again: what it depends on (quotas, webhooks,
// ServiceAccounts) changes without an edit.
const (
	checkValid   = 5 * time.Minute
	checkInvalid = 10 * time.Second
	checkBound   = 30 * time.Second
)

// verdict is what is known of a template.
type verdict struct {
	status          metav1.ConditionStatus // empty: not looked at yet
	reason, message string
}

// check has the template dry-run: at each edit, every few minutes, and more
// often while it is not known to be valid. What can't be told now (a full quota,
// an API server that is away) holds nothing back.
func (r *running) check(ctx context.Context) {
	for first := true; ctx.Err() == nil; first = false {
		r.mu.Lock()
		qj := r.qj
		r.mu.Unlock()
		bounded, cancel := context.WithTimeout(ctx, checkBound)
		err := r.op.o.Engine.Check(bounded, qj)
		cancel()
		if ctx.Err() != nil {
			return
		}
		v := judge(err)
		r.judged(v)
		if first {
			close(r.checked)
		}
		again := jitter(2 * checkInvalid)
		if v.status == metav1.ConditionTrue {
			again = jitter(2 * checkValid)
		}
		timer := time.NewTimer(again)
		select {
		case <-timer.C:
		case <-r.edited:
		case <-ctx.Done():
		}
		timer.Stop()
	}
}

func judge(err error) verdict {
	var invalid *kubernetes.TemplateError
	switch {
	case err == nil:
		return verdict{metav1.ConditionTrue, "DryRun", "the API server takes a Job of it"}
	case errors.As(err, &invalid) && !invalid.Unknown:
		return verdict{metav1.ConditionFalse, reasonTemplateInvalid, err.Error()}
	}
	return verdict{metav1.ConditionUnknown, "NotTold", err.Error()}
}

// judged takes a verdict, and tells what changed by it.
func (r *running) judged(v verdict) {
	r.mu.Lock()
	defer r.mu.Unlock()
	was := r.verdict.status
	r.verdict = v
	r.hold()
	r.op.metrics.checked(v)
	if was == v.status {
		return
	}
	h := happening{about: reference(v1alpha1.KindQueueJob, r.qj), reason: reasonTemplateInvalid, action: "DryRun", note: v.message}
	switch {
	case v.status == metav1.ConditionFalse:
		h.warning = true
		r.op.recorder.tell(h)
	case v.status == metav1.ConditionTrue && was == metav1.ConditionFalse:
		h.reason = "TemplateValid"
		r.op.recorder.tell(h)
	}
}
