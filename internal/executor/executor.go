// Package executor is the seam between Queuemill and where jobs run: processes
// of this machine, Kubernetes Jobs, ECS tasks. An executor also keeps the
// records of the jobs it was given, since in a cluster the Job is the record.
// Package executortest holds the conformance suite every provider passes.
package executor

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/queuemill/queuemill/api/v1alpha1"
	"github.com/queuemill/queuemill/internal/message"
	"github.com/queuemill/queuemill/internal/queue"
	"github.com/queuemill/queuemill/internal/reason"
	"github.com/queuemill/queuemill/internal/record"
)

// Job is one attempt of one message's job.
type Job struct {
	Name           string // the record's: <queuejob>-<hash>
	Attempt        int    // from 1; an attempt's own name is Name, then Name-2, Name-3, …
	Namespace      string
	QueueJob       string
	Identity       string
	IdempotencyKey string
	Message        record.Message // as sent: with body, attributes and receipt
	Payload        string         // what QUEUEMILL_MESSAGE_FILE holds (message.Item)

	// Attributes are what QUEUEMILL_ATTRIBUTES_FILE holds (message.Item): with
	// the sns format the envelope's among them.
	Attributes map[string]message.Attribute

	Confidential bool

	// Env are the message's variables (message.env and QUEUEMILL_*, but for
	// those that name files, which the executor adds). They stand first: the
	// template's own win.
	Env []message.EnvVar

	// Spec is the template; the executor reads its own section only and may
	// keep the pointer: it is never written to.
	Spec *v1alpha1.QueueJobSpec

	// Invalid, when set, asks for a record in state Invalid and no run.
	Invalid *reason.Cause

	// ReplaceInvalid lets attempt 1 take the place of an Invalid record of the
	// same name: a person asked to read the message anew.
	ReplaceInvalid bool
}

// ExistsError says that the attempt, or a later one, exists already. Found is
// what a live look found, body included.
type ExistsError struct {
	Found record.Record
}

func (e *ExistsError) Error() string {
	return fmt.Sprintf("job %s exists already (%s)", e.Found.Name, e.Found.State)
}

// InvalidError says that this very message can't be a job here, while the
// template is sound: too large for what the engine keeps, refused by its
// validation. It becomes an Invalid record; trying again would not help. A Create
// of a Job that is Invalid already is never answered so.
type InvalidError struct {
	Cause reason.Cause
}

func (e *InvalidError) Error() string {
	return fmt.Sprintf("%s: %s", e.Cause.Reason, e.Cause.Detail)
}

var (
	// ErrNotFound: there is no such record (or not with that UID).
	ErrNotFound = errors.New("no such job")
	// ErrTerminating: the record is being deleted; try later.
	ErrTerminating = errors.New("job is being deleted")
	// ErrUnavailable: the engine can't take jobs now (quota, away, throttled);
	// not the message's fault. Wrapped by what Create returns for it.
	ErrUnavailable = errors.New("executor is unavailable")
)

// LogOptions says which output is wanted.
type LogOptions struct {
	Attempt int  // 0: the latest
	Follow  bool // until the attempt ends
}

// Event tells that a record changed. Record is without body and attributes.
type Event struct {
	Record  record.Record
	Deleted bool
}

// Executor is what every provider can do.
type Executor interface {
	// Create makes the record durable and starts its attempt, now or when there
	// is room. It is idempotent: the attempt already there is *ExistsError, and
	// nothing is started. Attempt n > 1 goes on the record of attempt n-1, which
	// must be finished, and takes job.Message.Receipt over and RetryRequested
	// back; without that record it is ErrNotFound. The same holds after any
	// crash between its steps.
	//
	// The returned record, and every later event of it, has the attempt in
	// Attempts, also while it is Queued: its StartedAt is zero then. An Invalid
	// record has no attempts. Invalid with ReplaceInvalid renews the cause of
	// the Invalid record of that name.
	Create(ctx context.Context, job Job) (record.Record, error)

	// List is all records of a QueueJob (of all with ""), live, without body and attributes;
	// receipts are there.
	List(ctx context.Context, queueJob string) ([]record.Record, error)

	// Watch calls handle for every change of a record of the QueueJob (of all
	// with ""), in order for each record, until ctx ends. Changes between a List and the start of
	// a Watch are not lost if Watch's ready is called first. handle must not block.
	Watch(ctx context.Context, queueJob string, ready func(), handle func(Event)) error

	// Logs is the output of one attempt. ErrNotFound when there is none.
	Logs(ctx context.Context, name string, o LogOptions) (io.ReadCloser, error)

	// Delete ends the job if it runs and removes its record and output. uid
	// empty means whichever there is. ErrNotFound when there is none.
	Delete(ctx context.Context, name, uid string) error
}

// Getter looks at one record live, with its body and attributes.
type Getter interface {
	Get(ctx context.Context, name string) (record.Record, error)
}

// Patch changes what is kept of a record without running anything. Nil leaves
// a field as it is.
type Patch struct {
	Receipt        *queue.Receipt // a redelivery's receipt is adopted
	Acked          *bool          // may wait for the record's next write
	RetryRequested *bool
	PruneRequested *bool
}

// Patcher changes records. uid empty means whichever there is.
type Patcher interface {
	Patch(ctx context.Context, name, uid string, p Patch) (record.Record, error)
}
