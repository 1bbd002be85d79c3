package fleet

import (
	"context"
	"errors"
	"time"

	"github.com/queuemill/queuemill/api/v1alpha1"
)

// State is where a worker is in its life.
type State string

const (
	Starting State = "Starting" // asked for, does not receive yet; it may be Held
	Ready    State = "Ready"    // receives, or would if there were messages
	Retiring State = "Retiring" // receives no more; goes once it has nothing in hand
	Ending   State = "Ending"   // its removal was asked for, or it ended by itself
)

// Worker is one worker as its fleet knows it. What it does is in Report.
type Worker struct {
	Name      string
	UID       string // of this very process or pod
	Template  string // hash of what it was started from: v1alpha1.WorkerTemplateHash
	State     State
	StartedAt time.Time // zero: not yet

	// Held: it began held back, and nobody ever told it to go on (Drain with
	// false). So it has received nothing, whether it answers or not, and may be
	// removed unasked. Every fleet starts its workers so; those of an earlier
	// version are not.
	Held bool

	// Version is the fleet's own note of when it was looked at; see Remove.
	Version string

	// Report is what the worker itself last answered; nil: it did not, and is
	// taken as busy.
	Report *Report

	// Trouble says why a Starting worker does not become Ready, in words ("image
	// cannot be pulled: …"); empty: nothing is known.
	Trouble string
}

// Busy tells whether the worker may have a message in hand.
func (w *Worker) Busy() bool {
	return w.State != Starting && w.State != Ending && (w.Report == nil || w.Report.InHand > 0)
}

// Report is a worker's answer to whoever controls it.
type Report struct {
	// ID is what the fleet that started the worker called it (the environment
	// variable QUEUEMILL_WORKER_ID); empty: it was told none. A fleet that gave one
	// takes no other worker's answer for this one's.
	ID string `json:"id,omitempty"`

	Draining bool `json:"draining"` // receives no more
	InHand   int  `json:"inHand"`   // messages in hand; of one that is draining also receives under way, as one each

	// Since the worker started.
	Done     int64 `json:"done"` // settled, whatever way
	Failed   int64 `json:"failed"`
	Rejected int64 `json:"rejected"`
	NotNow   int64 `json:"notNow"`

	// ServiceSeconds is the time that all of Done took, summed.
	ServiceSeconds float64 `json:"serviceSeconds"`

	// Trouble says in words why it can't do its work now ("receive from q: queue
	// does not exist"); empty: nothing is known. It may be busy all the same.
	Trouble string `json:"trouble,omitempty"`
}

// Agreed tells whether the worker may be removed: it has nothing in hand and
// will receive nothing.
func (r *Report) Agreed() bool { return r != nil && r.Draining && r.InHand == 0 }

// Fleet is the workers of one pool.
type Fleet interface {
	// List is all workers there are, live, each asked for its Report at the same
	// time and for at most a second or two. Those that have ended are not in it.
	List(ctx context.Context) ([]Worker, error)

	// Start starts n further workers from the pool's present manifest.
	Start(ctx context.Context, pool *v1alpha1.WorkerPool, n int) error

	// Drain asks a worker to receive no more, or (on false) to go on, and returns
	// its answer. ErrNotFound: there is none of that name and UID. Any other error
	// means that it is not known what it did: busy. That a worker was told to go on
	// is written down before it is told: it is Held no more even when the answer is
	// lost.
	Drain(ctx context.Context, w Worker, on bool) (*Report, error)

	// Remove ends the worker of that name and UID; the caller has its agreement,
	// given after w was listed, or it is Held. ErrNotFound: it is gone already.
	// ErrChanged: somebody told it to go on since it was listed, or may have;
	// look again. (Where several controllers can have the fleet at once, that is
	// what keeps one of them from ending what another has let go.)
	Remove(ctx context.Context, w Worker) error

	// Watch calls changed whenever a worker came, became ready or went, until ctx
	// ends. It spares waiting for the next look, nothing else.
	Watch(ctx context.Context, changed func()) error
}

var (
	// ErrNotFound: there is no such worker (or not with that UID).
	ErrNotFound = errors.New("no such worker")

	// ErrChanged: the worker is not as it was listed any more.
	ErrChanged = errors.New("the worker has changed since it was looked at")

	// ErrUnavailable: workers can't be started now (quota, API server away).
	ErrUnavailable = errors.New("no workers can be started now")
)
