package operator

import (
	"cmp"
	"context"
	"fmt"
	"reflect"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/queuemill/queuemill/api/v1alpha1"
	"github.com/queuemill/queuemill/internal/workerpool"
)

// ConditionTargetOwned tells whether the replicas of a scaleTargetRef are the
// pool's alone to set. Pools of their own pods don't have it.
const ConditionTargetOwned = "TargetOwned"

// reasonTargetFails: the target can't be looked at or set; Ready's message says
// why.
const reasonTargetFails = "TargetFails"

// older is the name of an older WorkerPool with the same target; empty: there is
// none. The first one made goes on, whatever it is hindered by: a third way to
// choose would let two of them change places.
func (op pools) older(ctx context.Context, wp *v1alpha1.WorkerPool) (string, error) {
	var all v1alpha1.WorkerPoolList
	if err := op.client.List(ctx, &all, client.InNamespace(wp.Namespace)); err != nil {
		return "", fmt.Errorf("list WorkerPools: %w", err)
	}
	for i := range all.Items {
		other := &all.Items[i]
		other.SetDefaults()
		if other.UID != wp.UID && reflect.DeepEqual(other.Spec.ScaleTargetRef, wp.Spec.ScaleTargetRef) && before(other, wp) {
			return other.Name, nil
		}
	}
	return "", nil
}

func before(a, b *v1alpha1.WorkerPool) bool {
	return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(a.Name, b.Name)) < 0
}

// letGo retires the workers that a pool has left from the time before it had a
// target, and returns when to do so again. There is no template to be judged.
func (r *poolRun) letGo(ctx context.Context, wp *v1alpha1.WorkerPool) time.Duration {
	r.mu.Lock()
	r.verdict = verdict{}
	r.mu.Unlock()
	bounded, cancel := context.WithTimeout(ctx, retireTry)
	defer cancel()
	left, err := retire(bounded, r.op.o.Pools.Workers(wp))
	switch {
	case err != nil && ctx.Err() == nil:
		r.log.Warn("the workers from before its target can't be retired; tried again", keyError, err)
		return jitter(2 * checkInvalid)
	case len(left) > 0:
		return retireAgain
	}
	return jitter(2 * checkValid)
}

// owned is the condition of a pool with a target.
func owned(now *workerpool.Status) metav1.Condition {
	c := metav1.Condition{Type: ConditionTargetOwned, Status: metav1.ConditionUnknown, Reason: reasonStarting, Message: "it is not looked at yet"}
	switch {
	case now == nil:
	case now.Refused != nil:
		c.Status, c.Reason, c.Message = metav1.ConditionFalse, string(now.Refused.Reason), now.Refused.Message
	case now.Contested != "":
		c.Status, c.Reason, c.Message = metav1.ConditionFalse, string(workerpool.EventAlsoWritten), now.Contested
	case now.Decision != nil:
		c.Status, c.Reason, c.Message = metav1.ConditionTrue, "Alone", "nobody else is known to set its replicas"
	}
	return c
}

// targetTrouble is why a target does not follow the backlog, for Ready; the
// reason is empty when it does.
func targetTrouble(now *workerpool.Status) (reason, message string) {
	switch {
	case now == nil:
	case now.Refused != nil:
		return string(now.Refused.Reason), now.Refused.Message
	case now.Trouble != "":
		return reasonTargetFails, now.Trouble
	}
	return "", ""
}
