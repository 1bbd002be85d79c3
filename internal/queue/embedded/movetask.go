package embedded

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/queuemill/queuemill/internal/store"
)

// The states of a move task. Source: ListMessageMoveTasks in the API reference.
const (
	moveRunning    = "RUNNING"
	moveCompleted  = "COMPLETED"
	moveCancelling = "CANCELLING"
	moveCancelled  = "CANCELLED"
	moveFailed     = "FAILED"
)

const (
	maxMoveRate  = 500 // messages a second that can be asked for
	maxMoveTasks = 10  // tasks of a source that are remembered
)

// moveTask is a task as stored, in JSON. Each batch that it moves is one commit
// with the new state of the task in it: after a crash it goes on where it was.
type moveTask struct {
	ID            uint64    `json:"id"`
	SourceID      uint32    `json:"sourceId"`
	Source        string    `json:"source"`
	Destination   string    `json:"destination,omitempty"`
	Orphans       string    `json:"orphans,omitempty"`   // where messages go that were sent to the source itself; empty: nowhere
	PerSecond     int       `json:"perSecond,omitempty"` // 0: as fast as it goes
	Limit         int64     `json:"limit,omitempty"`     // 0: all
	LastSeq       uint64    `json:"lastSeq"`             // what was sent later stays
	Status        string    `json:"status"`
	FailureReason string    `json:"failureReason,omitempty"`
	Moved         int64     `json:"moved"`
	ToMove        int64     `json:"toMove"`
	Started       time.Time `json:"started"`
}

func (t *moveTask) active() bool { return t.Status == moveRunning || t.Status == moveCancelling }

func (t *moveTask) handle() string {
	return base64.URLEncoding.EncodeToString([]byte(strconv.FormatUint(t.ID, 10) + ":" + t.Source))
}

// isTaskHandle tells whether s has the form of a handle, whoever's it is.
func isTaskHandle(s string) bool {
	text, err := base64.URLEncoding.DecodeString(s)
	if err != nil {
		return false
	}
	id, source, found := strings.Cut(string(text), ":")
	_, err = strconv.ParseUint(id, 10, 64)
	return found && err == nil && strings.HasPrefix(source, "arn:")
}

func moveKey(id uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte{store.SpaceQueue, kindMove}, id)
}

func (t *moveTask) put(batch *pebble.Batch) error {
	v, err := json.Marshal(t)
	if err != nil {
		return err
	}
	return batch.Set(moveKey(t.ID), v, nil)
}

// mover is a task that runs.
type mover struct {
	task   moveTask // guarded by Broker.mu
	cancel chan struct{}
	done   chan struct{}
}

// StartMoveTask starts moving what is in a dead-letter queue to destinationARN,
// or, when that is empty, each message to the queue it came from; at most
// maxPerSecond messages a second, 1 to 500, 0: as fast as it goes. It returns the
// task's handle. CodeResourceNotFound, CodeInvalidParameterValue.
func (b *Broker) StartMoveTask(sourceARN, destinationARN string, maxPerSecond int) (string, error) {
	m, err := b.startMove(moveTask{Source: sourceARN, Destination: destinationARN, PerSecond: maxPerSecond})
	if err != nil {
		return "", err
	}
	return m.task.handle(), nil
}

func (b *Broker) startMove(t moveTask) (*mover, error) {
	b.adminMu.Lock()
	defer b.adminMu.Unlock()
	source, err := b.checkMove(&t)
	if err != nil {
		return nil, err
	}
	if err := b.reserve(); err != nil {
		return nil, storeError(err)
	}
	t.ID, t.SourceID, t.Status, t.Started = b.seq.Add(1), source.id, moveRunning, time.Now()
	t.LastSeq = t.ID
	t.ToMove = int64(source.Depth().Visible)
	batch := b.db.Pebble().NewBatch()
	defer batch.Close()
	if err := t.put(batch); err != nil {
		return nil, err
	}
	b.forgetMoves(batch, t.Source)
	if err := b.db.Commit(batch); err != nil {
		return nil, storeError(err)
	}
	return b.runMove(t)
}

// checkMove validates a task. The caller holds adminMu.
func (b *Broker) checkMove(t *moveTask) (source *Queue, err error) {
	if t.PerSecond < 0 || t.PerSecond > maxMoveRate {
		return nil, invalidValue(strconv.Itoa(t.PerSecond), "MaxNumberOfMessagesPerSecond", "Must be between 1 and %d, if provided.", maxMoveRate)
	}
	if source, err = b.QueueByARN(t.Source); err != nil {
		return nil, errorf(CodeResourceNotFound, "The resource that you specified for the SourceArn parameter doesn't exist.")
	}
	if len(source.DeadLetterSources()) == 0 {
		return nil, errorf(CodeInvalidParameterValue, "Source queue must be configured as a Dead Letter Queue.")
	}
	if t.Destination != "" {
		destination, err := b.QueueByARN(t.Destination)
		switch {
		case err != nil:
			return nil, errorf(CodeResourceNotFound, "The resource that you specified for the DestinationArn parameter doesn't exist.")
		case destination == source:
			return nil, errorf(CodeInvalidParameterValue, "Source queue arn and destination queue arn cannot be the same.")
		case destination.fifo != source.fifo:
			return nil, errorf(CodeInvalidParameterValue, "Source queue and destination queue must be of the same type.")
		}
	}
	for _, m := range b.movesOf(t.Source) {
		if m.active() {
			return nil, errorf(CodeInvalidParameterValue, "There is already a task running. Only one active task is allowed for a source queue arn at a given time.")
		}
	}
	return source, nil
}

