package operator_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	clientset "k8s.io/client-go/kubernetes"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/queuemill/queuemill/api/v1alpha1"
	"github.com/queuemill/queuemill/internal/operator"
	"github.com/queuemill/queuemill/internal/queue"
	"github.com/queuemill/queuemill/internal/queue/queuetest"
	"github.com/queuemill/queuemill/internal/queuejob"
	"github.com/queuemill/queuemill/internal/scaletarget"
	"github.com/queuemill/queuemill/internal/workerpool"
)

// OpenTarget has the real thing set replicas, at the test's API server.
func (p *pools) OpenTarget(_ context.Context, wp *v1alpha1.WorkerPool, older func(context.Context) (string, error)) (queue.DepthReporter, workerpool.Target, error) {
	q, err := p.w.openByName(wp.Spec.Queue.SQS.Name)
	if err != nil {
		return nil, nil, err
	}
	_, config := admin(p.w.t)
	set, err := clientset.NewForConfig(config)
	if err != nil {
		return nil, nil, err
	}
	return q.(queue.DepthReporter), scaletarget.New(scaletarget.Options{
		Client: set, Namespace: wp.Namespace, Name: wp.Spec.ScaleTargetRef.Name, Older: older, RivalsEvery: 100 * time.Millisecond,
	}), nil
}

// applyTargeted makes a WorkerPool for the Deployment web.
func (w *world) applyTargeted(name string) *v1alpha1.WorkerPool {
	w.t.Helper()
	return w.applyPool(name, onWeb)
}

func onWeb(wp *v1alpha1.WorkerPool) {
	wp.Spec.Kubernetes, wp.Spec.ScaleTargetRef = nil, &v1alpha1.ScaleTargetRef{Name: "web"}
}

