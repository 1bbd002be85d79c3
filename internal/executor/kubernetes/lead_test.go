package kubernetes_test

import (
	"encoding/json"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/queuemill/queuemill/api/v1alpha1"
	"github.com/queuemill/queuemill/internal/executor"
	"github.com/queuemill/queuemill/internal/executor/executortest"
	"github.com/queuemill/queuemill/internal/executor/kubernetes"
	"github.com/queuemill/queuemill/internal/message"
	"github.com/queuemill/queuemill/internal/reason"
	"github.com/queuemill/queuemill/internal/record"
)

func newLeadingRig(t *testing.T) *rig {
	r := newRig(t)
	r.start(r.cluster.Lead)
	return r
}

// newJob is a first attempt.
func newJob(name string, s *v1alpha1.QueueJobSpec) executor.Job {
	return executor.Job{
		Name: name, Attempt: 1, QueueJob: "ping", Identity: "id-" + name, IdempotencyKey: name,
		Message: record.Message{ID: "m-" + name, Body: "body of " + name, Receipt: "receipt-1"}, Payload: "body of " + name, Spec: s,
	}
}

func (r *rig) create(job executor.Job) record.Record {
	r.t.Helper()
	rec, err := r.Create(r.t.Context(), job)
	if err != nil {
		r.t.Fatalf("create %s: %v", job.Name, err)
	}
	return rec
}

func (r *rig) await(name string, want func(record.Record) bool) record.Record {
	r.t.Helper()
	rec, err := executortest.Await(r.t.Context(), r, name, want)
	if err != nil {
		r.t.Fatal(err)
	}
	return rec
}

func (r *rig) get(name string) record.Record {
	r.t.Helper()
	rec, err := r.Get(r.t.Context(), name)
	if err != nil {
		r.t.Fatal(err)
	}
	return rec
}

// Why a job failed is told with its end, stands on its Job, and is still there
// when its pods are gone.
func TestWhyAJobFailedIsGatheredAndOutlivesItsPods(t *testing.T) {
	r := newLeadingRig(t)
	evicted := corev1.PodCondition{Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue, Reason: "EvictionByEvictionAPI", Message: "node drain"}
	onFailure := spec(t, object{"backoffLimit": 0, "template": object{"spec": object{
		"restartPolicy": "OnFailure", "containers": []object{{"name": "main", "image": "busybox"}},
	}}})
	tests := map[string]struct {
		end        corev1.ContainerStateTerminated
		conditions []corev1.PodCondition
		spec       *v1alpha1.QueueJobSpec
		output     string

		reason   reason.Reason
		detail   string // contained
		exitCode int    // 0: none
		signal   string
		tail     string
	}{
		"exit": {
			end: corev1.ContainerStateTerminated{ExitCode: 3, Reason: "Error"}, output: strings.Repeat("noise\n", 30) + "cannot reach db\n",
			reason: reason.NonZeroExit, detail: "container main: exit code 3", exitCode: 3, tail: strings.Repeat("noise\n", 19) + "cannot reach db\n",
		},
		"oom":    {end: corev1.ContainerStateTerminated{ExitCode: 137, Reason: "OOMKilled"}, reason: reason.OutOfMemory, detail: "memory limit", exitCode: 137, signal: "SIGKILL"},
		"signal": {end: corev1.ContainerStateTerminated{ExitCode: 139, Reason: "Error"}, reason: reason.Signal, detail: "exit code 139 (SIGSEGV)", exitCode: 139, signal: "SIGSEGV"},
		"start": {
			end:    corev1.ContainerStateTerminated{ExitCode: 128, Reason: "StartError", Message: `exec: "nope": executable file not found in $PATH`},
			reason: reason.StartError, detail: `"nope": executable file not found`,
		},
		"disrupted": {
			end: corev1.ContainerStateTerminated{ExitCode: 143, Reason: "Error"}, conditions: []corev1.PodCondition{evicted}, spec: onFailure,
			reason: reason.Disrupted, detail: "EvictionByEvictionAPI: node drain",
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s := tt.spec
			if s == nil {
				s = simple(t)
			}
			r.create(newJob(name, s))
			told := make(chan record.Record, 100)
			ready := make(chan struct{})
			go func() {
				_ = r.Watch(t.Context(), "ping", func() { close(ready) }, func(e executor.Event) {
					if e.Record.Name == name && e.Record.State == record.Failed {
						told <- e.Record
					}
				})
			}()
			<-ready
			r.kubelet.end(name, tt.end, tt.output, tt.conditions...)
			check := func(how string, rec record.Record) {
				t.Helper()
				if rec.Cause == nil || rec.Cause.Reason != tt.reason || !strings.Contains(rec.Cause.Detail, tt.detail) {
					t.Errorf("%s: cause %+v, want %s with %q", how, rec.Cause, tt.reason, tt.detail)
				}
				a := rec.Attempts[0]
				if tt.exitCode == 0 != (a.ExitCode == nil) && tt.reason != reason.Disrupted || a.ExitCode != nil && tt.exitCode != 0 && *a.ExitCode != tt.exitCode || a.Signal != tt.signal {
					t.Errorf("%s: exit code %v, signal %q", how, a.ExitCode, a.Signal)
				}
			}
			// The first event of its failure has its reason, unless that takes too long.
			rec := <-told
			for rec.Cause != nil && rec.Cause.Reason != tt.reason {
				select {
				case rec = <-told:
				case <-r.patience():
					t.Fatalf("told: %+v", rec.Cause)
				}
			}
			check("told", rec)
			r.awaitAnnotation(name, kubernetes.AnnotationReason)
			if err := r.client.CoreV1().Pods(r.namespace).DeleteCollection(t.Context(), *metav1.NewDeleteOptions(0),
				metav1.ListOptions{LabelSelector: kubernetes.LabelRecord + "=" + name}); err != nil {
				t.Fatal(err)
			}
			r.open() // knows nothing but what is written
			rec = r.get(name)
			check("after its pods are gone", rec)
			if got := rec.Attempts[0].LogTail; got != tt.tail {
				t.Errorf("log tail %q, want %q", got, tt.tail)
			}
		})
	}
}

