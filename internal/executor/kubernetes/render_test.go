package kubernetes

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"

	"github.com/queuemill/queuemill/api/v1alpha1"
	"github.com/queuemill/queuemill/internal/executor"
	"github.com/queuemill/queuemill/internal/message"
	"github.com/queuemill/queuemill/internal/reason"
	"github.com/queuemill/queuemill/internal/record"
)

var update = flag.Bool("update", false, "write golden files")

const pingTemplate = `
metadata:
  labels: {team: a, queuemill.dev/queuejob: forged}
spec:
  backoffLimit: 3
  ttlSecondsAfterFinished: 60
  template:
    metadata: {labels: {app: ping}}
    spec:
      restartPolicy: Never
      initContainers: [{name: fetch, image: busybox}]
      containers:
      - name: ping
        image: alpine
        command: [ping, -w, $(DURATION), --, $(TARGET)]
        env: [{name: DURATION, value: "5"}, {name: URL, value: "http://$(TARGET)/"}]
`

func specOf(t *testing.T, jobTemplate string) *v1alpha1.QueueJobSpec {
	t.Helper()
	raw, err := yaml.YAMLToJSON([]byte(jobTemplate))
	if err != nil {
		t.Fatal(err)
	}
	return &v1alpha1.QueueJobSpec{Kubernetes: &v1alpha1.KubernetesTemplate{JobTemplate: runtime.RawExtension{Raw: raw}}}
}

func pingJob(t *testing.T) executor.Job {
	return executor.Job{
		Name: "ping-0123456789abcdef", Attempt: 1, Namespace: "team-a", QueueJob: "ping",
		Identity: "00112233445566778899aabbccddeeff00112233", IdempotencyKey: "5f3c1f5e-0000-8000-8000-000000000000",
		Message: record.Message{
			ID: "m-1", Body: `{"target":"a"}`, Receipt: "r-1", GroupID: "g", Items: 2, SentAt: time.Date(2026, 11, 22, 6, 0, 0, 5e6, time.UTC),
			Attributes: map[string]message.Attribute{"kind": {DataType: "String", StringValue: "x"}},
		},
		Payload:    `{"target":"a"}`,
		Attributes: map[string]message.Attribute{"kind": {DataType: "String", StringValue: "x"}},
		Env:        []message.EnvVar{{Name: "QUEUEMILL_MESSAGE_ID", Value: "m-1"}, {Name: "TARGET", Value: "$(DB_PASSWORD)"}, {Name: "DURATION", Value: "1"}},
		Spec:       specOf(t, pingTemplate),
	}
}