const webDeployment = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: main, image: i}]}
`

// deploy makes the Deployment web, as kubectl create does.
func (w *world) deploy() {
	w.t.Helper()
	if err := w.client.Create(w.t.Context(), w.web(nil), client.FieldOwner("kubectl-create")); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) web(replicas any) *unstructured.Unstructured {
	w.t.Helper()
	web := &unstructured.Unstructured{}
	if err := yaml.Unmarshal([]byte(webDeployment), &web.Object); err != nil {
		w.t.Fatal(err)
	}
	web.SetNamespace(w.ns)
	if replicas != nil {
		if err := unstructured.SetNestedField(web.Object, replicas, "spec", "replicas"); err != nil {
			w.t.Fatal(err)
		}
	}
	return web
}

func (w *world) replicas() int32 {
	w.t.Helper()
	var d appsv1.Deployment
	if err := w.client.Get(w.t.Context(), client.ObjectKey{Namespace: w.ns, Name: "web"}, &d); err != nil {
		w.t.Fatal(err)
	}
	return *d.Spec.Replicas
}

func (w *world) awaitReplicas(n int32) {
	w.t.Helper()
	await(w.t, "the Deployment has its replicas", func(context.Context) bool { return w.replicas() == n })
}

// looks waits until a pool has looked at its queue n times more.
func (w *world) looks(name string, n int) {
	w.t.Helper()
	until := w.queue(name).Calls(queuetest.OpDepth) + n
	await(w.t, name+" looks at its queue", func(context.Context) bool { return w.queue(name).Calls(queuetest.OpDepth) >= until })
}

func TestADeploymentFollowsTheBacklogOut(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.runPools(newPools(w))
	w.deploy()
	w.send("web", "a", "b", "c")
	wp := w.applyTargeted("web")
	w.awaitReplicas(3)
	w.awaitPool("web", queuejob.ConditionReady, metav1.ConditionTrue, "Scaling")
	w.awaitPool("web", operator.ConditionTargetOwned, metav1.ConditionTrue, "Alone")
	w.awaitPoolEvent("web", "Scaled")
	if meta.FindStatusCondition(w.pool("web").Status.Conditions, operator.ConditionTemplateValid) != nil {
		t.Error("a pool without a template says that it is valid")
	}
	var d appsv1.Deployment
	if err := w.client.Get(t.Context(), client.ObjectKey{Namespace: w.ns, Name: "web"}, &d); err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(d.ManagedFields, func(f metav1.ManagedFieldsEntry) bool { return f.Manager == "queuemill" && f.Subresource == "scale" }) {
		t.Errorf("nobody can see who scales it: %+v", d.ManagedFields)
	}
	if err := w.queue("web").Purge(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.awaitReplicas(0)
	w.send("web", "a", "b")
	w.awaitReplicas(2)
	if err := w.client.Delete(t.Context(), wp); err != nil {
		t.Fatal(err)
	}
	await(t, "the pool is gone", func(ctx context.Context) bool {
		return apierrors.IsNotFound(w.client.Get(ctx, client.ObjectKeyFromObject(wp), &v1alpha1.WorkerPool{}))
	})
	if n := w.replicas(); n != 2 {
		t.Errorf("the deleted pool left %d replicas of 2", n)
	}
}

func TestWhatAnotherAutoscalerScalesIsRefused(t *testing.T) {
	for name, row := range map[string]struct {
		rival client.Object
		named string
	}{
		"HPA":  {&autoscalingv2.HorizontalPodAutoscaler{}, "HorizontalPodAutoscaler rival"},
		"KEDA": {&unstructured.Unstructured{}, "ScaledObject rival"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.rival(row.rival)
			w.runPools(newPools(w))
			w.deploy()
			w.send("web", "a", "b", "c")
			w.applyTargeted("web")
			c := w.awaitPool("web", queuejob.ConditionReady, metav1.ConditionFalse, "AlsoScaled")
			if !strings.Contains(c.Message, row.named) || !strings.Contains(c.Message, "delete it, or suspend this pool") {
				t.Errorf("the condition says %q", c.Message)
			}
			w.awaitPool("web", operator.ConditionTargetOwned, metav1.ConditionFalse, "AlsoScaled")
			w.awaitPool("web", operator.ConditionScalingActive, metav1.ConditionFalse, "AlsoScaled")
			w.awaitPoolEvent("web", "AlsoScaled")
			w.looks("web", 5)
			if n := w.replicas(); n != 1 {
				t.Errorf("it was scaled to %d nevertheless", n)
			}
			if err := w.client.Delete(t.Context(), row.rival); err != nil {
				t.Fatal(err)
			}
			w.awaitReplicas(3)
			w.awaitPool("web", queuejob.ConditionReady, metav1.ConditionTrue, "Scaling")
			w.awaitPoolEvent("web", "TargetFollowed")
		})
	}
}

const kedaCRD = `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: scaledobjects.keda.sh}
spec:
  group: keda.sh
  scope: Namespaced
  names: {kind: ScaledObject, listKind: ScaledObjectList, plural: scaledobjects, singular: scaledobject}
  versions:
  - {name: v1alpha1, served: true, storage: true, schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}}
