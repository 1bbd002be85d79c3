package kubernetes

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/queuemill/queuemill/internal/executor"
	"github.com/queuemill/queuemill/internal/reason"
)

// What a job's containers see of the message.
const (
	volumeName     = "queuemill-message"
	mountPath      = "/run/queuemill"
	messageFile    = "message"
	attributesFile = "attributes.json"

	envMessageFile    = "QUEUEMILL_MESSAGE_FILE"
	envAttributesFile = "QUEUEMILL_ATTRIBUTES_FILE"
	envAttempt        = "QUEUEMILL_ATTEMPT"
)

// maxJob is how large a Job may be, in bytes: etcd takes 1.5 MiB, and pods have
// a status too.
const maxJob = 1 << 20

// place is where an attempt stands in its record.
type place struct {
	slot      int
	recordUID string // empty at the first slot
	acked     bool
}

// render makes the Job of an attempt. It is a function of its arguments alone:
// the same message makes the same Job, whoever makes it.
func render(namespace string, t *template, job *executor.Job, p place, parts *parts) (*batchv1.Job, error) {
	out := &batchv1.Job{}
	if job.Invalid == nil {
		out.ObjectMeta = *t.job.ObjectMeta.DeepCopy()
		out.Spec = *t.job.Spec.DeepCopy()
	} else {
		out.Spec = invalidSpec()
	}
	meta := &out.ObjectMeta
	meta.Name, meta.GenerateName, meta.Namespace = slotName(job.Name, p.slot), "", namespace
	setLabels(meta, job)
	if job.Invalid != nil {
		set(&meta.Labels, LabelState, stateInvalid)
		why, err := json.Marshal(finding{Cause: causeOf(job)})
		if err != nil {
			return nil, fmt.Errorf("render job %s: %w", job.Name, err)
		}
		set(&meta.Annotations, AnnotationReason, string(why))
	} else {
		set(&meta.Annotations, AnnotationAttempt, strconv.Itoa(job.Attempt))
		set(&meta.Labels, LabelTemplateHash, t.hash)
		setLabels(&out.Spec.Template.ObjectMeta, job)
		inject(&out.Spec.Template, job, parts)
	}
	annotateRecord(meta, job, p, parts)
	return out, nil
}

// causeOf is why a message is invalid. What of a confidential one does not fit
// is not told: it may quote the message.
func causeOf(job *executor.Job) reason.Cause {
	cause := *job.Invalid
	if job.Confidential && (cause.Reason == reason.NotJSON || cause.Reason == reason.SchemaMismatch) {
		cause.Detail = "the message is confidential: what of it does not fit is not shown"
	}
	return cause
}

func setLabels(meta *metav1.ObjectMeta, job *executor.Job) {
	set(&meta.Labels, LabelQueueJob, job.QueueJob)
	set(&meta.Labels, LabelRecord, job.Name)
	set(&meta.Labels, LabelIdentity, job.Identity)
}

// annotateRecord writes down what a Record needs, and nothing that is empty.
func annotateRecord(meta *metav1.ObjectMeta, job *executor.Job, p place, parts *parts) {
	m := &job.Message
	note := func(key, value string) {
		if value != "" {
			set(&meta.Annotations, key, strings.ToValidUTF8(value, "\uFFFD"))
		}
	}
	note(AnnotationMessageID, m.ID)
	note(AnnotationReceipt, string(m.Receipt))
	note(AnnotationGroupID, m.GroupID)
	note(AnnotationKey, job.IdempotencyKey)
	note(AnnotationRecordUID, p.recordUID)
	if !m.SentAt.IsZero() {
		note(AnnotationSentAt, m.SentAt.UTC().Format(time.RFC3339Nano))
	}
	if m.Items > 1 {
		note(AnnotationItems, strconv.Itoa(m.Items))
	}
	if job.Confidential {
		note(AnnotationConfidential, yes)
	}
	if p.acked {
		note(AnnotationAcked, yes)
	}
	if parts.secret != nil {
		note(AnnotationSecret, parts.secret.Name)
	}
	if parts.bodyInSecret() {
		note(AnnotationSize, strconv.Itoa(len(m.Body)))
	} else {
		set(&meta.Annotations, AnnotationTask, m.Body)
	}
	if !parts.has(keyOwnAttributes) {
		note(AnnotationAttributes, parts.ownAttributes)
	}
}

