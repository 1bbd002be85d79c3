package worker

import (
	"context"
	"errors"
	"time"

	"github.com/queuemill/queuemill/internal/message"
	"github.com/queuemill/queuemill/internal/queue"
)

// Kind is how a handler's work on a message ended: a label of metrics.
type Kind string

const (
	Done        Kind = "done"
	Rejected    Kind = "rejected"    // to the dead-letter queue: trying again can't help
	NotNow      Kind = "notnow"      // not the message's fault: later
	Failed      Kind = "failed"      // again, after a backoff
	Interrupted Kind = "interrupted" // this worker ends: another one's at once
)

// Kinds are all of them.
var Kinds = []Kind{Done, Rejected, NotNow, Failed, Interrupted}

// Result is how the work on one message ended.
type Result struct {
	Kind   Kind
	Reason string        // in words; empty with Done
	Delay  time.Duration // with NotNow: until it is delivered again; 0: the worker's backoff
}

// Task is one message for a Handler.
type Task struct {
	Message *queue.Message
	Item    *message.Item // with s3Event one of several

	// Over tells whether the message may be somebody else's by now: nothing is begun
	// of it then. nil: it can't be.
	Over func() bool
}

// Handler works on messages.
type Handler interface {
	// Run is the handler's life, until ctx ends. It calls changed whenever Ready's
	// answer may have. An error ends the worker.
	Run(ctx context.Context, changed func()) error

	// Ready says why it can take no message now; nil: it can.
	Ready() error

	// Handle works on one message, several at a time. When ctx ends it ends the
	// work, and returns once nothing of it is left: context.Cause is errTimeout, or
	// errHardStop, which makes the result Interrupted.
	Handle(ctx context.Context, t *Task) Result
}

var (
	errTimeout  = errors.New("the message's time is over")
	errHardStop = errors.New("the worker ends")
)
