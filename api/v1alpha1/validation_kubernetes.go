package v1alpha1

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/validation/field"
)

const (
	// KeyPrefix begins the labels and annotations that Queuemill keeps its
	// records in: nobody else's.
	KeyPrefix = "queuemill.dev/"

	kueueQueueLabel = "kueue.x-k8s.io/queue-name"
)

// jobTemplate is what is looked at in a batch/v1 JobTemplateSpec: what would
// break a promise of ours. The rest is for the API server to judge.
type jobTemplate struct {
	Metadata objectMeta `json:"metadata"`
	Spec     struct {
		TTLSecondsAfterFinished *int64          `json:"ttlSecondsAfterFinished"`
		ActiveDeadlineSeconds   *int64          `json:"activeDeadlineSeconds"`
		Suspend                 *bool           `json:"suspend"`
		Selector                json.RawMessage `json:"selector"`
		ManualSelector          *bool           `json:"manualSelector"`
		ManagedBy               string          `json:"managedBy"`
		PodFailurePolicy        json.RawMessage `json:"podFailurePolicy"`
		Template                struct {
			Metadata objectMeta `json:"metadata"`
			Spec     struct {
				RestartPolicy  string      `json:"restartPolicy"`
				InitContainers []container `json:"initContainers"`
				Containers     []container `json:"containers"`
			} `json:"spec"`
		} `json:"template"`
	} `json:"spec"`
}

type objectMeta struct {
	Name            string            `json:"name"`
	GenerateName    string            `json:"generateName"`
	Namespace       string            `json:"namespace"`
	Labels          map[string]string `json:"labels"`
	Annotations     map[string]string `json:"annotations"`
	OwnerReferences json.RawMessage   `json:"ownerReferences"`
}

type container struct {
	Command      []string `json:"command"`
	Args         []string `json:"args"`
	Env          []EnvVar `json:"env"`
	VolumeMounts []struct {
		SubPathExpr string `json:"subPathExpr"`
	} `json:"volumeMounts"`
}

func (k *KubernetesTemplate) parse() (t jobTemplate, err error) {
	err = json.Unmarshal(k.JobTemplate.Raw, &t)
	return t, err
}

func validateKubernetes(s *QueueJobSpec, at *field.Path) field.ErrorList {
	if len(s.Kubernetes.JobTemplate.Raw) == 0 {
		return field.ErrorList{field.Required(at, "give a batch/v1 JobTemplateSpec")}
	}
	t, err := s.Kubernetes.parse()
	if wrong := (*json.UnmarshalTypeError)(nil); errors.As(err, &wrong) && wrong.Field != "" {
		return field.ErrorList{field.Forbidden(at.Child(wrong.Field), "a "+wrong.Value+" does not stand here in a batch/v1 JobTemplateSpec")}
	} else if err != nil {
		return field.ErrorList{field.Forbidden(at, "is not a batch/v1 JobTemplateSpec: "+err.Error())}
	}
	errs := t.Metadata.validate(at.Child("metadata"), "the Job's name and namespace come from its message and its QueueJob")
	at = at.Child("spec")
	errs = append(errs, t.validateJob(s, at)...)
	at = at.Child("template")
	errs = append(errs, t.Spec.Template.Metadata.validate(at.Child("metadata"), "Kubernetes names the pods of a Job")...)
	at = at.Child("spec")
	pod := &t.Spec.Template.Spec
	switch pod.RestartPolicy {
	case "Never":
	case "OnFailure":
		if present(t.Spec.PodFailurePolicy) {
			errs = append(errs, field.Invalid(at.Child("restartPolicy"), pod.RestartPolicy, "a podFailurePolicy needs Never"))
		}
	case "":
		errs = append(errs, field.Required(at.Child("restartPolicy"), "say Never (each try is a pod of its own, with its log) or OnFailure (the same pod)"))
	default:
		errs = append(errs, field.NotSupported(at.Child("restartPolicy"), pod.RestartPolicy, []string{"Never", "OnFailure"}))
	}
	if len(pod.Containers) == 0 {
		errs = append(errs, field.Required(at.Child("containers"), "a Job needs a container"))
	}
	errs = append(errs, s.Message.validateContainers(pod.InitContainers, at.Child("initContainers"))...)
	return append(errs, s.Message.validateContainers(pod.Containers, at.Child("containers"))...)
}