// inject gives the pod the message: its files, and its variables before the
// template's own.
func inject(pod *corev1.PodTemplateSpec, job *executor.Job, parts *parts) {
	var sources []corev1.VolumeProjection
	var fromPod []corev1.DownwardAPIVolumeFile
	var fromSecret []corev1.KeyToPath
	file := func(key, path, annotation, value string) {
		if parts.has(key) {
			fromSecret = append(fromSecret, corev1.KeyToPath{Key: key, Path: path})
			return
		}
		set(&pod.Annotations, annotation, value)
		fromPod = append(fromPod, corev1.DownwardAPIVolumeFile{Path: path, FieldRef: &corev1.ObjectFieldSelector{
			APIVersion: "v1", FieldPath: "metadata.annotations['" + annotation + "']",
		}})
	}
	file(parts.payloadKey(), messageFile, AnnotationPayload, job.Payload)
	file(keyAttributes, attributesFile, AnnotationAttributes, parts.attributes)
	if len(fromPod) > 0 {
		sources = append(sources, corev1.VolumeProjection{DownwardAPI: &corev1.DownwardAPIProjection{Items: fromPod}})
	}
	if len(fromSecret) > 0 {
		sources = append(sources, corev1.VolumeProjection{Secret: &corev1.SecretProjection{
			LocalObjectReference: corev1.LocalObjectReference{Name: parts.secret.Name}, Items: fromSecret,
		}})
	}
	spec := &pod.Spec
	spec.Volumes = append(spec.Volumes, corev1.Volume{Name: volumeName, VolumeSource: corev1.VolumeSource{
		Projected: &corev1.ProjectedVolumeSource{Sources: sources},
	}})
	env := environment(job, parts)
	for _, containers := range [][]corev1.Container{spec.InitContainers, spec.Containers} {
		for i := range containers {
			c := &containers[i]
			c.VolumeMounts = append(c.VolumeMounts, corev1.VolumeMount{Name: volumeName, MountPath: mountPath, ReadOnly: true})
			c.Env = before(env, c.Env)
		}
	}
}

// environment is what is injected, in order.
func environment(job *executor.Job, parts *parts) []corev1.EnvVar {
	env := make([]corev1.EnvVar, 0, len(job.Env)+3)
	for i := range job.Env {
		v := &job.Env[i]
		if key := envKey(v.Name); parts.has(key) {
			env = append(env, corev1.EnvVar{Name: v.Name, ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{
				LocalObjectReference: corev1.LocalObjectReference{Name: parts.secret.Name}, Key: key,
			}}})
			continue
		}
		env = append(env, corev1.EnvVar{Name: v.Name, Value: escape(v.Value)})
	}
	return append(env,
		corev1.EnvVar{Name: envMessageFile, Value: mountPath + "/" + messageFile},
		corev1.EnvVar{Name: envAttributesFile, Value: mountPath + "/" + attributesFile},
		corev1.EnvVar{Name: envAttempt, Value: strconv.Itoa(job.Attempt)},
	)
}

// escape makes a value that the kubelet's expansion of $(NAME) gives back as it
// was. It does not look into values that come from a Secret.
func escape(value string) string { return strings.ReplaceAll(value, "$", "$$") }

// before puts the injected variables before a container's own, without those
// that the container sets itself.
func before(injected, own []corev1.EnvVar) []corev1.EnvVar {
	if len(own) == 0 {
		return injected
	}
	set := make(map[string]bool, len(own))
	for i := range own {
		set[own[i].Name] = true
	}
	all := make([]corev1.EnvVar, 0, len(injected)+len(own))
	for i := range injected {
		if !set[injected[i].Name] {
			all = append(all, injected[i])
		}
	}
	return append(all, own...)
}

// invalidSpec is of a Job that runs nothing: no controller takes it, and if one
// did it has no pods to run. Nothing of the template is in it, and so no label
// of Kueue's. Where Kueue has a default LocalQueue its webhook labels and
// suspends every Job all the same: this one holds no quota then, since it has no
// pods, and a suspended Invalid record is an Invalid record.
func invalidSpec() batchv1.JobSpec {
	managedBy, none, run := ManagedByInvalid, int32(0), false
	return batchv1.JobSpec{
		ManagedBy: &managedBy, Parallelism: &none, Suspend: &run, BackoffLimit: &none,
		Template: corev1.PodTemplateSpec{Spec: corev1.PodSpec{
			RestartPolicy: corev1.RestartPolicyNever,
			Containers:    []corev1.Container{{Name: "none", Image: "invalid.queuemill.dev/none"}},
		}},
	}
}
