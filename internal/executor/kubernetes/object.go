package kubernetes

import (
	"encoding/json"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/queuemill/queuemill/internal/message"
	"github.com/queuemill/queuemill/internal/queue"
	"github.com/queuemill/queuemill/internal/reason"
)

// object is what is kept of a Job: a few hundred bytes, without template and,
// where content is nil, without body.
type object struct {
	namespace, name string
	uid             types.UID
	record          string // name of the record it belongs to
	recordUID       string // of the record's first Job; empty: this is it
	slot            int
	number          int // of the attempt; 0: an Invalid record
	created         time.Time
	ours            bool // has the label of a QueueJob
	deleting        bool

	queueJob, identity, key string
	messageID, groupID      string
	receipt                 queue.Receipt
	sentAt                  time.Time
	items, size             int
	secret                  string
	templateHash            string
	confidential            bool
	acked, retry, prune     bool

	why     *finding      // what was gathered; nil: nothing
	written reason.Reason // of it, what is on the Job already

	phase     phase
	suspended bool
	active    int32 // pods that are not terminal
	ready     int32 // of them those that run
	ended     int32 // pods that are terminal
	started   time.Time
	finished  time.Time
	condition *condition // of a Job that fails

	content *content
}

// phase is how far a Job is by its conditions.
type phase int

const (
	underway phase = iota
	ending         // its outcome is decided, its pods still end
	complete
	failed
)

// condition is why a Job fails, in its controller's words.
type condition struct {
	reason, message string
}

// content is what lists leave out.
type content struct {
	body       string
	attributes map[string]message.Attribute
}

// finding is what was gathered of an attempt that failed or can't start: the
// annotation AnnotationReason.
type finding struct {
	reason.Cause

	Stuck      bool      `json:"stuck,omitempty"` // it can't start, and may yet
	ExitCode   *int      `json:"exitCode,omitempty"`
	Signal     string    `json:"signal,omitempty"`
	Pod        string    `json:"pod,omitempty"`
	StartedAt  time.Time `json:"startedAt,omitzero"`
	FinishedAt time.Time `json:"finishedAt,omitzero"`
	LogTail    string    `json:"logTail,omitempty"`
	Events     []string  `json:"events,omitempty"`
}

// withoutOutput is what lists keep of f.
func (f *finding) withoutOutput() *finding {
	short := *f
	short.LogTail, short.Events = "", nil
	return &short
}

// GetObjectMeta names the Job to the store in which a reflector puts a list
// together.
func (o *object) GetObjectMeta() metav1.Object {
	return &metav1.ObjectMeta{Namespace: o.namespace, Name: o.name, UID: o.uid}
}

// summaryOf is what is kept of a Job in lists and in the tracker.
func summaryOf(j *batchv1.Job) *object {
	o := objectOf(j)
	if o.why != nil {
		o.why = o.why.withoutOutput()
	}
	return o
}

// contentOf is all of a Job's record, but for what stands in its Secret.
func contentOf(j *batchv1.Job) *object {
	o := objectOf(j)
	o.content = &content{body: j.Annotations[AnnotationTask]}
	if text := j.Annotations[AnnotationAttributes]; text != "" {
		// What does not parse was not written by us: the record goes without.
		_ = json.Unmarshal([]byte(text), &o.content.attributes)
	}
	return o
}

func objectOf(j *batchv1.Job) *object {
	a := annotationsOf(j.Annotations)
	o := &object{
		namespace: j.Namespace, name: j.Name, uid: j.UID,
		record: recordOf(j), recordUID: a[AnnotationRecordUID], number: a.number(AnnotationAttempt),
		created: j.CreationTimestamp.Time, ours: j.Labels[LabelQueueJob] != "", deleting: j.DeletionTimestamp != nil,
		queueJob: j.Labels[LabelQueueJob], identity: j.Labels[LabelIdentity], key: a[AnnotationKey],
		messageID: a[AnnotationMessageID], groupID: a[AnnotationGroupID], receipt: queue.Receipt(a[AnnotationReceipt]),
		sentAt: a.time(AnnotationSentAt), items: a.number(AnnotationItems), size: a.number(AnnotationSize),
		secret: a[AnnotationSecret], templateHash: j.Labels[LabelTemplateHash], confidential: a.is(AnnotationConfidential),
		acked: a.is(AnnotationAcked), retry: a.is(AnnotationRetry), prune: a.is(AnnotationPrune),
	}
	o.slot = max(1, slotOf(o.record, o.name))
	if o.size == 0 {
		o.size = len(a[AnnotationTask])
	}
	if text := a[AnnotationReason]; text != "" {
		o.why = &finding{}
		if json.Unmarshal([]byte(text), o.why) != nil || o.why.Reason == "" {
			o.why = nil
		} else {
			o.written = o.why.Reason
		}
	}
	if m := j.Spec.ManagedBy; m != nil && *m == ManagedByInvalid {
		o.number = 0
	} else if o.number == 0 {
		o.number = 1
	}
	o.takeStatus(j)
	return o
}

func (o *object) takeStatus(j *batchv1.Job) {
	s := &j.Status
	o.suspended = j.Spec.Suspend != nil && *j.Spec.Suspend
	o.active, o.ended = s.Active, s.Succeeded+s.Failed
	if s.Ready != nil {
		o.ready = *s.Ready
	}
	if u := s.UncountedTerminatedPods; u != nil {
		o.ended += int32(len(u.Succeeded) + len(u.Failed))
	}
	if s.StartTime != nil {
		o.started = s.StartTime.Time
	}
	for i := range s.Conditions {
		c := &s.Conditions[i]
		if c.Status != corev1.ConditionTrue {
			continue
		}
		switch c.Type {
		case batchv1.JobComplete:
			o.phase, o.finished = complete, c.LastTransitionTime.Time
			if s.CompletionTime != nil {
				o.finished = s.CompletionTime.Time
			}
		case batchv1.JobFailed:
			o.phase, o.finished = failed, c.LastTransitionTime.Time
			o.condition = &condition{c.Reason, c.Message}
		case batchv1.JobFailureTarget:
			o.phase = max(o.phase, ending)
			if o.condition == nil {
				o.condition = &condition{c.Reason, c.Message}
			}
		case batchv1.JobSuccessCriteriaMet:
			o.phase = max(o.phase, ending)
		}
	}
	if o.invalid() {
		o.phase, o.finished = underway, o.created
	}
}

func (o *object) invalid() bool { return o.number == 0 }
