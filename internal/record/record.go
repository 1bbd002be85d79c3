// Package record is what is kept of a job: the message it came from, its state,
// its attempts, why it failed. Every message ends in exactly one Record,
// whatever crashes; a Record has as many attempts as the job was started.
//
//	            ┌────────── retry (next attempt) ───────────┐
//	            ▼                                           │
//	create ─▶ Queued ─▶ Running ─┬─▶ Succeeded              │
//	            ▲                ├─▶ Failed ────────────────┤
//	            └─ next attempt ─┘                          │
//	create ─▶ Invalid ── retry reads the message anew ──────┘
package record

import (
	"time"

	"github.com/queuemill/queuemill/internal/message"
	"github.com/queuemill/queuemill/internal/queue"
	"github.com/queuemill/queuemill/internal/reason"
)

// State is a job's state.
type State string

const (
	// Queued: created and not running: no room yet, or waiting to be tried again.
	Queued State = "Queued"
	// Running: an attempt is running.
	Running State = "Running"
	// Succeeded: an attempt ended with exit code 0. Final.
	Succeeded State = "Succeeded"
	// Failed: the last attempt failed and none is to follow by itself.
	Failed State = "Failed"
	// Invalid: the message could not become a job; nothing was started.
	Invalid State = "Invalid"
)

// States are all states in the order in which they are shown.
var States = []State{Queued, Running, Succeeded, Failed, Invalid}

// Finished tells whether nothing more happens in s by itself.
func (s State) Finished() bool { return s == Succeeded || s == Failed || s == Invalid }

// Message is what is kept of the message. Lists leave Body and Attributes out;
// Size says how large the body is all the same.
type Message struct {
	ID         string                       `json:"id"`
	Body       string                       `json:"body,omitempty"`
	Size       int                          `json:"size"` // of the body, bytes
	Attributes map[string]message.Attribute `json:"attributes,omitempty"`
	Receipt    queue.Receipt                `json:"-"` // the latest one
	SentAt     time.Time                    `json:"sentAt,omitzero"`
	GroupID    string                       `json:"groupId,omitempty"`

	// Items is how many records the message became: one, with s3Event one per
	// S3 record. The message is settled when all of them are; 0 is one.
	Items int `json:"items,omitempty"`
}

// Attempt is one start of the job.
type Attempt struct {
	Number     int           `json:"number"` // from 1
	StartedAt  time.Time     `json:"startedAt,omitzero"`
	FinishedAt time.Time     `json:"finishedAt,omitzero"`
	ExitCode   *int          `json:"exitCode,omitempty"`
	Signal     string        `json:"signal,omitempty"`     // "SIGKILL"
	Cause      *reason.Cause `json:"cause,omitempty"`      // nil while it runs and when it succeeded
	PeakMemory int64         `json:"peakMemory,omitempty"` // bytes, of its largest process
	LogSize    int64         `json:"logSize,omitempty"`    // bytes written, also those cut out

	// Where the engine has objects of its own that may go before the record
	// does (Kubernetes): their names, and what was gathered from them in time.
	Job     string   `json:"job,omitempty"`     // the attempt's own object: Name, Name-2, …
	Pod     string   `json:"pod,omitempty"`     // the latest pod
	LogTail string   `json:"logTail,omitempty"` // of a failed attempt: its last lines; never of a confidential message
	Events  []string `json:"events,omitempty"`  // of a failed or stuck attempt: what the engine said, the latest last
}

// Record is the one record of one message.
type Record struct {
	Name           string        `json:"name"` // <queuejob>-<hash>
	UID            string        `json:"uid"`  // of this record; another one of the same name has another
	Namespace      string        `json:"namespace,omitempty"`
	QueueJob       string        `json:"queueJob"`
	Identity       string        `json:"identity"` // hash of namespace, queuejob and identity
	IdempotencyKey string        `json:"idempotencyKey"`
	State          State         `json:"state"`
	Cause          *reason.Cause `json:"cause,omitempty"` // of Failed and Invalid; of Queued: why it can't start
	Message        Message       `json:"message"`
	Confidential   bool          `json:"confidential,omitempty"`
	TemplateHash   string        `json:"templateHash,omitempty"` // of the template of the latest attempt
	Attempts       []Attempt     `json:"attempts,omitempty"`
	CreatedAt      time.Time     `json:"createdAt"`
	StartedAt      time.Time     `json:"startedAt,omitzero"`  // of the latest attempt
	FinishedAt     time.Time     `json:"finishedAt,omitzero"` // when the state became final

	// Acked: the queue confirmed the message's delete. It is kept only where
	// keeping it costs no write of its own; false means unknown.
	Acked bool `json:"acked,omitempty"`
	// RetryRequested: a person wants a further attempt as soon as there is room.
	RetryRequested bool `json:"retryRequested,omitempty"`
	// PruneRequested: a person wants the finished record gone as soon as it may.
	PruneRequested bool `json:"pruneRequested,omitempty"`
}

// LastAttempt is the number of the highest attempt, 0 when there is none.
func (r *Record) LastAttempt() int {
	if len(r.Attempts) == 0 {
		return 0
	}
	return r.Attempts[len(r.Attempts)-1].Number
}
