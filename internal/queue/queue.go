// Package queue is the seam between Queuemill and the queues it reads: what a
// message is, what every queue can do, and what some can do besides.
//
// Its contract is SQS's, since that is the one users know: a received message
// is invisible for its visibility timeout and comes back unless deleted;
// delivery is at least once; a receipt belongs to one receive.
// Package queuetest holds the conformance suite every provider passes.
package queue

import (
	"context"
	"errors"
	"time"

	"github.com/queuemill/queuemill/internal/message"
)

// Receipt names one receive of one message (SQS: receipt handle).
type Receipt string

// Attribute is a message attribute.
type Attribute = message.Attribute

// Message is one delivery of a message.
type Message struct {
	ID              string
	Body            string
	Attributes      map[string]Attribute
	Receipt         Receipt
	ReceiveCount    int       // of this message, this receive included; approximate on SQS
	SentAt          time.Time // by the queue's clock
	FirstReceivedAt time.Time
	GroupID         string // FIFO: message group; standard: fair-queue tenant; else empty
	DeduplicationID string
}

// ReceiveOptions says what to receive.
type ReceiveOptions struct {
	Max        int           // 1 to 10
	Wait       time.Duration // long poll, 0 to 20 s
	Visibility time.Duration // 0: the queue's own timeout
}

// Extension sets the time until a received message is visible again, counted
// from the call. Zero gives it back at once.
type Extension struct {
	Receipt    Receipt
	Visibility time.Duration
}

// Outgoing is a message to send.
type Outgoing struct {
	Body            string
	Attributes      map[string]Attribute
	Delay           time.Duration // 0: the queue's own
	GroupID         string
	DeduplicationID string
}

// SendResult answers one Outgoing: ID is set when Err is nil.
type SendResult struct {
	ID  string
	Err error
}

// Queue is what every provider can do. The batch calls take any number of
// items, split them as the provider needs, and answer item by item, in order:
// the result is as long as the input and a nil error means done and durable.
type Queue interface {
	// Receive returns up to Max messages as soon as there is at least one, and
	// none (and no error) when Wait has passed. A Receive whose ctx ends
	// returns ctx's error and swallows no message.
	Receive(ctx context.Context, o ReceiveOptions) ([]Message, error)

	// Delete removes messages for good. Deleting what is already gone is no
	// error; a receipt that can no longer be honoured is ErrReceiptInvalid.
	Delete(ctx context.Context, receipts []Receipt) []error

	// Extend changes visibility. ErrReceiptInvalid: the receipt's message is
	// deleted, not in flight any more, or in flight for somebody else.
	Extend(ctx context.Context, extensions []Extension) []error

	// Send puts messages into the queue.
	Send(ctx context.Context, messages []Outgoing) []SendResult
}

var (
	// ErrReceiptInvalid: the receipt is expired, malformed or its message gone.
	// Not worth repeating.
	ErrReceiptInvalid = errors.New("receipt is no longer valid")

	// ErrNotFound: there is no such queue.
	ErrNotFound = errors.New("queue does not exist")

	// ErrThrottled: the queue asks to slow down (also: too many in flight).
	ErrThrottled = errors.New("queue throttles")

	// ErrInvalid: the queue refuses this very request (too large, bad
	// character, bad attribute). Not worth repeating.
	ErrInvalid = errors.New("queue refuses the request")

	// ErrDenied: the credentials are missing, wrong, or not allowed to do this.
	ErrDenied = errors.New("queue denies access")

	// ErrUnreachable: no answer, or one that says nothing (a server's own
	// error). What was asked may have been done or not.
	ErrUnreachable = errors.New("queue is unreachable")
)

// Depth is how much is in a queue, by the queue's own count (approximate on SQS).
type Depth struct {
	Visible   int           `json:"visible"`
	InFlight  int           `json:"inFlight"`
	Delayed   int           `json:"delayed"`
	OldestAge time.Duration `json:"oldestAge"` // of the oldest visible message; 0 when unknown or none
}

// Total is all that is in the queue, whatever its state.
func (d Depth) Total() int { return d.Visible + d.InFlight + d.Delayed }

// DepthReporter is a Queue that knows how much it holds.
type DepthReporter interface {
	Depth(ctx context.Context) (Depth, error)
}

// DeadLetterReporter is a Queue that knows how much is in the dead-letter queue
// of its redrive policy: ErrNotFound where it has none, ErrDenied where this
// identity may not look.
type DeadLetterReporter interface {
	DeadLetters(ctx context.Context) (Depth, error)
}

// Rejecter is a Queue that can put a message aside for a person at once, without
// waiting for its redrive policy to do so.
type Rejecter interface {
	// Reject sends a copy of m, with the reason in the attribute AttributeReason, to
	// the queue's dead-letter queue; the caller deletes m once that is done. Done
	// again after an error or a crash it may leave two copies, on FIFO queues it
	// leaves one. ErrNotFound: there is no dead-letter queue.
	Reject(ctx context.Context, m Message, reason string) error
}

// Purger is a Queue that can drop everything it holds.
type Purger interface {
	Purge(ctx context.Context) error
}

// Peeker is a Queue that can show its next messages. Counts tells whether the
// look counts as a receive, as it does on SQS.
type Peeker interface {
	Peek(ctx context.Context, max int) ([]Message, error)
	PeekCounts() bool
}

// Redriver is a Queue that is a dead-letter queue and can move its messages
// back to where they came from.
type Redriver interface {
	// Redrive starts moving at most limit messages (0: all) and returns how
	// many were moved, or will be where the provider moves on its own.
	Redrive(ctx context.Context, limit int) (moved int, err error)
}

// Settings are what a provider knows of a queue's configuration; zero values
// are unknown.
type Settings struct {
	Visibility      time.Duration
	Retention       time.Duration
	MaxReceiveCount int    // 0: no redrive policy
	DeadLetterQueue string // name of the dead-letter queue
	FIFO            bool
}

// SettingsReporter is a Queue that can tell its configuration.
type SettingsReporter interface {
	Settings(ctx context.Context) (Settings, error)
}
