package embedded

// StartMoveTask starts moving what is in a dead-letter queue to destinationARN,
// or, when that is empty, each message to the queue it came from.
func (b *Broker) StartMoveTask(sourceARN, destinationARN string, maxPerSecond int) (string, error) {
	return "", errorf(CodeUnsupportedOperation, "Message move tasks are not supported.")
}

// MoveTasks are the latest tasks of a source, at most max, the newest first.
func (b *Broker) MoveTasks(sourceARN string, max int) ([]MoveTask, error) { return nil, nil }

// CancelMoveTask stops a task and tells how many messages it had moved.
func (b *Broker) CancelMoveTask(handle string) (moved int64, err error) {
	return 0, errorf(CodeResourceNotFound, "Task does not exist.")
}
