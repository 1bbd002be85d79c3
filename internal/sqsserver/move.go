package sqsserver

import "github.com/queuemill/queuemill/internal/queue/embedded"

// maxMovesListed is how many tasks ListMessageMoveTasks shows at most.
const maxMovesListed = 10

// maxMovesPerSecond is the largest MaxNumberOfMessagesPerSecond.
const maxMovesPerSecond = 500

func startMessageMoveTask(c *call) error {
	var source, destination string
	var rate *int
	err := c.read(func(member string, v value) error {
		switch member {
		case "SourceArn":
			return stringInto(&source, v)
		case "DestinationArn":
			return stringInto(&destination, v)
		case "MaxNumberOfMessagesPerSecond":
			return intInto(&rate, v)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if source == "" {
		return missing("SourceArn")
	}
	perSecond := 0
	if rate != nil {
		if perSecond = *rate; perSecond < 1 || perSecond > maxMovesPerSecond {
			return failf(codeInvalidParameter,
				"Value %d for parameter MaxNumberOfMessagesPerSecond is invalid. Reason: Must be between 1 and %d, if provided.", perSecond, maxMovesPerSecond)
		}
	}
	handle, err := c.srv.broker.StartMoveTask(source, destination, perSecond)
	if err != nil {
		return err
	}
	c.out.text("TaskHandle", handle)
	return nil
}

func listMessageMoveTasks(c *call) error {
	var source string
	var limit *int
	err := c.read(func(member string, v value) error {
		switch member {
		case "SourceArn":
			return stringInto(&source, v)
		case "MaxResults":
			return intInto(&limit, v)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if source == "" {
		return missing("SourceArn")
	}
	n := 1
	if limit != nil {
		if n = *limit; n < 1 || n > maxMovesListed {
			return failf(codeInvalidParameter,
				"Value %d for parameter MaxResults is invalid. Reason: Must be between 1 and %d, if provided.", n, maxMovesListed)
		}
	}
	tasks, err := c.srv.broker.MoveTasks(source, n)
	if err != nil {
		return err
	}
	c.out.list("Results", "ListMessageMoveTasksResultEntry", len(tasks), func(i int) { writeTask(&c.out, tasks[i]) })
	return nil
}

func writeTask(a *answer, t embedded.MoveTask) {
	a.some("TaskHandle", t.Handle)
	a.text("Status", t.Status)
	a.text("SourceArn", t.SourceARN)
	a.some("DestinationArn", t.DestinationARN)
	if t.MaxPerSecond > 0 {
		a.integer("MaxNumberOfMessagesPerSecond", int64(t.MaxPerSecond))
	}
	a.integer("ApproximateNumberOfMessagesMoved", t.Moved)
	a.integer("ApproximateNumberOfMessagesToMove", t.ToMove)
	a.some("FailureReason", t.FailureReason)
	a.integer("StartedTimestamp", t.StartedAt.UnixMilli())
}

func cancelMessageMoveTask(c *call) error {
	var handle string
	err := c.read(func(member string, v value) error {
		if member == "TaskHandle" {
			return stringInto(&handle, v)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if handle == "" {
		return missing("TaskHandle")
	}
	moved, err := c.srv.broker.CancelMoveTask(handle)
	if err != nil {
		return err
	}
	c.out.integer("ApproximateNumberOfMessagesMoved", moved)
	return nil
}
