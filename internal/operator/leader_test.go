package operator_test

import (
	"context"
	"testing"

	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/queuemill/queuemill/api/v1alpha1"
	"github.com/queuemill/queuemill/internal/operator"
	"github.com/queuemill/queuemill/internal/queuejob"
	"github.com/queuemill/queuemill/internal/record"
)

func (w *world) candidate() *replica {
	w.t.Helper()
	return w.run(func(o *operator.Options) { o.LeaseNamespace = w.ns })
}

// lease is the candidates'.
func (w *world) lease(ctx context.Context) *coordinationv1.Lease {
	w.t.Helper()
	var lease coordinationv1.Lease
	key := client.ObjectKey{Namespace: w.ns, Name: operator.LeaseName}
	if err := w.client.Get(ctx, key, &lease); client.IgnoreNotFound(err) != nil {
		w.t.Fatal(err)
	}
	return &lease
}

func (w *world) holder(ctx context.Context) string {
	if id := w.lease(ctx).Spec.HolderIdentity; id != nil {
		return *id
	}
	return ""
}

func TestAnotherReplicaGoesOnWithWhatTheLeaderHeld(t *testing.T) {
	w := newWorld(t)
	first := w.candidate()
	w.apply("ping", func(qj *v1alpha1.QueueJob) { qj.Spec.Ack = v1alpha1.AckOnSuccess })
	w.awaitReceiving("ping")
	was := w.holder(t.Context())
	second := w.candidate()
	await(t, "the follower is ready", func(context.Context) bool { return second.Ready() == nil })
	w.send("ping", "one")
	w.awaitJobs(1)
	first.stop()
	if d, err := w.queue("ping").Depth(t.Context()); err != nil || d.InFlight != 1 {
		t.Errorf("the message of the job that runs was given back: that counts as a receive: %+v, %v", d, err)
	}
	await(t, "the lease is another's", func(ctx context.Context) bool {
		now := w.holder(ctx)
		return now != "" && now != was
	})
	w.send("ping", "two")
	w.awaitJobs(2)
	for _, name := range w.engine.Names(record.Running) {
		w.engine.Finish(name, true)
	}
	await(t, "both messages are acknowledged", func(ctx context.Context) bool {
		d, err := w.queue("ping").Depth(ctx)
		return err == nil && d.Total() == 0
	})
	w.awaitJobs(2)
	await(t, "one replica leads", func(context.Context) bool { return w.engine.leading.Load() == 1 })
}

func TestLeaderThatLosesTheLeaseStopsAndCampaignsAgain(t *testing.T) {
	w := newWorld(t)
	one := w.candidate()
	w.apply("ping", nil)
	w.awaitReceiving("ping")
	thief := "somebody else"
	await(t, "the lease is taken from it", func(ctx context.Context) bool { // it may be renewed in between
		lease := w.lease(ctx)
		now := metav1.NowMicro()
		lease.Spec.HolderIdentity, lease.Spec.RenewTime = &thief, &now
		return w.client.Update(ctx, lease) == nil
	})
	await(t, "it stops", func(context.Context) bool { return w.engine.leading.Load() == 0 })
	w.send("ping", "one")
	if err := one.Healthy(t.Context()); err != nil {
		t.Errorf("who lost the lease and stopped is healthy, not: %v", err)
	}
	await(t, "it leads again", func(ctx context.Context) bool { return w.holder(ctx) != thief && w.engine.leading.Load() == 1 })
	w.awaitCondition("ping", queuejob.ConditionReady, metav1.ConditionTrue, "Receiving")
	w.awaitJobs(1)
}

func TestTwoThatBothLeadMakeOneJobOfAMessage(t *testing.T) {
	w := newWorld(t)
	w.apply("ping", func(qj *v1alpha1.QueueJob) { qj.Spec.MaxActive = 100 })
	w.run(nil) // without election both believe that they lead
	w.run(nil)
	await(t, "both lead", func(context.Context) bool { return w.engine.leading.Load() == 2 })
	bodies := make([]string, 50)
	for i := range bodies {
		bodies[i] = string(rune('a' + i))
	}
	w.send("ping", bodies...)
	w.awaitJobs(len(bodies))
	for _, name := range w.engine.Names(record.Running) {
		w.engine.Finish(name, true)
	}
	await(t, "the status counts each once", func(ctx context.Context) bool {
		d, err := w.queue("ping").Depth(ctx)
		return w.get("ping").Status.Jobs == v1alpha1.JobCounts{Succeeded: len(bodies)} && err == nil && d.Total() == 0
	})
	w.awaitJobs(len(bodies))
}