// validate refuses what Queuemill itself sets.
func (m *objectMeta) validate(at *field.Path, why string) (errs field.ErrorList) {
	for name, value := range map[string]string{"name": m.Name, "generateName": m.GenerateName, "namespace": m.Namespace} {
		if value != "" {
			errs = append(errs, field.Forbidden(at.Child(name), why))
		}
	}
	if present(m.OwnerReferences) {
		errs = append(errs, field.Forbidden(at.Child("ownerReferences"), "with its owner Kubernetes would remove the record that a message was handled"))
	}
	for kind, keys := range map[string]map[string]string{"labels": m.Labels, "annotations": m.Annotations} {
		for _, key := range slices.Sorted(maps.Keys(keys)) {
			if strings.HasPrefix(key, KeyPrefix) {
				errs = append(errs, field.Forbidden(at.Child(kind).Key(key), KeyPrefix+" is for what Queuemill keeps its records in"))
			}
		}
	}
	slices.SortStableFunc(errs, func(a, b *field.Error) int { return strings.Compare(a.Field, b.Field) })
	return errs
}

func present(raw json.RawMessage) bool { return len(raw) > 0 && string(raw) != "null" }

// validateJob looks at what is the Job's own. Several pods of one Job
// (parallelism, completions) are its author's business: it is one message's.
func (t *jobTemplate) validateJob(s *QueueJobSpec, at *field.Path) (errs field.ErrorList) {
	if t.Spec.TTLSecondsAfterFinished != nil {
		errs = append(errs, field.Forbidden(at.Child("ttlSecondsAfterFinished"),
			"the Job is the record that its message was handled; Kubernetes must not remove it: use successfulJobsHistoryLimit"))
	}
	if d := t.Spec.ActiveDeadlineSeconds; d != nil && s.Ack == AckOnSuccess && *d > int64(MaxHeld/time.Second) {
		errs = append(errs, field.Invalid(at.Child("activeDeadlineSeconds"), *d,
			fmt.Sprintf("under ack: OnSuccess %d (%s) is the most, since SQS holds a message for 12h: shorten it, or use ack: OnCreate", int64(MaxHeld/time.Second), Human(MaxHeld))))
	}
	for name, set := range map[string]bool{"selector": present(t.Spec.Selector), "manualSelector": t.Spec.ManualSelector != nil && *t.Spec.ManualSelector} {
		if set {
			errs = append(errs, field.Forbidden(at.Child(name), "all Jobs of the template would claim each other's pods; Kubernetes makes a selector for each"))
		}
	}
	if strings.HasPrefix(t.Spec.ManagedBy, KeyPrefix) {
		errs = append(errs, field.Forbidden(at.Child("managedBy"), KeyPrefix+" marks records that no controller runs"))
	}
	slices.SortStableFunc(errs, func(a, b *field.Error) int { return strings.Compare(a.Field, b.Field) })
	return errs
}

// validateContainers refuses places in which a message would say more than data.
func (m *MessageSpec) validateContainers(containers []container, at *field.Path) (errs field.ErrorList) {
	for i := range containers {
		c, at := &containers[i], at.Index(i)
		tainted := m.tainted(c.Env)
		if len(c.Command) > 0 {
			if name := firstReference(c.Command[0], tainted); name != "" {
				errs = append(errs, field.Invalid(at.Child("command").Index(0), c.Command[0],
					"a message must not choose the program: "+name+" comes from it"))
			}
		}
		for j, env := range c.Env {
			if strings.HasPrefix(env.Name, "QUEUEMILL_") {
				errs = append(errs, field.Invalid(at.Child("env").Index(j).Child("name"), env.Name, "QUEUEMILL_ is for the variables that Queuemill sets"))
			}
		}
		errs = append(errs, m.validateLoaders(c.Env, at.Child("env"))...)
		for j, mount := range c.VolumeMounts {
			if name := firstReference(mount.SubPathExpr, tainted); name != "" {
				errs = append(errs, field.Invalid(at.Child("volumeMounts").Index(j).Child("subPathExpr"), mount.SubPathExpr,
					"a message must not choose what is mounted: "+name+" comes from it"))
			}
		}
	}
	return errs
}

// validateLoaders refuses variables that choose a program or library and refer
// to what a message says.
func (m *MessageSpec) validateLoaders(envs []EnvVar, at *field.Path) (errs field.ErrorList) {
	for i, env := range envs {
		if !choosesProgram(env.Name) {
			continue
		}
		if name := firstReference(env.Value, m.tainted(envs[:i])); name != "" {
			errs = append(errs, field.Invalid(at.Index(i).Child("value"), env.Value,
				"a message must not choose which program or library is loaded: "+name+" comes from it"))
		}
	}
	return errs
}
