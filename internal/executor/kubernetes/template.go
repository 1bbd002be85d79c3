package kubernetes

import (
	"fmt"
	"sync"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"github.com/queuemill/queuemill/api/v1alpha1"
)

// template is a QueueJob's Job template, read, with what every Job of it gets.
type template struct {
	hash string
	job  batchv1.JobTemplateSpec // never changed
}

// newTemplate reads a template. A field that the Kubernetes types of this
// program do not know is an error: it would be lost on the way.
func newTemplate(spec *v1alpha1.QueueJobSpec) (*template, error) {
	if spec == nil || spec.Kubernetes == nil {
		return nil, &TemplateError{Msg: "the QueueJob has no kubernetes.jobTemplate"}
	}
	t := &template{hash: v1alpha1.TemplateHash(spec)}
	if err := yaml.UnmarshalStrict(spec.Kubernetes.JobTemplate.Raw, &t.job); err != nil {
		return nil, &TemplateError{Msg: fmt.Sprintf("spec.kubernetes.jobTemplate: %v", err)}
	}
	t.complete()
	return t, nil
}

// complete sets what is ours to set, unless the template says otherwise.
func (t *template) complete() {
	meta, pod := &t.job.ObjectMeta, &t.job.Spec.Template
	withoutOurs(meta.Labels)
	withoutOurs(meta.Annotations)
	withoutOurs(pod.Labels)
	withoutOurs(pod.Annotations)

	s := &t.job.Spec
	s.TTLSecondsAfterFinished = nil // the Job is the record
	if s.PodReplacementPolicy == nil {
		policy := batchv1.Failed // a pod's successor starts when it has ended
		s.PodReplacementPolicy = &policy
	}
	if s.PodFailurePolicy == nil && pod.Spec.RestartPolicy == corev1.RestartPolicyNever && *s.PodReplacementPolicy == batchv1.Failed {
		s.PodFailurePolicy = &batchv1.PodFailurePolicy{Rules: []batchv1.PodFailurePolicyRule{{
			Action:          batchv1.PodFailurePolicyActionIgnore,
			OnPodConditions: []batchv1.PodFailurePolicyOnPodConditionsPattern{{Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue}},
		}}}
	}
	setDefault(&pod.Annotations, annotationDoNotDisrupt, "true")
	setDefault(&pod.Annotations, annotationSafeToEvict, "false")
}

// ours is what the keys that only Queuemill writes begin with.
const ours = "queuemill.dev/"

func withoutOurs(m map[string]string) {
	for key := range m {
		if len(key) > len(ours) && key[:len(ours)] == ours {
			delete(m, key)
		}
	}
}

func setDefault(m *map[string]string, key, value string) {
	if _, set := (*m)[key]; set {
		return
	}
	set(m, key, value)
}

func set(m *map[string]string, key, value string) {
	if *m == nil {
		*m = make(map[string]string)
	}
	(*m)[key] = value
}

// templates are read once for each spec: they are few and messages many.
type templates struct {
	mu     sync.Mutex
	bySpec map[*v1alpha1.QueueJobSpec]*template
}

// maxSpecs bounds what templates keeps.
const maxSpecs = 256

func (t *templates) of(spec *v1alpha1.QueueJobSpec) (*template, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if known := t.bySpec[spec]; known != nil {
		return known, nil
	}
	made, err := newTemplate(spec)
	if err != nil {
		return nil, err
	}
	if t.bySpec == nil || len(t.bySpec) >= maxSpecs {
		t.bySpec = make(map[*v1alpha1.QueueJobSpec]*template)
	}
	t.bySpec[spec] = made
	return made, nil
}
