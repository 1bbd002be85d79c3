package embedded

import (
	"context"
	"encoding/json"
	"maps"
	"strings"
	"time"

	"github.com/cockroachdb/pebble/v2"
)

// CreateQueue makes a queue, or finds it when one of that name has the same
// attributes. CodeQueueNameExists, CodeQueueDeletedRecently,
// CodeInvalidParameterValue, CodeInvalidAttributeName, CodeInvalidAttributeValue.
func (b *Broker) CreateQueue(region, name string, attributes, tags map[string]string) (*Queue, error) {
	if err := checkName(name, attributes); err != nil {
		return nil, err
	}
	b.adminMu.Lock()
	defer b.adminMu.Unlock()
	n := b.name(region, name)
	want, err := b.mergeAttributes(n, nil, attributes)
	if err != nil {
		return nil, err
	}
	if err := checkTags(nil, tags); err != nil {
		return nil, err
	}
	if q, err := b.Queue(n.region, name); err == nil {
		return found(q, q.sameAs(want))
	}
	id, err := b.claim(n)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	q, err := b.newQueue(definition{
		ID: id, Region: n.region, Name: name, Created: now, Modified: now,
		Attributes: want, Tags: maps.Clone(tags),
	})
	if err != nil {
		return nil, err
	}
	batch := b.db.Pebble().NewBatch()
	defer batch.Close()
	b.putCounters(batch, b.reserved.Load(), id+1)
	if err := b.saveQueue(batch, q.def); err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return nil, ErrClosed
	}
	b.nextQueue = id + 1
	b.queues[n], b.byID[id] = q, q
	return q, nil
}

func found(q *Queue, err error) (*Queue, error) {
	if err != nil {
		return nil, err
	}
	return q, nil
}

// claim finds a number for a new queue, unless its name is not free yet.
func (b *Broker) claim(n queueName) (uint32, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return 0, ErrClosed
	}
	now := b.clock.now()
	for name, at := range b.deleted {
		if at.add(cooldown) <= now {
			delete(b.deleted, name)
		}
	}
	if _, ok := b.deleted[n]; ok {
		return 0, errorf(CodeQueueDeletedRecently, "You must wait 60 seconds after deleting a queue before you can create another with the same name.")
	}
	return b.nextQueue, nil
}

func (b *Broker) saveQueue(batch *pebble.Batch, d definition) error {
	v, err := json.Marshal(d)
	if err != nil {
		return err
	}
	_ = batch.Set(key(kindQueue, d.ID), v, nil)
	return storeError(b.db.Commit(batch))
}

// checkName: 1 to 80 of letters, digits, - and _; a FIFO queue's ends in .fifo.
func checkName(name string, attributes map[string]string) error {
	fifo := strings.EqualFold(attributes[attrFIFO], "true")
	base, suffixed := strings.CutSuffix(name, ".fifo")
	valid := base != "" && len(name) <= 80
	for _, c := range base {
		valid = valid && (alphanumeric(c) || c == '-' || c == '_')
	}
	switch {
	case fifo && (!valid || !suffixed):
		return errorf(CodeInvalidParameterValue, "The name of a FIFO queue can only include alphanumeric characters, hyphens, or underscores, must end with .fifo suffix and be 1 to 80 in length.")
	case !valid || suffixed && !fifo:
		return errorf(CodeInvalidParameterValue, "Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length.")
	}
	return nil
}

func isFIFOName(name string) bool { return strings.HasSuffix(name, ".fifo") }

// DeleteQueue removes a queue and all that is in it. CodeQueueDoesNotExist.
func (b *Broker) DeleteQueue(region, name string) error {
	b.adminMu.Lock()
	defer b.adminMu.Unlock()
	q, err := b.Queue(region, name)
	if err != nil {
		return err
	}
	q.mu.Lock()
	q.gate()
	q.mu.Unlock()
	err = b.eraseQueue(q)
	q.mu.Lock()
	defer q.mu.Unlock()
	if err == nil {
		q.shutLocked(errNoQueue())
	}
	q.ungate()
	return storeError(err)
}

