package kubernetes_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/queuemill/queuemill/api/v1alpha1"
	"github.com/queuemill/queuemill/internal/executor"
	"github.com/queuemill/queuemill/internal/executor/kubernetes"
	"github.com/queuemill/queuemill/internal/message"
	"github.com/queuemill/queuemill/internal/record"
	"github.com/queuemill/queuemill/test/cluster"
)

func (r *rig) secrets() []corev1.Secret {
	r.t.Helper()
	list, err := r.client.CoreV1().Secrets(r.namespace).List(r.t.Context(), metav1.ListOptions{LabelSelector: kubernetes.LabelQueueJob})
	if err != nil {
		r.t.Fatal(err)
	}
	return list.Items
}

// owned makes the executor one of a QueueJob, for which a ConfigMap stands in.
func (r *rig) owned() *metav1.OwnerReference {
	r.t.Helper()
	m, err := r.client.CoreV1().ConfigMaps(r.namespace).Create(r.t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "ping"}}, metav1.CreateOptions{})
	if err != nil {
		r.t.Fatal(err)
	}
	owner := &metav1.OwnerReference{APIVersion: "v1", Kind: "ConfigMap", Name: m.Name, UID: m.UID}
	r.Executor = r.cluster.Executor(r.namespace, owner)
	return owner
}

// A small message costs the API server one write, also when it is acknowledged.
func TestASmallMessageIsOneWrite(t *testing.T) {
	r := newLiveRig(t)
	registry := prometheus.NewRegistry()
	opened, err := kubernetes.Open(kubernetes.Options{Config: cluster.Shared(t).Config(), Registerer: registry})
	if err != nil {
		t.Fatal(err)
	}
	r.Executor = opened.Executor(r.namespace, nil)
	rec := r.create(newJob("a", simple(t)))
	acked := true
	if _, err := r.Patch(t.Context(), "a", rec.UID, executor.Patch{Acked: &acked}); err != nil {
		t.Fatal(err)
	}
	if got := r.get("a"); !got.Acked {
		t.Error("the acknowledgement is not known")
	}
	metrics, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range metrics {
		for _, s := range m.GetMetric() {
			if m.GetName() == "queuemill_kubernetes_writes_total" && s.GetCounter().GetValue() > 0 {
				var labels []string
				for _, l := range s.GetLabel() {
					labels = append(labels, l.GetName()+"="+l.GetValue())
				}
				if got := strings.Join(labels, " "); got != "resource=jobs result=ok verb=create" || s.GetCounter().GetValue() != 1 {
					t.Errorf("%s: %v writes", got, s.GetCounter().GetValue())
				}
			}
		}
	}
	if n, err := testutil.GatherAndCount(registry, "queuemill_kubernetes_create_seconds"); n != 1 || err != nil {
		t.Errorf("%d histograms of creates, %v", n, err)
	}
	if list, err := r.client.CoreV1().Secrets(r.namespace).List(t.Context(), metav1.ListOptions{}); err != nil || len(list.Items) > 0 {
		t.Errorf("%d Secrets, %v", len(list.Items), err)
	}
}

// What a message says reaches the pod byte for byte.
func TestHostileBodiesReachThePodAsTheyAre(t *testing.T) {
	r := newLiveRig(t)
	for name, body := range map[string]string{
		"newlines": "a\nb\r\n\n  trailing \t\n", "unicode": "ünïcødé \u2028 𝄞", "yaml": "a: [b]\n- c: {d}\n---\n", "empty": "", "nul": "a\x00b",
		"binary": "\xff\xfe\x80", "large": strings.Repeat("$(X)\n", 20_000), "expansion": "$(DB_PASSWORD) $$(X)",
	} {
		t.Run(name, func(t *testing.T) {
			job := newJob(name, simple(t))
			job.Message.Body, job.Payload = body, body
			if utf8.ValidString(body) && !strings.Contains(body, "\x00") && len(body) < 60_000 {
				job.Env = []message.EnvVar{{Name: "BODY", Value: body}}
			}
			r.create(job)
			if got := r.get(name); got.Message.Body != body || got.Message.Size != len(body) {
				t.Errorf("the record has %d bytes: %.40q", len(got.Message.Body), got.Message.Body)
			}
			if file := r.messageFile(r.awaitPod(name)); file != body {
				t.Errorf("the message file has %d bytes: %.40q", len(file), file)
			}
		})
	}
}