// A Job that its deadline ends has its pods deleted: what they said is kept.
func TestADeadlineLeavesTheOutput(t *testing.T) {
	r := newLeadingRig(t)
	r.kubelet.setLingers(true)
	r.create(newJob("slow", simple(t)))
	r.kubelet.say("slow", "still at it\n")
	soon := []byte(`{"spec":{"activeDeadlineSeconds":1}}`) // now that it runs
	if _, err := r.client.BatchV1().Jobs(r.namespace).Patch(t.Context(), "slow", types.MergePatchType, soon, metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	select {
	case <-r.kubelet.served:
	case <-r.patience():
		t.Fatal("nobody asked for the output")
	}
	r.kubelet.letGo(t.Context())
	rec := r.await("slow", func(rec record.Record) bool { return rec.State == record.Failed })
	if rec.Cause == nil || rec.Cause.Reason != reason.DeadlineExceeded || !strings.Contains(rec.Cause.Detail, "activeDeadlineSeconds") {
		t.Errorf("cause %+v", rec.Cause)
	}
	if text := r.awaitAnnotation("slow", kubernetes.AnnotationReason); !strings.Contains(text, "still at it") {
		t.Errorf("gathered: %s", text)
	}
}

// awaitAnnotation waits until a Job has an annotation, and returns it.
func (r *rig) awaitAnnotation(job, key string) (value string) {
	r.t.Helper()
	w, err := r.client.BatchV1().Jobs(r.namespace).Watch(r.t.Context(), metav1.ListOptions{FieldSelector: "metadata.name=" + job})
	if err != nil {
		r.t.Fatal(err)
	}
	defer w.Stop()
	for {
		select {
		case e := <-w.ResultChan():
			meta, ok := e.Object.(metav1.Object)
			if !ok {
				r.t.Fatalf("watch of Job %s ended with %+v", job, e)
			}
			if value = meta.GetAnnotations()[key]; value != "" {
				return value
			}
		case <-r.patience():
			r.t.Fatalf("Job %s has no %s", job, key)
		}
	}
}

// A confidential message's output is kept nowhere but in its pods.
func TestNothingOfAConfidentialMessageIsWritten(t *testing.T) {
	r := newLeadingRig(t)
	job := newJob("secretive", simple(t))
	job.Confidential = true
	job.Message.Body, job.Payload = `{"pin":"4711"}`, `{"pin":"4711"}`
	job.Message.Attributes = map[string]message.Attribute{"card": {DataType: "String", StringValue: "4711"}}
	job.Attributes = job.Message.Attributes
	job.Env = []message.EnvVar{{Name: "PIN", Value: "4711"}}
	r.create(job)
	r.kubelet.end("secretive", corev1.ContainerStateTerminated{ExitCode: 1, Reason: "Error", Message: "pin 4711 is wrong"}, "pin 4711\n")
	r.awaitAnnotation("secretive", kubernetes.AnnotationReason)
	made, err := r.client.BatchV1().Jobs(r.namespace).Get(t.Context(), "secretive", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	made.ManagedFields = nil
	text, err := json.Marshal(made)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(text), "4711") {
		t.Errorf("the Job tells what is confidential: %s", text)
	}
	if got := r.get("secretive"); got.Message.Body != job.Message.Body || got.Message.Attributes["card"].StringValue != "4711" {
		t.Errorf("the record has %+v", got.Message)
	}
}

// What keeps a job from starting is on its record, for the verbs too.
func TestWhatKeepsAJobFromStartingIsToldAndWritten(t *testing.T) {
	r := newLeadingRig(t)
	r.kubelet.hold = true
	tests := map[string]struct {
		status corev1.PodStatus
		event  *corev1.Event
		reason reason.Reason
		detail string
	}{
		"image": {
			status: corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{{Name: "main", Image: "x", State: corev1.ContainerState{
				Waiting: &corev1.ContainerStateWaiting{Reason: "ImagePullBackOff", Message: "no such image"},
			}}}},
			reason: reason.ImagePull, detail: "ImagePullBackOff: no such image",
		},
		"config": {
			status: corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{{Name: "main", Image: "x", State: corev1.ContainerState{
				Waiting: &corev1.ContainerStateWaiting{Reason: "CreateContainerConfigError", Message: `secret "db" not found`},
			}}}},
			reason: reason.ConfigMissing, detail: `secret "db" not found`,
		},
		"unschedulable": {
			status: corev1.PodStatus{Conditions: []corev1.PodCondition{{
				Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: corev1.PodReasonUnschedulable, Message: "0/3 nodes are available: 3 Insufficient cpu.",
			}}},
			reason: reason.Unschedulable, detail: "3 Insufficient cpu",
		},
		"claim": {
			status: corev1.PodStatus{Conditions: []corev1.PodCondition{{
				Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: corev1.PodReasonUnschedulable, Message: `0/1 nodes are available: persistentvolumeclaim "data" not found.`,
			}}},
			reason: reason.VolumeMissing, detail: `persistentvolumeclaim "data" not found`,
		},
		"mount": {
			status: corev1.PodStatus{},
			event:  &corev1.Event{Type: corev1.EventTypeWarning, Reason: "FailedMount", Message: `MountVolume.SetUp failed for volume "cfg" : configmap "cfg" not found`},
			reason: reason.VolumeMissing, detail: `configmap "cfg" not found`,
		},
	}
	for name := range tests {
		r.create(newJob(name, simple(t)))
	}
	for name, tt := range tests {
		pod := r.awaitPod(name)
		if tt.event != nil {
			r.bind(pod)
			tt.event.ObjectMeta = metav1.ObjectMeta{GenerateName: "e-", Namespace: r.namespace}
			tt.event.InvolvedObject = corev1.ObjectReference{Kind: "Pod", Namespace: r.namespace, Name: pod.Name, UID: pod.UID}
			if _, err := r.client.CoreV1().Events(r.namespace).Create(t.Context(), tt.event, metav1.CreateOptions{}); err != nil {
				t.Fatal(err)
			}
			continue
		}
		pod.Status = tt.status
		pod.Status.Phase = corev1.PodPending
		if _, err := r.client.CoreV1().Pods(r.namespace).UpdateStatus(t.Context(), pod, metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	for name, tt := range tests {
		check := func(how string, rec record.Record) {
			t.Helper()
			if rec.State != record.Queued || rec.Cause == nil || rec.Cause.Reason != tt.reason || !strings.Contains(rec.Cause.Detail, tt.detail) {
				t.Errorf("%s, %s: %s, cause %+v, want %s with %q", name, how, rec.State, rec.Cause, tt.reason, tt.detail)
			}
		}
		check("told", r.await(name, func(rec record.Record) bool { return rec.Cause != nil }))
		if text := r.awaitAnnotation(name, kubernetes.AnnotationReason); !strings.Contains(text, string(tt.reason)) {
			t.Errorf("%s: written is %s", name, text)
		}
	}
	r.open()
	for _, rec := range r.list("ping") {
		if tt := tests[rec.Name]; rec.Cause == nil || rec.Cause.Reason != tt.reason {
			t.Errorf("%s is listed with cause %+v, want %s", rec.Name, rec.Cause, tt.reason)
		}
	}
}