// eraseQueue removes q from the store, then from the broker.
func (b *Broker) eraseQueue(q *Queue) error {
	batch := b.db.Pebble().NewBatch()
	defer batch.Close()
	_ = batch.Delete(key(kindQueue, q.id), nil)
	for _, kind := range [...]byte{kindState, kindContent, kindDedup} {
		from, to := span(kind, q.id)
		_ = batch.DeleteRange(from, to, nil)
	}
	if err := b.db.CommitFreeing(batch); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	n := queueName{q.region, q.name}
	delete(b.queues, n)
	delete(b.byID, q.id)
	if !b.o.NoCooldowns {
		b.deleted[n] = b.clock.now()
	}
	return nil
}

// Purge removes all messages. CodePurgeQueueInProgress within 60 s of the last one.
func (q *Queue) Purge(ctx context.Context) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.shutErr != nil {
		return q.shutErr
	}
	now := q.b.clock.now()
	if q.purged != 0 && q.purged.add(cooldown) > now && !q.b.o.NoCooldowns {
		return errorf(CodePurgeQueueInProgress, "Only one PurgeQueue operation on %s is allowed every 60 seconds.", q.name)
	}
	q.gate()
	defer q.ungate()
	q.mu.Unlock()
	batch := q.b.db.Pebble().NewBatch()
	for _, kind := range [...]byte{kindState, kindContent} {
		from, to := span(kind, q.id)
		_ = batch.DeleteRange(from, to, nil)
	}
	err := q.b.db.CommitFreeing(batch)
	batch.Close()
	q.mu.Lock()
	if err != nil {
		return storeError(err)
	}
	q.index = newIndex(q.fifo)
	q.purged = now
	return nil
}

// change rewrites the queue's definition.
func (q *Queue) change(edit func(d *definition) error) error {
	q.b.adminMu.Lock()
	defer q.b.adminMu.Unlock()
	q.mu.Lock()
	d, err := q.def, q.shutErr
	q.mu.Unlock()
	if err != nil {
		return err
	}
	if err := edit(&d); err != nil {
		return err
	}
	set, err := readSettings(d.Attributes)
	if err != nil {
		return err
	}
	batch := q.b.db.Pebble().NewBatch()
	defer batch.Close()
	if err := q.b.saveQueue(batch, d); err != nil {
		return err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.def, q.set = d, set
	q.sweepNow()
	return nil
}

// SetAttributes changes attributes; "" resets Policy, RedrivePolicy,
// RedriveAllowPolicy and the KMS key. CodeInvalidAttributeName, CodeInvalidAttributeValue.
func (q *Queue) SetAttributes(changes map[string]string) error {
	if _, ok := changes[attrFIFO]; ok {
		return errorf(CodeInvalidAttributeName, "Unknown Attribute %s.", attrFIFO)
	}
	return q.change(func(d *definition) error {
		m, err := q.b.mergeAttributes(queueName{q.region, q.name}, d.Attributes, changes)
		if err != nil {
			return err
		}
		d.Attributes, d.Modified = m, time.Now()
		return nil
	})
}

// Tag sets tags; at most 50 a queue.
func (q *Queue) Tag(tags map[string]string) error {
	return q.change(func(d *definition) error {
		if err := checkTags(d.Tags, tags); err != nil {
			return err
		}
		m := make(map[string]string, len(d.Tags)+len(tags))
		maps.Copy(m, d.Tags)
		maps.Copy(m, tags)
		d.Tags = m
		return nil
	})
}

// Untag removes tags; one that is not there is no error.
func (q *Queue) Untag(keys []string) error {
	return q.change(func(d *definition) error {
		d.Tags = maps.Clone(d.Tags)
		for _, k := range keys {
			delete(d.Tags, k)
		}
		return nil
	})
}

func checkTags(present, tags map[string]string) error {
	n := len(present)
	for k, v := range tags {
		if k == "" || len([]rune(k)) > 128 || len([]rune(v)) > 256 {
			return errorf(CodeInvalidParameterValue, "Tag keys must be between 1 and 128 characters in length, tag values at most 256.")
		}
		if strings.HasPrefix(strings.ToLower(k), "aws:") {
			return errorf(CodeInvalidParameterValue, "Tag keys that begin with aws: are reserved.")
		}
		if _, ok := present[k]; !ok {
			n++
		}
	}
	if n > 50 {
		return errorf(CodeInvalidParameterValue, "Too many tags added for queue: at most 50.")
	}
	return nil
}