// messageFile is what the kubelet makes the pod's message file of.
func (r *rig) messageFile(pod *corev1.Pod) string {
	r.t.Helper()
	i := slices.IndexFunc(pod.Spec.Volumes, func(v corev1.Volume) bool { return v.Name == "queuemill-message" })
	for _, source := range pod.Spec.Volumes[i].Projected.Sources {
		if d := source.DownwardAPI; d != nil && d.Items[0].Path == "message" {
			return pod.Annotations[strings.TrimSuffix(strings.TrimPrefix(d.Items[0].FieldRef.FieldPath, "metadata.annotations['"), "']")]
		}
		if s := source.Secret; s != nil && s.Items[0].Path == "message" {
			secret, err := r.client.CoreV1().Secrets(r.namespace).Get(r.t.Context(), s.Name, metav1.GetOptions{})
			if err != nil {
				r.t.Fatal(err)
			}
			return string(secret.Data[s.Items[0].Key])
		}
	}
	r.t.Fatalf("pod %s has no message file", pod.Name)
	return ""
}

// A large message's Secret is made before its Job and owned by it afterwards,
// and by every further attempt; a Job that another message has leaves none.
func TestSecretsBelongToTheirJobs(t *testing.T) {
	r := newRig(t)
	owner := r.owned()
	all := newLag("")
	late := r.openLate(all)
	all.hold()
	job := newJob("a", simple(t))
	job.Message.Body = strings.Repeat("x", 5000)
	job.Payload = job.Message.Body
	r.create(job)
	owners := func() (names []string) {
		t.Helper()
		secrets := r.secrets()
		if len(secrets) != 1 || secrets[0].Immutable == nil || !*secrets[0].Immutable {
			t.Fatalf("Secrets %+v, want one that can't be changed", secrets)
		}
		for _, o := range secrets[0].OwnerReferences {
			names = append(names, o.Kind+" "+o.Name)
		}
		slices.Sort(names)
		return names
	}
	if got := strings.Join(owners(), ", "); got != "Job a" {
		t.Errorf("owned by %s", got)
	}
	r.kubelet.finish("a", 1, "")
	r.await("a", func(rec record.Record) bool { return rec.State == record.Failed })
	job.Attempt = 2
	r.create(job)
	if got := strings.Join(owners(), ", "); got != "Job a, Job a-2" {
		t.Errorf("after a retry owned by %s", got)
	}
	// The same name, another message: the Job is taken.
	other := job
	other.Attempt, other.Message.ID = 1, "m-other"
	var exists *executor.ExistsError
	if _, err := r.Create(t.Context(), other); !errors.As(err, &exists) || exists.Found.Message.Body != job.Message.Body {
		t.Fatalf("create of another message: %v", err)
	}
	r.Executor = late.Executor(r.namespace, owner) // it has seen nothing of the name: the Job is tried first
	if _, err := r.Create(t.Context(), other); !errors.As(err, &exists) {
		t.Fatalf("create of another message: %v", err)
	}
	if got := strings.Join(owners(), ", "); got != "Job a, Job a-2" {
		t.Errorf("after another message owned by %s", got)
	}
}

// When a controller dies after the Job's create, the next one, or the leader,
// makes it the owner of its Secret.
func TestASecretIsAdoptedAfterACrash(t *testing.T) {
	for _, how := range []string{"redelivery", "leader"} {
		t.Run(how, func(t *testing.T) {
			r := newRig(t)
			owner := r.owned()
			job := newJob("a", simple(t))
			job.Message.Body = strings.Repeat("x", 5000)
			job.Payload = job.Message.Body
			r.create(job)
			s := r.secrets()[0]
			s.OwnerReferences = []metav1.OwnerReference{*owner} // as if the last step had not been done
			if _, err := r.client.CoreV1().Secrets(r.namespace).Update(t.Context(), &s, metav1.UpdateOptions{}); err != nil {
				t.Fatal(err)
			}
			if how == "leader" {
				w, err := r.client.CoreV1().Secrets(r.namespace).Watch(t.Context(), metav1.ListOptions{LabelSelector: kubernetes.LabelQueueJob})
				if err != nil {
					t.Fatal(err)
				}
				defer w.Stop()
				r.start(r.cluster.Lead)
				for {
					select {
					case e := <-w.ResultChan():
						for _, o := range e.Object.(*corev1.Secret).OwnerReferences {
							if o.Kind == "Job" {
								return
							}
						}
					case <-r.patience():
						t.Fatal("the leader left the Secret to the QueueJob")
					}
				}
			}
			var exists *executor.ExistsError
			if _, err := r.Create(t.Context(), job); !errors.As(err, &exists) {
				t.Fatalf("create again: %v", err)
			}
			if got := r.secrets()[0].OwnerReferences; len(got) != 1 || got[0].Kind != "Job" {
				t.Errorf("owned by %+v", got)
			}
		})
	}
}