// movesOf are a source's tasks, the newest first.
func (b *Broker) movesOf(source string) []moveTask {
	b.mu.RLock()
	defer b.mu.RUnlock()
	var found []moveTask
	for _, m := range b.moves {
		if m.task.Source == source {
			found = append(found, m.task)
		}
	}
	slices.SortFunc(found, func(s, t moveTask) int { return int(int64(t.ID) - int64(s.ID)) })
	return found
}

// forgetMoves makes room for one more task of a source.
func (b *Broker) forgetMoves(batch *pebble.Batch, source string) {
	all := b.movesOf(source)
	b.mu.Lock()
	defer b.mu.Unlock()
	for i := maxMoveTasks - 1; i < len(all); i++ {
		delete(b.moves, all[i].ID)
		_ = batch.Delete(moveKey(all[i].ID), nil)
	}
}

// MoveTasks are the latest tasks of a source, at most max (1 to 10), the newest
// first. CodeResourceNotFound.
func (b *Broker) MoveTasks(sourceARN string, max int) ([]MoveTask, error) {
	if max < 1 || max > maxMoveTasks {
		return nil, invalidValue(strconv.Itoa(max), "MaxResults", "Must be between 1 and %d, if provided.", maxMoveTasks)
	}
	if _, err := b.QueueByARN(sourceARN); err != nil {
		return nil, errorf(CodeResourceNotFound, "The resource that you specified for the SourceArn parameter doesn't exist.")
	}
	var tasks []MoveTask
	for _, t := range b.movesOf(sourceARN) {
		if len(tasks) == max {
			break
		}
		m := MoveTask{
			SourceARN: t.Source, DestinationARN: t.Destination, Status: t.Status, FailureReason: t.FailureReason,
			MaxPerSecond: t.PerSecond, Moved: t.Moved, ToMove: t.ToMove, StartedAt: t.Started,
		}
		if t.active() {
			m.Handle = t.handle()
		}
		tasks = append(tasks, m)
	}
	return tasks, nil
}

// CancelMoveTask stops a task and tells how many messages it had moved; those
// stay where they are. CodeResourceNotFound; CodeInvalidParameterValue when it
// has ended already, or handle is none of a task.
func (b *Broker) CancelMoveTask(handle string) (moved int64, err error) {
	m, err := b.cancelling(handle)
	if err != nil {
		return 0, err
	}
	<-m.done
	b.mu.RLock()
	defer b.mu.RUnlock()
	return m.task.Moved, nil
}

// cancelling tells a running task to stop.
func (b *Broker) cancelling(handle string) (*mover, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, m := range b.moves {
		if m.task.handle() != handle {
			continue
		}
		if m.task.Status != moveRunning {
			return nil, errorf(CodeInvalidParameterValue, "Only active tasks can be cancelled.")
		}
		m.task.Status = moveCancelling
		close(m.cancel)
		return m, nil
	}
	if !isTaskHandle(handle) {
		return nil, errorf(CodeInvalidParameterValue, "Value for parameter TaskHandle is invalid. Reason: it is not the handle of a message move task.")
	}
	return nil, errorf(CodeResourceNotFound, "Task does not exist.")
}

// loadMoves reads the tasks of earlier runs; resumeMoves then goes on with them.
func (b *Broker) loadMoves() error {
	from, to := kindSpan(kindMove)
	return b.scan(from, to, func(_, v []byte) error {
		m := &mover{cancel: make(chan struct{}), done: make(chan struct{})}
		if err := json.Unmarshal(v, &m.task); err != nil {
			return fmt.Errorf("move task: %w", err)
		}
		b.moves[m.task.ID] = m
		return nil
	})
}

func (b *Broker) resumeMoves() error {
	for _, m := range b.moves {
		if !m.task.active() {
			continue
		}
		if _, err := b.runMove(m.task); err != nil {
			return err
		}
	}
	return nil
}

// runMove starts the goroutine of a task. Close waits for it.
func (b *Broker) runMove(t moveTask) (*mover, error) {
	m := &mover{task: t, cancel: make(chan struct{}), done: make(chan struct{})}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return nil, ErrClosed
	}
	b.moves[t.ID] = m
	b.moving.Go(func() {
		defer close(m.done)
		b.move(b.ctx, m)
	})
	return m, nil
}

// redrive moves up to limit messages (0: all) of a dead-letter queue back and
// waits until that is done.
func (q *Queue) redrive(ctx context.Context, limit int) (moved int, err error) {
	task := moveTask{Source: q.ARN(), Limit: int64(limit)}
	if sources := q.DeadLetterSources(); len(sources) == 1 { // a worker's rejects have come from it too
		task.Orphans = sources[0].ARN()
	}
	m, err := q.b.startMove(task)
	if err != nil {
		return 0, err
	}
	select {
	case <-m.done:
	case <-ctx.Done():
		err = ctx.Err()
	}
	q.b.mu.RLock()
	defer q.b.mu.RUnlock()
	if m.task.Status == moveFailed {
		err = errorf(CodeInvalidParameterValue, "The move stopped after %d messages: %s", m.task.Moved, m.task.FailureReason)
	}
	return int(m.task.Moved), err
}
