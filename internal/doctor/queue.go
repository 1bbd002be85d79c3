package doctor

import (
	"fmt"
	"strings"
	"time"

	"github.com/queuemill/queuemill/api/v1alpha1"
	"github.com/queuemill/queuemill/internal/httpapi"
)

// fewReceives is a maxReceiveCount below which a restart of the controller
// beside one failure is enough for the dead-letter queue.
const fewReceives = 3

// reading is how a queue is read.
type reading struct {
	ack     v1alpha1.AckMode // of the first QueueJob that does; empty: none
	workers bool             // of a WorkerPool do
}

// readers looks at who shares a queue.
func readers(q *httpapi.Queue) []Check {
	const name = "readers"
	switch pools := len(q.WorkerPools); {
	case pools > 0 && len(q.QueueJobs) > 0:
		return []Check{found(Warning, name, q.Name, "give each a queue of its own, and have the producer send to both",
			"QueueJob %s and WorkerPool %s read it: each gets a part of the messages", q.QueueJobs[0], q.WorkerPools[0])}
	case pools > 1:
		return []Check{found(Warning, name, q.Name, "let one pool have it, with as many workers as both",
			"%d WorkerPools read it (%s): each counts all of the backlog, so together they start too many workers", pools, strings.Join(q.WorkerPools, ", "))}
	}
	return nil
}

// queueSettings looks at a queue's configuration. deadLetters is its dead-letter
// queue, nil when it has none or that can't be looked at.
func queueSettings(q *httpapi.Queue, by reading, deadLetters *httpapi.Queue) []Check {
	about := q.Name
	if q.Error != "" {
		return []Check{found(Problem, "queue", about, "does it exist, and may these credentials read its attributes?", "%s", q.Error)}
	}
	checks := []Check{ok("queue", about, "%d visible, %d in flight, %d delayed", q.Visible, q.InFlight, q.Delayed)}
	held := "1m"
	if by.ack == v1alpha1.AckOnSuccess {
		held = "2m"
	}
	if q.VisibilityTimeoutSeconds > 0 && by.ack != "" {
		checks = append(checks, ok("visibility", about, "the controller receives with a visibility of %s and extends it; the queue's own %s does not matter",
			held, seconds(q.VisibilityTimeoutSeconds)))
	}
	return append(checks, redrive(q, by, deadLetters)...)
}

// redrive looks at what becomes of messages that fail again and again.
func redrive(q *httpapi.Queue, by reading, deadLetters *httpapi.Queue) []Check {
	about := q.Name
	if q.DeadLetterQueue == "" {
		switch {
		case by.workers:
			return []Check{found(Warning, "dead-letter-queue", about, "give it a redrive policy with a dead-letter queue and a maxReceiveCount of 5 or more",
				"has none: what workers reject, or always fail at, comes back again and again until its retention of %s is over", seconds(q.RetentionSeconds))}
		case by.ack == v1alpha1.AckOnSuccess:
			return []Check{found(Warning, "dead-letter-queue", about, "give it a redrive policy with a dead-letter queue and a maxReceiveCount of 3 or more",
				"has none: a message whose job always fails is tried again until its retention of %s is over", seconds(q.RetentionSeconds))}
		}
		return []Check{ok("dead-letter-queue", about, "has none, and needs none: with ack: OnCreate what fails stays as a record")}
	}
	var checks []Check
	switch {
	case deadLetters == nil || deadLetters.Error != "":
		why := "it is not among the queues that are known here"
		if deadLetters != nil {
			why = deadLetters.Error
		}
		checks = append(checks, found(Unknown, "dead-letter-queue", about, "", "%s could not be looked at: %s", q.DeadLetterQueue, why))
	case deadLetters.RetentionSeconds <= q.RetentionSeconds:
		checks = append(checks, found(Warning, "dead-letter-queue", about, fmt.Sprintf("set the MessageRetentionPeriod of %s to 14 days (1209600)", q.DeadLetterQueue),
			"%s keeps messages for %s, the queue itself for %s: SQS counts from the first send, so a dead letter may be gone before anybody looks",
			q.DeadLetterQueue, seconds(deadLetters.RetentionSeconds), seconds(q.RetentionSeconds)))
	default:
		checks = append(checks, ok("dead-letter-queue", about, "%s keeps messages for %s, longer than the queue's %s",
			q.DeadLetterQueue, seconds(deadLetters.RetentionSeconds), seconds(q.RetentionSeconds)))
	}
	few := q.MaxReceiveCount < fewReceives
	switch {
	case by.workers && few:
		checks = append(checks, found(Warning, "max-receive-count", about, "set maxReceiveCount to 5 or more",
			"is %d: each failure, each \"not now\" and each worker that dies counts a receive; a message that was only put off becomes a dead letter", q.MaxReceiveCount))
	case by.workers:
		checks = append(checks, ok("max-receive-count", about, "a message is delivered %d times; an answer of \"not now\" counts too", q.MaxReceiveCount))
	case by.ack == v1alpha1.AckOnSuccess && few:
		checks = append(checks, found(Warning, "max-receive-count", about, fmt.Sprintf("set maxReceiveCount to %d or more", fewReceives),
			"is %d: each failed job counts a receive and so may a restart of the controller; a message can be a dead letter while its job still runs", q.MaxReceiveCount))
	case by.ack == v1alpha1.AckOnSuccess:
		checks = append(checks, ok("max-receive-count", about, "a message is tried %d times; a job that runs is no receive, its message is held", q.MaxReceiveCount))
	}
	return checks
}

func seconds(s float64) string {
	if s == 0 {
		return "unknown length"
	}
	return v1alpha1.Human(time.Duration(s * float64(time.Second)))
}
