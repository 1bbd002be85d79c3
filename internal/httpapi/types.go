package httpapi

import (
	"encoding/json"
	"time"

	"github.com/queuemill/queuemill/api/v1alpha1"
	"github.com/queuemill/queuemill/internal/message"
	"github.com/queuemill/queuemill/internal/reason"
	"github.com/queuemill/queuemill/internal/record"
)

// Job is a job on the wire. Lists leave the message's body and attributes out,
// and of a confidential job also the detail of its cause.
type Job = record.Record

// Counts is how many records there are in each state.
type Counts struct {
	Queued    int `json:"queued"`
	Running   int `json:"running"`
	Succeeded int `json:"succeeded"`
	Failed    int `json:"failed"`
	Invalid   int `json:"invalid"`
}

// Condition is one aspect of a QueueJob's health, as Kubernetes has them.
type Condition struct {
	Type    string `json:"type"`
	Status  bool   `json:"status"`
	Unknown bool   `json:"unknown,omitempty"` // Status can't be told now
	Reason  string `json:"reason,omitempty"`
	Message string `json:"message,omitempty"`
}

// QueueJob is a QueueJob with what it does at the moment.
type QueueJob struct {
	Name       string      `json:"name"`
	Namespace  string      `json:"namespace,omitempty"` // of a cluster
	Queue      string      `json:"queue"`               // name or URL, as in the manifest
	Executor   string      `json:"executor"`
	Ack        string      `json:"ack"`
	MaxActive  int         `json:"maxActive"`
	Suspended  bool        `json:"suspended"`
	Jobs       Counts      `json:"jobs"`
	InHand     int         `json:"inHand"`     // received, their jobs not made yet
	Duplicates int64       `json:"duplicates"` // recognised since the start
	LastSeen   time.Time   `json:"lastSeen,omitzero"`
	Conditions []Condition `json:"conditions"`
	File       string      `json:"file,omitempty"` // the manifest it came from
}

// WorkerPool is a WorkerPool with what it does at the moment.
type WorkerPool struct {
	Name       string `json:"name"`
	Namespace  string `json:"namespace,omitempty"` // of a cluster
	Queue      string `json:"queue"`               // name or URL, as in the manifest
	RunsOn     string `json:"runsOn"`              // process, kubernetes or scaleTargetRef
	MinWorkers int    `json:"minWorkers"`
	MaxWorkers int    `json:"maxWorkers"`
	Suspended  bool   `json:"suspended"`

	VisibilitySeconds float64 `json:"visibilitySeconds"`        // how long a message that is worked on is held at a time
	TimeoutSeconds    float64 `json:"timeoutSeconds,omitempty"` // that one message may take; 0: no limit

	Leaving bool `json:"leaving,omitempty"` // no manifest has it any more: its workers leave when they are idle

	Desired int                   `json:"desired"` // workers that are wanted
	Workers v1alpha1.WorkerCounts `json:"workers"` // that there are

	Messages *v1alpha1.QueueCounts     `json:"messages,omitempty"` // in its queue; nil: not known
	Decision *v1alpha1.ScalingDecision `json:"decision,omitempty"` // the last one, and why; nil: none yet

	SourceError string `json:"sourceError,omitempty"` // why the queue does not tell its numbers
	Trouble     string `json:"trouble,omitempty"`     // why workers don't start or can't work
	File        string `json:"file,omitempty"`        // the manifest it came from
}

// Queue is a queue with what is in it.
type Queue struct {
	Name                     string   `json:"name"`
	URL                      string   `json:"url,omitempty"`
	Embedded                 bool     `json:"embedded"`
	FIFO                     bool     `json:"fifo"`
	Visible                  int      `json:"visible"`
	InFlight                 int      `json:"inFlight"`
	Delayed                  int      `json:"delayed"`
	OldestAgeSeconds         float64  `json:"oldestAgeSeconds"`
	VisibilityTimeoutSeconds float64  `json:"visibilityTimeoutSeconds,omitempty"`
	RetentionSeconds         float64  `json:"retentionSeconds,omitempty"`
	MaxReceiveCount          int      `json:"maxReceiveCount,omitempty"`
	DeadLetterQueue          string   `json:"deadLetterQueue,omitempty"`
	QueueJobs                []string `json:"queueJobs"`       // which read it
	WorkerPools              []string `json:"workerPools"`     // whose workers do
	Error                    string   `json:"error,omitempty"` // why the numbers are not known
}

// Status is everything at a glance.
type Status struct {
	Version   string     `json:"version"`
	StartedAt time.Time  `json:"startedAt,omitzero"` // of a cluster there is none
	Draining  bool       `json:"draining"`           // it was told to stop and lets jobs finish
	Idle      bool       `json:"idle"`               // queues empty and every job finished
	QueueJobs []QueueJob `json:"queueJobs"`

	// WorkerPools are filled in from Backend.Pools when the Controller leaves them nil.
	WorkerPools []WorkerPool `json:"workerPools"`
	Queues      []Queue      `json:"queues"`
}

// OutgoingMessage is a message to send. Body is a string, sent as it is, or
// any other JSON value, sent as its text. Delay is 0 to 900 seconds; without
// it the queue's own holds.
type OutgoingMessage struct {
	Body            json.RawMessage              `json:"body"`
	Attributes      map[string]message.Attribute `json:"attributes,omitempty"`
	DelaySeconds    *int                         `json:"delaySeconds,omitempty"`
	GroupID         string                       `json:"groupId,omitempty"`
	DeduplicationID string                       `json:"deduplicationId,omitempty"`
}

