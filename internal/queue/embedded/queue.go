package embedded

import (
	"encoding/json"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/queuemill/queuemill/internal/queue"
)

// Queue is a queue of a broker. Its methods are for concurrent use.
type Queue struct {
	b            *Broker
	id           uint32
	region, name string
	fifo         bool
	created      time.Time

	mu      sync.Mutex // guards what follows; never held over I/O
	idle    *sync.Cond // ops, a busy slot or the gate has changed; waited on with mu
	def     definition
	set     settings // def.Attributes, read
	shutErr error    // not nil: deleted or closed

	index *index
	ops   int  // operations that write messages' records now
	gated bool // a purge waits for ops to end, nothing new may begin

	dedup    dedupTable
	attempts attempts

	waiters waiters
	sweep   sweep
	timer   *time.Timer
	wakeAt  instant // when timer fires; 0: it doesn't
	purged  instant // when it was purged last
}

// definition is a queue as stored, in JSON.
type definition struct {
	ID         uint32            `json:"id"`
	Region     string            `json:"region"`
	Name       string            `json:"name"`
	Created    time.Time         `json:"created"`
	Modified   time.Time         `json:"modified"`
	Attributes map[string]string `json:"attributes,omitempty"` // those that were set
	Tags       map[string]string `json:"tags,omitempty"`
}

func (b *Broker) newQueue(d definition) (*Queue, error) {
	q := &Queue{b: b, id: d.ID, region: d.Region, name: d.Name, created: d.Created, def: d}
	q.idle = sync.NewCond(&q.mu)
	q.fifo = isFIFOName(d.Name)
	q.index = newIndex(q.fifo)
	set, err := readSettings(d.Attributes)
	if err != nil {
		return nil, err
	}
	q.set = set
	return q, nil
}

func (b *Broker) decodeQueue(v []byte) (*Queue, error) {
	var d definition
	if err := json.Unmarshal(v, &d); err != nil {
		return nil, fmt.Errorf("definition: %w", err)
	}
	return b.newQueue(d)
}

// Name is the queue's name, with .fifo where it is one.
func (q *Queue) Name() string { return q.name }

// Region is the region that the queue is in.
func (q *Queue) Region() string { return q.region }

// ARN is the queue's Amazon resource name.
func (q *Queue) ARN() string { return q.b.arn(queueName{q.region, q.name}) }

func (b *Broker) arn(n queueName) string {
	return "arn:aws:sqs:" + n.region + ":" + b.o.Account + ":" + n.name
}

// FIFO tells whether it is a FIFO queue.
func (q *Queue) FIFO() bool { return q.fifo }

// Tags are the queue's tags.
func (q *Queue) Tags() map[string]string {
	q.mu.Lock()
	defer q.mu.Unlock()
	return maps.Clone(q.def.Tags)
}

// Depth counts what is in the queue; it is exact.
func (q *Queue) Depth() queue.Depth {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := q.b.clock.now()
	q.index.advance(now)
	// What is on its way out, also to the dead-letter queue, is here until it is
	// there: an empty queue has nothing under way.
	d := queue.Depth{Visible: q.index.nReady, InFlight: q.index.nInFlight + q.index.nLeaving, Delayed: q.index.nDelayed}
	if sent, ok := q.index.oldest(); ok {
		d.OldestAge = now.sub(sent)
	}
	return d
}

// begin announces an operation that writes messages' records. It returns with mu
// held, or with an error and mu free. A purge in progress is waited for.
func (q *Queue) begin() error {
	q.mu.Lock()
	for q.gated && q.shutErr == nil {
		q.idle.Wait()
	}
	if err := q.shutErr; err != nil {
		q.mu.Unlock()
		return err
	}
	q.ops++
	return nil
}

// end is the counterpart of begin, with mu held.
func (q *Queue) end() {
	q.ops--
	q.idle.Broadcast()
}

// gate stops operations and waits for those under way; with mu held.
func (q *Queue) gate() {
	for q.gated {
		q.idle.Wait()
	}
	q.gated = true
	for q.ops > 0 {
		q.idle.Wait()
	}
}

// ungate lets operations begin again; with mu held.
func (q *Queue) ungate() {
	q.gated = false
	q.idle.Broadcast()
}

// shut ends the queue's use: waiting receives return err, further calls too.
func (q *Queue) shut(err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.shutLocked(err)
}

func (q *Queue) shutLocked(err error) {
	if q.shutErr == nil {
		q.shutErr = err
	}
	for w := q.waiters.head; w != nil; w = q.waiters.head {
		q.waiters.remove(w)
		w.err = err
		close(w.done)
	}
	if q.timer != nil {
		q.timer.Stop()
	}
	q.sweep.stop()
	q.idle.Broadcast()
}

// drain waits until no operation is under way.
func (q *Queue) drain() {
	q.mu.Lock()
	defer q.mu.Unlock()
	for q.ops > 0 {
		q.idle.Wait()
	}
}
