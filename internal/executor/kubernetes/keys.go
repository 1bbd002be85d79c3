package kubernetes

import (
	"strconv"
	"time"

	batchv1 "k8s.io/api/batch/v1"
)

// Labels of Jobs and pods.
const (
	LabelQueueJob = "queuemill.dev/queuejob"
	LabelRecord   = "queuemill.dev/record"   // the record's name, the first Job's
	LabelIdentity = "queuemill.dev/identity" // hash of the identity
	LabelState    = "queuemill.dev/state"    // of Jobs, where it costs no write: invalid, failed

	LabelTemplateHash = "queuemill.dev/template-hash" // of Jobs: which template it was made of
)

// Values of LabelState.
const (
	stateInvalid = "invalid"
	stateFailed  = "failed"
)

// Annotations of Jobs, and those of pods that files are made of.
const (
	AnnotationTask         = "queuemill.dev/task"       // the body as sent, when small
	AnnotationPayload      = "queuemill.dev/payload"    // of the pod: what the message file holds, when small
	AnnotationAttributes   = "queuemill.dev/attributes" // of the Job: the message's; of the pod: the attributes file
	AnnotationSecret       = "queuemill.dev/secret"     //nolint:gosec // the name of the Secret with what is not in annotations
	AnnotationConfidential = "queuemill.dev/confidential"
	AnnotationMessageID    = "queuemill.dev/message-id"
	AnnotationReceipt      = "queuemill.dev/receipt"
	AnnotationSentAt       = "queuemill.dev/sent-at"
	AnnotationGroupID      = "queuemill.dev/group-id"
	AnnotationItems        = "queuemill.dev/items"
	AnnotationSize         = "queuemill.dev/size" // of the body, bytes
	AnnotationKey          = "queuemill.dev/idempotency-key"
	AnnotationAttempt      = "queuemill.dev/attempt"
	AnnotationRecordUID    = "queuemill.dev/record-uid" // of the first Job; on later ones
	AnnotationReason       = "queuemill.dev/reason"     // why it failed, is invalid or can't start: JSON
	AnnotationAcked        = "queuemill.dev/acked"
	AnnotationRetry        = "queuemill.dev/retry" // a person's request: the next attempt
	AnnotationPrune        = "queuemill.dev/prune" // a person's request: away with the finished record
)

// ManagedByInvalid is the spec.managedBy of an Invalid record's Job: no
// controller runs it.
const ManagedByInvalid = "queuemill.dev/invalid"

// Annotations that keep autoscalers from ending a pod at work.
const (
	annotationDoNotDisrupt = "karpenter.sh/do-not-disrupt"
	annotationSafeToEvict  = "cluster-autoscaler.kubernetes.io/safe-to-evict"
)

const yes = "true"

// slotName is the name of a record's Job at a slot, from 1.
func slotName(record string, slot int) string {
	if slot <= 1 {
		return record
	}
	return record + "-" + strconv.Itoa(slot)
}

// slotOf is the slot of the Job of that name in a record, 0 when it has none.
func slotOf(record, name string) int {
	if name == record {
		return 1
	}
	if len(name) < len(record)+2 || name[:len(record)] != record || name[len(record)] != '-' {
		return 0
	}
	slot, err := strconv.Atoi(name[len(record)+1:])
	if err != nil || slot < 2 {
		return 0
	}
	return slot
}

// annotationsOf reads annotations, each missing or unreadable one as zero.
type annotationsOf map[string]string

func (a annotationsOf) number(key string) int {
	n, err := strconv.Atoi(a[key])
	if err != nil {
		return 0
	}
	return n
}

func (a annotationsOf) time(key string) time.Time {
	t, err := time.Parse(time.RFC3339Nano, a[key])
	if err != nil {
		return time.Time{}
	}
	return t
}

func (a annotationsOf) is(key string) bool { return a[key] == yes }

// recordOf is the name of the record that a Job belongs to.
func recordOf(j *batchv1.Job) string {
	if name := j.Labels[LabelRecord]; name != "" {
		return name
	}
	return j.Name
}
