// Package reason is the closed set of reasons why a job failed or a message
// could not become one: metric labels, filters of `retry --reason`.
package reason

import "slices"

// Reason is why a record is Failed or Invalid, or why an attempt ended.
type Reason string

// Why an attempt, and with the last one its job, failed.
const (
	NonZeroExit      Reason = "NonZeroExit"      // exit code other than 0
	Signal           Reason = "Signal"           // ended by a signal that Queuemill did not send
	DeadlineExceeded Reason = "DeadlineExceeded" // ran longer than its timeout
	StartError       Reason = "StartError"       // could not be started: no such program, directory, …
	Interrupted      Reason = "Interrupted"      // the controller went away or was stopped under it; tried again by itself
	Deleted          Reason = "Deleted"          // ended since a person deleted it
)

// Why an attempt failed, or can't start, in a cluster.
const (
	OutOfMemory   Reason = "OOMKilled"     // a container went over its memory limit (Kubernetes' own word)
	ImagePull     Reason = "ImagePull"     // an image can't be pulled: no such image, no right to it, a broken name
	Unschedulable Reason = "Unschedulable" // no node has room for it or fits it
	ConfigMissing Reason = "ConfigMissing" // a Secret, ConfigMap or key of one that a container wants is missing
	VolumeMissing Reason = "VolumeMissing" // a volume can't be mounted: no such claim, Secret, ConfigMap, path
	Disrupted     Reason = "Disrupted"     // its pod was evicted, preempted, or lost with its node
	JobFailed     Reason = "JobFailed"     // the engine failed it for another reason, which the detail names
)

// Why a message is Invalid.
const (
	NotJSON           Reason = "NotJSON"           // the body is not the JSON, or the envelope, that its format says
	FieldMissing      Reason = "FieldMissing"      // a field without default is missing
	SchemaMismatch    Reason = "SchemaMismatch"    // the body does not fit message.schema
	UnusableValue     Reason = "UnusableValue"     // NUL in a value, or too large for an environment
	IdentityCollision Reason = "IdentityCollision" // another message with the same deduplication key and another body
	Rejected          Reason = "Rejected"          // the engine refuses this message's job, though not the template: the detail says why
)

var (
	// OfFailed are the reasons of records that are Failed.
	OfFailed = []Reason{
		NonZeroExit, Signal, DeadlineExceeded, StartError, Interrupted, Deleted,
		OutOfMemory, ImagePull, Unschedulable, ConfigMissing, VolumeMissing, Disrupted, JobFailed,
	}

	// OfStuck are those of records that are Queued and can't start.
	OfStuck = []Reason{ImagePull, Unschedulable, ConfigMissing, VolumeMissing}

	// OfInvalid are those of records that are Invalid.
	OfInvalid = []Reason{NotJSON, FieldMissing, SchemaMismatch, UnusableValue, IdentityCollision, Rejected}

	// All are all reasons, in the order in which they are shown.
	All = slices.Concat(OfFailed, OfInvalid)
)

// Cause is a reason with its words: what happened and, where there is one, what
// to do next.
type Cause struct {
	Reason Reason `json:"reason"`
	Detail string `json:"detail,omitempty"`
}
