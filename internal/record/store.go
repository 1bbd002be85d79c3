package record

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/queuemill/queuemill/internal/message"
	"github.com/queuemill/queuemill/internal/queue"
	"github.com/queuemill/queuemill/internal/store"
)

// Store keeps records on disk for executors whose engine forgets. What lists
// show and what a further run needs lie apart, so that whoever holds all
// summaries in memory holds no bodies:
//
//	SpaceRecord 's' name  →  version, JSON of Saved
//	SpaceRecord 'c' uid   →  version, Content
//	SpaceRecord 't' hash  →  version, template as JSON
type Store struct {
	db *store.DB
}

// Saved is a record's summary with what the executor keeps beside it.
type Saved struct {
	Record

	// Template is the key of the template that further attempts run.
	Template string
	// Asked is the attempt that was asked for from outside last: automatic
	// retries are counted from there.
	Asked int
	// Orphaned is how many attempts in a row lost their supervisor while the
	// controller lived.
	Orphaned int
	// Deleting: the record is to go as soon as its process is gone.
	Deleting bool
}

// Content is what a further run needs beside the template. Strings are kept
// byte for byte, valid UTF-8 or not.
type Content struct {
	Body       string
	Payload    string
	Attributes map[string]message.Attribute
	Env        []message.EnvVar

	// FileAttributes are what the attributes file holds, nil where that is
	// Attributes: an SNS envelope brings more than the message has.
	FileAttributes map[string]message.Attribute
}

const (
	summaryKey  = 's'
	contentKey  = 'c'
	templateKey = 't'

	// version leads each value. A later layout has a higher one.
	version = 1
)

// ErrNewer: the value was written by a later version of this program.
var ErrNewer = errors.New("record is of a newer version of queuemill")

// ErrNoContent: there is no record of that UID.
var ErrNoContent = errors.New("no such record")

// NewStore keeps records in db, whose closing is the caller's.
func NewStore(db *store.DB) *Store { return &Store{db: db} }

func key(kind byte, name string) []byte {
	return append(append(make([]byte, 0, 2+len(name)), store.SpaceRecord, kind), name...)
}

// saved is Saved as it is written.
type saved struct {
	*Record
	Receipt  queue.Receipt `json:"receipt,omitempty"`
	Template string        `json:"template,omitempty"`
	Asked    int           `json:"asked,omitempty"`
	Orphaned int           `json:"orphaned,omitempty"`
	Deleting bool          `json:"deleting,omitempty"`
}

// Load calls f with every record, in the order of names, without body and
// attributes.
func (s *Store) Load(f func(Saved) error) error {
	return s.each(summaryKey, func(name string, value []byte) error {
		var r Record
		w := saved{Record: &r}
		if err := json.Unmarshal(value, &w); err != nil {
			return fmt.Errorf("read record %s: %w", name, err)
		}
		r.Message.Receipt = w.Receipt
		return f(Saved{Record: r, Template: w.Template, Asked: w.Asked, Orphaned: w.Orphaned, Deleting: w.Deleting})
	})
}

// Templates calls f with every template and its key.
func (s *Store) Templates(f func(key string, template []byte) error) error {
	return s.each(templateKey, f)
}

