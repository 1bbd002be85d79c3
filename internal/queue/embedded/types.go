package embedded

import (
	"time"

	"github.com/queuemill/queuemill/internal/message"
)

// SendEntry is a message to send.
type SendEntry struct {
	Body             string
	Attributes       map[string]message.Attribute
	SystemAttributes map[string]message.Attribute // AWSTraceHeader alone
	DelaySeconds     *int                         // nil: the queue's own; a FIFO queue takes none but 0
	GroupID          string
	DeduplicationID  string
}

// SendResult answers a SendEntry. ID and, on a FIFO queue, SequenceNumber are
// set when Err is nil; Err is an *Error.
type SendResult struct {
	ID, SequenceNumber string
	Err                error
}

// ReceiveOptions says what to receive.
type ReceiveOptions struct {
	Max        int            // 1 to 10
	Wait       *time.Duration // nil: the queue's ReceiveMessageWaitTimeSeconds; 0 to 20 s
	Visibility *time.Duration // nil: the queue's own; 0 to 12 h
	AttemptID  string         // FIFO queues: the same ID within 5 minutes gets the same messages
}

// Message is a message as received, or looked at.
type Message struct {
	ID, Body, Handle    string // Handle is empty when only looked at
	SenderID            string
	Attributes          map[string]message.Attribute
	SystemAttributes    map[string]message.Attribute
	SentAt              time.Time
	FirstReceivedAt     time.Time // zero: never
	ReceiveCount        int
	GroupID             string
	DeduplicationID     string
	SequenceNumber      string // FIFO queues
	DeadLetterSourceARN string // the queue it came from as a dead letter
}

// VisibilityChange sets when a received message is visible again, from now on.
type VisibilityChange struct {
	Handle  string
	Timeout time.Duration // 0 to 12 h
}

// MoveTask is a move of a dead-letter queue's messages back to where they came
// from, or elsewhere.
type MoveTask struct {
	Handle         string // set while it runs
	SourceARN      string
	DestinationARN string // empty: each message's own source
	Status         string // RUNNING, COMPLETED, CANCELLING, CANCELLED, FAILED
	FailureReason  string
	MaxPerSecond   int // 0: as fast as it goes
	Moved, ToMove  int64
	StartedAt      time.Time
}
