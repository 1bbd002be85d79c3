package worker

import (
	"fmt"
	"time"

	"github.com/queuemill/queuemill/internal/backoff"
)

var (
	// callBackoff is between tries of a call to the queue. Its cap is short: a queue
	// that is back is used at once, and a try costs little.
	callBackoff = backoff.Backoff{Base: 250 * time.Millisecond, Cap: 3 * time.Second}

	// failureBackoff is how long a failed message stays away: 2^receives seconds,
	// half of it jitter.
	failureBackoff = backoff.Backoff{Base: 2 * time.Second, Cap: 15 * time.Minute}
)

// manyFailures in a row are no accident of one message.
const manyFailures = 3

// failing is a row of messages that all failed; the zero value is none.
type failing struct {
	n      int
	since  time.Time
	reason string // of the first: it stands in a status, which is not rewritten for each
}

// note takes in how the work on a message ended.
func (f *failing) note(r Result, now time.Time) {
	switch r.Kind {
	case Done, Rejected:
		*f = failing{}
	case Failed:
		if f.n++; f.n == 1 {
			f.since, f.reason = now, r.Reason
		}
	}
}

// String is in words what fails; empty: nothing that a person should know of.
func (f *failing) String() string {
	if f.n < manyFailures {
		return ""
	}
	return fmt.Sprintf("every message has failed since %s: %s", f.since.Format(time.TimeOnly), f.reason)
}

// trouble is a call to the queue that fails, from the first failure on; the zero
// value is none.
type trouble struct {
	tries int
	err   error
	since time.Time
	next  time.Time // of the next try
}

// fail notes a failed try and tells whether it is the first.
func (t *trouble) fail(err error, now time.Time) (first bool) {
	if t.tries == 0 {
		t.since = now
	}
	t.next = now.Add(callBackoff.Full(t.tries))
	t.err = err
	t.tries++
	return t.tries == 1
}