`

// rival makes something else that scales web, after one that scales another.
func (w *world) rival(object client.Object) {
	w.t.Helper()
	install(w.t, w.client, []byte(kedaCRD))
	for _, name := range []string{"other", "web"} {
		switch o := object.(type) {
		case *autoscalingv2.HorizontalPodAutoscaler:
			*o = autoscalingv2.HorizontalPodAutoscaler{Spec: autoscalingv2.HorizontalPodAutoscalerSpec{
				ScaleTargetRef: autoscalingv2.CrossVersionObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Name: name}, MaxReplicas: 9,
			}}
		case *unstructured.Unstructured:
			o.Object = map[string]any{"spec": map[string]any{"scaleTargetRef": map[string]any{"name": name}}} // a Deployment, where it does not say
			o.SetGroupVersionKind(schema.GroupVersionKind{Group: "keda.sh", Version: "v1alpha1", Kind: "ScaledObject"})
		}
		object.SetNamespace(w.ns)
		object.SetName(map[string]string{"other": "harmless", "web": "rival"}[name])
		await(w.t, "the rival is made", func(ctx context.Context) bool { return w.client.Create(ctx, object) == nil })
	}
}

func TestADeployToolThatWritesReplicasIsTold(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.runPools(newPools(w))
	w.deploy()
	w.send("web", "a", "b", "c")
	w.applyTargeted("web")
	w.awaitReplicas(3)
	w.awaitPool("web", operator.ConditionTargetOwned, metav1.ConditionTrue, "Alone")
	err := w.client.Apply(t.Context(), client.ApplyConfigurationFromUnstructured(w.web(int64(1))), client.FieldOwner("kustomize-controller"), client.ForceOwnership)
	if err != nil {
		t.Fatal(err)
	}
	c := w.awaitPool("web", operator.ConditionTargetOwned, metav1.ConditionFalse, "AlsoWritten")
	if !strings.Contains(c.Message, `"kustomize-controller"`) || !strings.Contains(c.Message, "leave replicas out") {
		t.Errorf("the condition says %q", c.Message)
	}
	w.awaitPoolEvent("web", "AlsoWritten")
	w.awaitReplicas(3)
	w.awaitPool("web", queuejob.ConditionReady, metav1.ConditionTrue, "Scaling")
	w.looks("web", 5)
	w.awaitPool("web", operator.ConditionTargetOwned, metav1.ConditionFalse, "AlsoWritten") // although the field is ours again
}

func TestADeploymentThatIsMissingIsWaitedFor(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.runPools(newPools(w))
	w.send("web", "a", "b")
	w.applyTargeted("web")
	c := w.awaitPool("web", queuejob.ConditionReady, metav1.ConditionFalse, "TargetMissing")
	if !strings.Contains(c.Message, "there is no Deployment web") {
		t.Errorf("the condition says %q", c.Message)
	}
	w.deploy()
	w.awaitReplicas(2)
	w.awaitPool("web", queuejob.ConditionReady, metav1.ConditionTrue, "Scaling")
}

func TestOfTwoPoolsOnOneDeploymentTheOlderGoesOn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.runPools(newPools(w))
	w.deploy()
	w.send("a-first", "a", "b")
	first := w.applyTargeted("a-first")
	w.awaitReplicas(2)
	w.send("second", "a", "b", "c", "d")
	w.applyTargeted("second")
	c := w.awaitPool("second", queuejob.ConditionReady, metav1.ConditionFalse, "AlsoScaled")
	if !strings.Contains(c.Message, "WorkerPool a-first") {
		t.Errorf("the condition says %q", c.Message)
	}
	w.looks("second", 5)
	if n := w.replicas(); n != 2 {
		t.Errorf("the younger one set %d replicas", n)
	}
	if err := w.client.Delete(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	w.awaitReplicas(4)
}

func TestASuspendedPoolLeavesADeploymentAsItIs(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.runPools(newPools(w))
	w.deploy()
	w.send("web", "a", "b")
	w.applyTargeted("web")
	w.awaitReplicas(2)
	w.editPool("web", func(wp *v1alpha1.WorkerPool) { wp.Spec.Suspend = true })
	w.awaitPool("web", queuejob.ConditionSuspended, metav1.ConditionTrue, "Suspended")
	w.send("web", "c")
	w.looks("web", 5)
	if n := w.replicas(); n != 2 {
		t.Errorf("%d replicas while it is suspended, of 2", n)
	}
	w.editPool("web", func(wp *v1alpha1.WorkerPool) { wp.Spec.Suspend = false })
	w.awaitReplicas(3)
}

func TestAPoolThatGetsATargetRetiresItsOwnWorkers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := newPools(w)
	w.runPools(p)
	w.deploy()
	w.send("web", "a", "b")
	wp := w.applyPool("web", nil)
	await(t, "two workers are there", func(context.Context) bool { return p.crew(wp).count() == 2 })
	w.editPool("web", onWeb)
	w.awaitReplicas(2)
	await(t, "its own workers are gone", func(context.Context) bool { return p.crew(wp).count() == 0 })
	if c := p.crew(wp); len(c.wrong) > 0 {
		t.Errorf("removed without their agreement: %q", c.wrong)
	}
	w.awaitPool("web", queuejob.ConditionReady, metav1.ConditionTrue, "Scaling")
	if meta.FindStatusCondition(w.pool("web").Status.Conditions, operator.ConditionTemplateValid) != nil {
		t.Error("the template that is gone is still valid")
	}
}