// What is refused because of the message is the message's fault; what is refused
// whatever the message is the template's; what is refused now is neither.
func TestRefusedCreates(t *testing.T) {
	r := newLiveRig(t)
	var invalid *executor.InvalidError
	var template *kubernetes.TemplateError
	job := newJob("message", simple(t))
	job.Env = []message.EnvVar{{Name: "NO=NAME", Value: "x"}}
	if _, err := r.Create(t.Context(), job); !errors.As(err, &invalid) || errors.Is(err, executor.ErrUnavailable) || !strings.Contains(invalid.Cause.Detail, "env[0].name") {
		t.Errorf("a message that makes no Job: %v", err)
	}
	bad := spec(t, object{"template": object{"spec": object{"restartPolicy": "Always", "containers": []object{{"name": "Main_", "image": "x"}}}}})
	if _, err := r.Create(t.Context(), newJob("template", bad)); !errors.As(err, &template) || template.Unknown || !errors.Is(err, executor.ErrUnavailable) ||
		!strings.Contains(template.Msg, "restartPolicy") {
		t.Errorf("a template that makes no Job: %v", err)
	}
	quota := &corev1.ResourceQuota{ObjectMeta: metav1.ObjectMeta{Name: "none"}, Spec: corev1.ResourceQuotaSpec{
		Hard: corev1.ResourceList{"count/jobs.batch": resource.MustParse("0")},
	}}
	if _, err := r.client.CoreV1().ResourceQuotas(r.namespace).Create(t.Context(), quota, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	r.awaitQuota()
	if _, err := r.Create(t.Context(), newJob("quota", simple(t))); !errors.Is(err, executor.ErrUnavailable) {
		t.Errorf("a full quota: %v", err)
	}
	check := func(what string, s *v1alpha1.QueueJobSpec, config *rest.Config, unknown bool, contains string) {
		t.Helper()
		opened, err := kubernetes.Open(kubernetes.Options{Config: config})
		if err != nil {
			t.Fatal(err)
		}
		err = opened.Check(t.Context(), &v1alpha1.QueueJob{ObjectMeta: metav1.ObjectMeta{Namespace: r.namespace, Name: "ping"}, Spec: *s})
		if !errors.As(err, &template) || template.Unknown != unknown || !strings.Contains(template.Msg, contains) {
			t.Errorf("check of %s: %+v", what, err)
		}
	}
	config := cluster.Shared(t).Config()
	check("a full quota", simple(t), config, true, "quota is full")
	check("a bad template", bad, config, false, "restartPolicy")
	away := rest.CopyConfig(config)
	away.Host, away.Timeout = "https://127.0.0.1:1", time.Second
	check("an API server that is away", simple(t), away, true, "can't tell now")
}

// awaitQuota waits until the quota is in force.
func (r *rig) awaitQuota() {
	r.t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		q, err := r.client.CoreV1().ResourceQuotas(r.namespace).Get(r.t.Context(), "none", metav1.GetOptions{})
		if err == nil && len(q.Status.Hard) > 0 {
			return
		}
		select {
		case <-tick.C:
		case <-r.patience():
			r.t.Fatalf("the quota is not in force: %v", err)
		}
	}
}

func TestCheckOfASoundTemplate(t *testing.T) {
	r := newLiveRig(t)
	if err := r.cluster.Check(t.Context(), &v1alpha1.QueueJob{ObjectMeta: metav1.ObjectMeta{Namespace: r.namespace, Name: "ping"}, Spec: *simple(t)}); err != nil {
		t.Error(err)
	}
	if list := r.list(""); len(list) != 0 {
		t.Errorf("a dry run made %d records", len(list))
	}
}

// A person who deletes the latest of several attempts ends the record as it was:
// watchers hear that it went, and what is left of it.
func TestTheLatestAttemptsJobIsDeletedByAPerson(t *testing.T) {
	r := newRig(t)
	job := newJob("a", simple(t))
	first := r.create(job)
	r.kubelet.finish("a", 1, "")
	r.await("a", func(rec record.Record) bool { return rec.State == record.Failed })
	job.Attempt = 2
	r.create(job)
	r.await("a", func(rec record.Record) bool { return rec.State == record.Running })
	events := make(chan executor.Event, 10)
	ready := make(chan struct{})
	go func() {
		_ = r.Watch(t.Context(), "ping", func() { close(ready) }, func(e executor.Event) { events <- e })
	}()
	<-ready
	background := metav1.DeletePropagationBackground
	if err := r.client.BatchV1().Jobs(r.namespace).Delete(t.Context(), "a-2", metav1.DeleteOptions{PropagationPolicy: &background}); err != nil {
		t.Fatal(err)
	}
	var seen []executor.Event
	for len(seen) < 2 {
		select {
		case e := <-events:
			if e.Deleted || len(seen) > 0 {
				seen = append(seen, e)
			}
		case <-r.patience():
			t.Fatalf("told: %+v", seen)
		}
	}
	if e := seen[0]; !e.Deleted || e.Record.UID != first.UID || e.Record.LastAttempt() != 2 {
		t.Errorf("first %+v, want the end of attempt 2", e)
	}
	if e := seen[1]; e.Deleted || e.Record.UID != first.UID || e.Record.State != record.Failed || e.Record.LastAttempt() != 1 {
		t.Errorf("then %+v, want what is left", e)
	}
}