// What is made of a message is frozen here, and looked at when it changes.
func TestRenderedJobs(t *testing.T) {
	owner := &metav1.OwnerReference{APIVersion: "queuemill.dev/v1alpha1", Kind: "QueueJob", Name: "ping", UID: "owner-uid"}
	large := strings.Repeat("x", maxAnnotation+1)
	tests := map[string]func(*executor.Job) place{
		"small":  func(*executor.Job) place { return place{slot: 1} },
		"second": func(j *executor.Job) place { j.Attempt = 2; return place{slot: 2, recordUID: "first-uid", acked: true} },
		"large": func(j *executor.Job) place {
			j.Message.Body, j.Payload = large, large
			return place{slot: 1}
		},
		"confidential": func(j *executor.Job) place { j.Confidential = true; return place{slot: 1} },
		"invalid": func(j *executor.Job) place {
			j.Invalid = &reason.Cause{Reason: reason.NotJSON, Detail: "no JSON"}
			return place{slot: 1}
		},
	}
	for name, change := range tests {
		t.Run(name, func(t *testing.T) {
			job := pingJob(t)
			at := change(&job)
			tmpl, err := newTemplate(job.Spec)
			if err != nil {
				t.Fatal(err)
			}
			before := tmpl.job.DeepCopy()
			parts, err := partsOf("team-a", owner, &job)
			if err != nil {
				t.Fatal(err)
			}
			rendered, err := render("team-a", tmpl, &job, at, parts)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(before, &tmpl.job); diff != "" {
				t.Errorf("the template was changed: %s", diff)
			}
			got, err := yaml.Marshal(rendered)
			if err != nil {
				t.Fatal(err)
			}
			if parts.secret != nil {
				secret, err := yaml.Marshal(parts.secret)
				if err != nil {
					t.Fatal(err)
				}
				got = append(append(got, "---\n"...), secret...)
			}
			path := filepath.Join("testdata", name+".yaml")
			if *update {
				if err := os.WriteFile(path, got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, want) {
				t.Errorf("%s (-update writes it anew):\n%s", path, cmp.Diff(string(want), string(got)))
			}
		})
	}
}

// A record is read back from its Job as it was written.
func TestARecordIsReadBackFromItsJob(t *testing.T) {
	job := pingJob(t)
	tmpl, err := newTemplate(job.Spec)
	if err != nil {
		t.Fatal(err)
	}
	parts, err := partsOf("team-a", nil, &job)
	if err != nil {
		t.Fatal(err)
	}
	rendered, err := render("team-a", tmpl, &job, place{slot: 2, recordUID: "first-uid"}, parts)
	if err != nil {
		t.Fatal(err)
	}
	rec := assemble([]*object{contentOf(rendered)}, noPods)
	want := job.Message
	want.Size = len(want.Body)
	if diff := cmp.Diff(want, rec.Message); diff != "" {
		t.Errorf("message (-want +got): %s", diff)
	}
	if rec.Name != job.Name || rec.UID != "first-uid" || rec.Identity != job.Identity || rec.IdempotencyKey != job.IdempotencyKey ||
		rec.TemplateHash != v1alpha1.TemplateHash(job.Spec) || rec.LastAttempt() != 1 || rec.Attempts[0].Job != job.Name+"-2" {
		t.Errorf("record %+v", rec)
	}
}

// The template's own settings win over ours.
func TestATemplateMaySayOtherwise(t *testing.T) {
	tmpl, err := newTemplate(specOf(t, `
spec:
  podReplacementPolicy: TerminatingOrFailed
  template:
    metadata: {annotations: {karpenter.sh/do-not-disrupt: "false", cluster-autoscaler.kubernetes.io/safe-to-evict: "true"}}
    spec: {restartPolicy: Never, containers: [{name: a, image: b}]}
`))
	if err != nil {
		t.Fatal(err)
	}
	s := tmpl.job.Spec
	if *s.PodReplacementPolicy != "TerminatingOrFailed" || s.PodFailurePolicy != nil {
		t.Errorf("policies %v, %v", *s.PodReplacementPolicy, s.PodFailurePolicy)
	}
	if a := s.Template.Annotations; a[annotationDoNotDisrupt] != "false" || a[annotationSafeToEvict] != "true" {
		t.Errorf("annotations %v", a)
	}
	onFailure, err := newTemplate(specOf(t, `{spec: {template: {spec: {restartPolicy: OnFailure, containers: [{name: a, image: b}]}}}}`))
	if err != nil {
		t.Fatal(err)
	}
	if onFailure.job.Spec.PodFailurePolicy != nil {
		t.Error("a podFailurePolicy with restartPolicy OnFailure, which Kubernetes refuses")
	}
}

// A field that would be lost on the way to the API server is refused.
func TestAnUnknownFieldOfATemplateIsRefused(t *testing.T) {
	_, err := newTemplate(specOf(t, `{spec: {template: {spec: {containers: [{name: a, imaeg: b}]}}}}`))
	if err == nil || !strings.Contains(err.Error(), "imaeg") {
		t.Errorf("a misspelt field: %v", err)
	}
}

// expand is the kubelet's expansion of $(NAME) in a value, by the rules of its
// documentation; message.Expand is held to the same.
func expand(value string, env map[string]string) string {
	return message.Expand(value, func(name string) (string, bool) { v, ok := env[name]; return v, ok })
}

func TestInjectedValuesStayWhatTheyAre(t *testing.T) {
	env := map[string]string{"DB_PASSWORD": "secret", "X": "y"}
	for _, value := range []string{
		"", "plain", "$(DB_PASSWORD)", "$$(X)", "$$$(X)", "a$b$", "$", "$(", "$()", "${X}", "a: [b]\n- $(X)\n", "ünï$ö", "$(NOPE)",
	} {
		if got := expand(escape(value), env); got != value {
			t.Errorf("%q reaches the container as %q", value, got)
		}
	}
}

func FuzzInjectedValuesStayWhatTheyAre(f *testing.F) {
	f.Add("$(DB_PASSWORD)$$")
	f.Fuzz(func(t *testing.T, value string) {
		if got := expand(escape(value), map[string]string{"DB_PASSWORD": "secret"}); got != value {
			t.Errorf("%q reaches the container as %q", value, got)
		}
	})
}

// What a Secret can't hold makes the message invalid, and the record of an
// invalid message is kept all the same.
func TestAMessageThatNoSecretHolds(t *testing.T) {
	job := pingJob(t)
	job.Message.Body = strings.Repeat("x", maxSecret)
	job.Payload = job.Message.Body
	if _, err := partsOf("team-a", nil, &job); err != nil {
		t.Errorf("a body of 1 MiB: %v", err)
	}
	job.Payload = strings.Repeat("y", maxAnnotation+1)
	var invalid *executor.InvalidError
	if _, err := partsOf("team-a", nil, &job); !errorsAs(err, &invalid) || invalid.Cause.Reason != reason.Rejected {
		t.Errorf("more than a Secret holds: %v", err)
	}
	job.Invalid = &invalid.Cause
	job.Message.Body += "and more"
	parts, err := partsOf("team-a", nil, &job)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(parts.secret.Data[keyBody]); n != corev1.MaxSecretSize {
		t.Errorf("%d bytes of the body are kept", n)
	}
}

// What is not text would be mangled on its way as JSON.
func TestWhatIsNotTextStandsInTheSecret(t *testing.T) {
	job := pingJob(t)
	job.Message.Body = "\xff\xfe\x80"
	job.Payload = job.Message.Body
	parts, err := partsOf("team-a", nil, &job)
	if err != nil {
		t.Fatal(err)
	}
	if !parts.bodyInSecret() || string(parts.secret.Data[parts.payloadKey()]) != job.Payload {
		t.Errorf("parts %+v", parts)
	}
}

// Names of Secrets are valid whatever the message's ID, differ with it and with
// how messages are read, and tell nothing of the content.
func TestSecretNames(t *testing.T) {
	job := pingJob(t)
	name := func(j executor.Job) string {
		n, err := secretName(&j)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	first := name(job)
	other, edited, body := job, job, job
	other.Message.ID = "../\x00ÄÖ " + strings.Repeat("long", 100)
	edited.Spec = specOf(t, pingTemplate)
	edited.Spec.Message.Env = []v1alpha1.FieldEnv{{Name: "TARGET", FieldPath: "target"}}
	body.Message.Body = "another"
	if name(other) == first || name(edited) == first || name(body) != first {
		t.Errorf("names %s, %s, %s, %s", first, name(other), name(edited), name(body))
	}
	if n := name(other); strings.Trim(n, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" || len(n) > 253 {
		t.Errorf("name %q", n)
	}
}