// SendResult answers one message of a batch: exactly one field is set.
type SendResult struct {
	ID    string   `json:"id,omitempty"`
	Error *Problem `json:"error,omitempty"`
}

// SendResults answers a batch, in its order and of its length.
type SendResults struct {
	Results []SendResult `json:"results"`
}

// PeekedMessage is a message that was looked at.
type PeekedMessage struct {
	ID              string                       `json:"id"`
	Body            string                       `json:"body"`
	Attributes      map[string]message.Attribute `json:"attributes,omitempty"`
	SentAt          time.Time                    `json:"sentAt,omitzero"`
	ReceiveCount    int                          `json:"receiveCount"`
	GroupID         string                       `json:"groupId,omitempty"`
	DeduplicationID string                       `json:"deduplicationId,omitempty"`
}

// PeekResult is what a look at a queue found.
type PeekResult struct {
	Messages []PeekedMessage `json:"messages"`
	// CountsAsReceive: the look raised the messages' receive counts, as on SQS.
	CountsAsReceive bool `json:"countsAsReceive"`
}

// JobList is a page of jobs, the oldest first.
type JobList struct {
	Jobs   []Job  `json:"jobs"`
	Cursor string `json:"cursor,omitempty"` // of the next page; empty on the last
}

// QueueJobList is all QueueJobs by name.
type QueueJobList struct {
	QueueJobs []QueueJob `json:"queueJobs"`
}

// WorkerPoolList is all WorkerPools by name.
type WorkerPoolList struct {
	WorkerPools []WorkerPool `json:"workerPools"`
}

// QueueList is all queues by name.
type QueueList struct {
	Queues []Queue `json:"queues"`
}

// JobFilter says which jobs are meant. An empty field means any.
type JobFilter struct {
	QueueJob  string          `json:"queueJob,omitempty"`
	States    []record.State  `json:"states,omitempty"`
	Reasons   []reason.Reason `json:"reasons,omitempty"`
	MessageID string          `json:"messageId,omitempty"`
	Prefix    string          `json:"prefix,omitempty"` // of the job's name
}

// RetryRequest asks for a further attempt of many jobs: of those in Names, or,
// without names, of those the filter means (Failed and Invalid ones when it
// names no state), the oldest first and at most Limit of them (0: all).
type RetryRequest struct {
	JobFilter
	Names  []string `json:"names,omitempty"`
	Limit  int      `json:"limit,omitempty"`
	DryRun bool     `json:"dryRun,omitempty"`
}

// PruneRequest asks to remove finished jobs. Without states it means Succeeded
// ones. A record whose message the queue may still hold stays.
type PruneRequest struct {
	QueueJob         string         `json:"queueJob,omitempty"`
	States           []record.State `json:"states,omitempty"`
	OlderThanSeconds float64        `json:"olderThanSeconds,omitempty"` // since its finish
	DryRun           bool           `json:"dryRun,omitempty"`
}

// BulkResult is what was done to many jobs, or would be by a dry run.
type BulkResult struct {
	Jobs    []string    `json:"jobs"`
	Refused []BulkError `json:"refused,omitempty"`
	DryRun  bool        `json:"dryRun,omitempty"`
}

// PruneResult is what was removed, or would be by a dry run.
type PruneResult struct {
	Jobs   []string `json:"jobs"`
	DryRun bool     `json:"dryRun,omitempty"`
	Kept   *Kept    `json:"kept,omitempty"` // nothing of what was asked for is
}

// Kept is how many of the jobs that were asked for stay, and why.
type Kept struct {
	// InWindow finished within the QueueJob's deduplicationWindow, in which their
	// records recognise a second delivery; WindowEndsAt is when the last may go.
	InWindow     int       `json:"inWindow"`
	WindowEndsAt time.Time `json:"windowEndsAt,omitzero"`
	// MaybeQueued are those whose message the queue may deliver again, and those
	// that wait to be retried.
	MaybeQueued int `json:"maybeQueued"`
}

// BulkError is why one of many jobs was left alone.
type BulkError struct {
	Job   string   `json:"job"`
	Error *Problem `json:"error"`
}

// RedriveRequest says how many messages of a dead-letter queue go back to
// where they came from; 0 means all.
type RedriveRequest struct {
	Limit int `json:"limit,omitempty"`
}

// RedriveResult is how many messages were moved, or will be.
type RedriveResult struct {
	Moved int `json:"moved"`
}

// PurgeResult is how many messages there were, about, when they were dropped.
type PurgeResult struct {
	Purged int `json:"purged"`
}

// EventType says what an Event tells.
type EventType string

const (
	EventListed  EventType = "Listed"  // the job was there when the watch began
	EventSynced  EventType = "Synced"  // all Listed ones are told
	EventChanged EventType = "Changed" // the job is new or changed
	EventDeleted EventType = "Deleted" // the job was removed
	EventIdle    EventType = "Idle"    // queues are empty and jobs finished; the last event
	EventError   EventType = "Error"   // the watch can't go on; the last event
)

// Event is one line of GET /v1/events.
type Event struct {
	Type  EventType `json:"type"`
	Job   *Job      `json:"job,omitempty"`
	Error *Problem  `json:"error,omitempty"` // of an Error event
}
