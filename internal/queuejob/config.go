package queuejob

import (
	"errors"
	"fmt"
	"reflect"
	"time"

	"github.com/queuemill/queuemill/api/v1alpha1"
	"github.com/queuemill/queuemill/internal/message"
)

const (
	onCreate  = v1alpha1.AckOnCreate
	onSuccess = v1alpha1.AckOnSuccess
)

// ErrQueueChanged: an edited manifest names another queue. A Runner reads one
// queue; stop this one and start another.
var ErrQueueChanged = errors.New("the queue of a running QueueJob was changed")

// config is one manifest, ready for use. It is never written to: an edit makes
// another.
type config struct {
	spec   *v1alpha1.QueueJobSpec
	reader *message.Reader

	ack            v1alpha1.AckMode
	maxActive      int
	succeededLimit int
	failedLimit    int
	window         time.Duration
}

// newConfig expects a validated manifest; defaults are set where they are not.
func newConfig(qj *v1alpha1.QueueJob) (*config, error) {
	reader, err := message.NewReader(qj.Namespace, qj.Name, &qj.Spec.Message)
	if err != nil {
		return nil, fmt.Errorf("queuejob %s: spec.message.%w", qj.Name, err)
	}
	c := &config{
		spec: &qj.Spec, reader: reader,
		ack:            onCreate,
		maxActive:      10,
		succeededLimit: 100,
		failedLimit:    1000,
		window:         5 * time.Minute,
	}
	if qj.Spec.Ack != "" {
		c.ack = qj.Spec.Ack
	}
	if qj.Spec.MaxActive > 0 {
		c.maxActive = qj.Spec.MaxActive
	}
	if n := qj.Spec.SuccessfulJobsHistoryLimit; n != nil {
		c.succeededLimit = *n
	}
	if n := qj.Spec.FailedJobsHistoryLimit; n != nil {
		c.failedLimit = *n
	}
	if w := qj.Spec.DeduplicationWindow; w != nil {
		c.window = w.Duration
	}
	return c, nil
}

// visibility is for how long a message is received and each time extended. Under
// OnSuccess it is what a restart of the controller may take before messages
// come back; under OnCreate it bounds how long a message waits whose controller
// died between receive and create.
func (c *config) visibility() time.Duration {
	if c.ack == onSuccess {
		return 2 * time.Minute
	}
	return time.Minute
}

// Update takes an edited manifest: messages received from now on follow it, jobs
// that exist finish on the one they were made with. An edit of spec.suspend
// counts as Suspend. ErrQueueChanged, and then nothing is taken over, when the
// queue is another one; the name and namespace may not change either.
func (r *Runner) Update(qj *v1alpha1.QueueJob) error {
	if qj.Name != r.name || qj.Namespace != r.namespace {
		return fmt.Errorf("queuejob %s: update with the manifest of %s", r.name, qj.Name)
	}
	old := r.config.Load()
	if !reflect.DeepEqual(old.spec.Queue, qj.Spec.Queue) {
		return fmt.Errorf("queuejob %s: %w", r.name, ErrQueueChanged)
	}
	c, err := newConfig(qj)
	if err != nil {
		return err
	}
	r.mu.Lock()
	r.config.Store(c)
	r.breaker.Update(c.spec.Breaker)
	r.event(false, EventManifestUpdated, "", "new messages follow the edited manifest")
	r.interruptReceive()
	r.noteFull()
	r.unlock()
	if old.spec.Suspend != c.spec.Suspend {
		r.Suspend(c.spec.Suspend)
	}
	r.wakeReceive.poke()
	r.wakeRetain.poke()
	return nil
}