func (s *Store) each(kind byte, f func(name string, value []byte) error) (err error) {
	it, err := s.db.Pebble().NewIter(&pebble.IterOptions{
		LowerBound: []byte{store.SpaceRecord, kind}, UpperBound: []byte{store.SpaceRecord, kind + 1},
	})
	if err != nil {
		return fmt.Errorf("read records: %w", err)
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	for valid := it.First(); valid; valid = it.Next() {
		value, err := it.ValueAndErr()
		if err != nil {
			return fmt.Errorf("read records: %w", err)
		}
		name := string(it.Key()[2:])
		if value, err = unversioned(value); err != nil {
			return fmt.Errorf("read record %s: %w", name, err)
		}
		if err := f(name, value); err != nil {
			return err
		}
	}
	return it.Error()
}

func unversioned(value []byte) ([]byte, error) {
	if len(value) == 0 {
		return nil, errTruncated
	}
	if value[0] > version {
		return nil, ErrNewer
	}
	return value[1:], nil
}

// Content reads what belongs to the record of that UID.
func (s *Store) Content(uid string) (Content, error) {
	value, closer, err := s.db.Pebble().Get(key(contentKey, uid))
	if errors.Is(err, pebble.ErrNotFound) {
		err = ErrNoContent
	}
	if err != nil {
		return Content{}, fmt.Errorf("read the message of record %s: %w", uid, err)
	}
	c, err := decodeContent(value)
	if err := errors.Join(err, closer.Close()); err != nil {
		return Content{}, fmt.Errorf("read the message of record %s: %w", uid, err)
	}
	return c, nil
}

// Batch gathers changes that become true together.
type Batch struct {
	store *Store
	batch *pebble.Batch
	names []string
	err   error
}

// NewBatch begins one. It ends with Commit, CommitFreeing, CommitNoSync or Cancel.
func (s *Store) NewBatch() *Batch {
	return &Batch{store: s, batch: s.db.Pebble().NewBatch()}
}

// Names are the records whose summary the batch writes or removes.
func (b *Batch) Names() []string { return b.names }

// Empty tells whether nothing is in the batch.
func (b *Batch) Empty() bool { return b.batch.Empty() }

func (b *Batch) set(key, value []byte, err error) {
	if err == nil {
		err = b.batch.Set(key, value, nil)
	}
	b.err = errors.Join(b.err, err)
}

// Put writes a record's summary.
func (b *Batch) Put(r *Saved) {
	b.names = append(b.names, r.Name)
	w := saved{Receipt: r.Message.Receipt, Template: r.Template, Asked: r.Asked, Orphaned: r.Orphaned, Deleting: r.Deleting}
	summary := r.Summary()
	w.Record = &summary
	value, err := json.Marshal(&w)
	b.set(key(summaryKey, r.Name), append([]byte{version}, value...), err)
}

// PutContent writes what belongs to the record of that UID.
func (b *Batch) PutContent(uid string, c *Content) {
	value, err := encodeContent(c)
	b.set(key(contentKey, uid), value, err)
}

// PutTemplate writes a template, which records name by its key.
func (b *Batch) PutTemplate(name string, template []byte) {
	b.set(key(templateKey, name), append([]byte{version}, template...), nil)
}

// DeleteTemplate removes a template.
func (b *Batch) DeleteTemplate(name string) {
	b.err = errors.Join(b.err, b.batch.Delete(key(templateKey, name), nil))
}

// Delete removes a record's summary.
func (b *Batch) Delete(name string) {
	b.names = append(b.names, name)
	b.err = errors.Join(b.err, b.batch.Delete(key(summaryKey, name), nil))
}

// DeleteContent removes what belongs to the record of that UID.
func (b *Batch) DeleteContent(uid string) {
	b.err = errors.Join(b.err, b.batch.Delete(key(contentKey, uid), nil))
}

// Commit makes the batch durable. store.ErrFull: the disk is full, nothing was
// written. It is for what brings new data.
func (b *Batch) Commit() error { return b.finish(b.store.db.Commit) }

// CommitFreeing is Commit for what must be said even on a full disk: how jobs
// went on and ended, what was removed. It is never refused with store.ErrFull.
func (b *Batch) CommitFreeing() error { return b.finish(b.store.db.CommitFreeing) }

// CommitNoSync hands the batch to the operating system: it survives the death
// of this process, and a power cut from the next Commit on.
func (b *Batch) CommitNoSync() error { return b.finish(b.store.db.CommitNoSync) }

func (b *Batch) finish(commit func(*pebble.Batch) error) error {
	err := b.err
	if err == nil {
		err = commit(b.batch)
	}
	if err = errors.Join(err, b.batch.Close()); err != nil {
		return fmt.Errorf("write records: %w", err)
	}
	return nil
}

// Cancel drops the batch.
func (b *Batch) Cancel() { _ = b.batch.Close() } // nothing was written

// Sync makes durable all that was committed before, also on a full disk, where
// the space of what was removed is then reclaimed.
func (s *Store) Sync() error {
	b := s.NewBatch()
	b.err = b.batch.LogData(nil, nil)
	return b.CommitFreeing()
}

var errTruncated = errors.New("value is cut off")

func encodeContent(c *Content) ([]byte, error) {
	b := make([]byte, 1, 64+len(c.Body))
	b[0] = version
	b = appendString(b, c.Body)
	if c.Payload == c.Body {
		b = append(b, 1)
	} else {
		b = appendString(append(b, 0), c.Payload)
	}
	b = binary.AppendUvarint(b, uint64(len(c.Env)))
	for _, v := range c.Env {
		b = appendString(appendString(b, v.Name), v.Value)
	}
	for _, attributes := range []map[string]message.Attribute{c.Attributes, c.FileAttributes} {
		if len(attributes) == 0 {
			b = appendString(b, "")
			continue
		}
		text, err := json.Marshal(attributes)
		if err != nil {
			return nil, err
		}
		b = appendString(b, string(text))
	}
	return b, nil
}

func decodeContent(value []byte) (Content, error) {
	var c Content
	value, err := unversioned(value)
	if err != nil {
		return c, err
	}
	d := contentDecoder{b: value}
	c.Body = d.string()
	if d.byte() == 1 {
		c.Payload = c.Body
	} else {
		c.Payload = d.string()
	}
	for n := d.uvarint(); n > 0 && d.err == nil; n-- {
		c.Env = append(c.Env, message.EnvVar{Name: d.string(), Value: d.string()})
	}
	for _, attributes := range []*map[string]message.Attribute{&c.Attributes, &c.FileAttributes} {
		if text := d.string(); text != "" && d.err == nil {
			d.err = json.Unmarshal([]byte(text), attributes)
		}
	}
	return c, d.err
}

func appendString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// contentDecoder takes values off b; after the first that is not there err is
// set and all further ones are zero.
type contentDecoder struct {
	b   []byte
	err error
}

func (d *contentDecoder) byte() byte {
	if len(d.b) == 0 {
		d.err = errTruncated
		return 0
	}
	v := d.b[0]
	d.b = d.b[1:]
	return v
}

func (d *contentDecoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.b, d.err = nil, errTruncated
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *contentDecoder) string() string {
	n := d.uvarint()
	if n > uint64(len(d.b)) {
		d.b, d.err = nil, errTruncated
		return ""
	}
	s := string(d.b[:n])
	d.b = d.b[n:]
	return s
}
