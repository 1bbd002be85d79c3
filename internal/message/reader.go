package message

import (
	"fmt"
	"slices"
	"strconv"

	"github.com/queuemill/queuemill/api/v1alpha1"
	"github.com/queuemill/queuemill/internal/reason"
)

// Reader reads the messages of one QueueJob, or of a queue that workers share. It holds no state and may be used
// by several goroutines.
type Reader struct {
	namespace, queueJob string
	owner               EnvVar // whose message it is; left out where the value is empty

	sns, s3, json bool
	confidential  bool
	fields        []fieldEnv
	key           *field // of deduplicationField
	schema        *schema
}

type fieldEnv struct {
	name string
	field
	fallback *string
}

// FieldError says which field of message.* is wrong, as in "env[1].fieldPath".
type FieldError struct {
	Field string
	Err   error
}

func (e *FieldError) Error() string { return "message." + e.Field + ": " + e.Err.Error() }
func (e *FieldError) Unwrap() error { return e.Err }

// NewReader compiles the schema and the paths of spec. Its errors are
// *FieldError.
func NewReader(namespace, queueJob string, spec *v1alpha1.MessageSpec) (*Reader, error) {
	formats := spec.Formats()
	r := &Reader{
		namespace:    namespace,
		queueJob:     queueJob,
		owner:        EnvVar{"QUEUEMILL_QUEUEJOB", queueJob},
		sns:          slices.Contains(formats, v1alpha1.FormatSNS),
		s3:           slices.Contains(formats, v1alpha1.FormatS3Event),
		confidential: spec.Confidential,
	}
	r.json = r.s3 || slices.Contains(formats, v1alpha1.FormatJSON)
	for i, env := range spec.Env {
		f, err := newField(env.FieldPath)
		if err != nil {
			return nil, &FieldError{fmt.Sprintf("env[%d].fieldPath", i), err}
		}
		r.fields = append(r.fields, fieldEnv{env.Name, f, env.Default})
	}
	if spec.DeduplicationField != "" {
		f, err := newField(spec.DeduplicationField)
		if err != nil {
			return nil, &FieldError{"deduplicationField", err}
		}
		r.key = &f
	}
	if spec.Schema != nil {
		s, err := compileSchema(spec.Schema.Raw)
		if err != nil {
			return nil, &FieldError{"schema", err}
		}
		r.schema = s
	}
	return r, nil
}

// NewWorkerReader is NewReader for the workers of a queue. The idempotency key
// follows from the queue's name and the message alone, whichever worker has it;
// pool may be empty.
func NewWorkerReader(queue, pool string, spec *v1alpha1.MessageSpec) (*Reader, error) {
	r, err := NewReader("", queue, spec)
	if err != nil {
		return nil, err
	}
	r.owner = EnvVar{"QUEUEMILL_WORKERPOOL", pool}
	return r, nil
}

// content is one future job's part of a message, unwrapped.
type content struct {
	payload    string
	document   jsonText // payload parsed; empty with text
	attributes map[string]Attribute
	env        []EnvVar // that the format gives
	suffix     string   // of the identity: the record's index with s3Event
	invalid    *reason.Cause
}

// Read makes of a message what becomes its jobs: one Item, with s3Event one per
// record, none for an s3:TestEvent. It never fails: what can't be a job is an
// Item with Invalid.
func (r *Reader) Read(in Input) []Item {
	contents := r.unwrap(in)
	items := make([]Item, 0, len(contents))
	for i := range contents {
		items = append(items, r.item(in, &contents[i]))
	}
	return items
}

func (r *Reader) unwrap(in Input) []content {
	c := content{payload: in.Body, attributes: in.Attributes}
	if r.sns {
		if c.invalid = unwrapSNS(&c, r.confidential); c.invalid != nil {
			return []content{c}
		}
	}
	if !r.json {
		return []content{c}
	}
	document, err := parseJSON(c.payload, r.confidential)
	if err != nil {
		c.invalid = causef(reason.NotJSON, "the body is not JSON: %v", err)
		return []content{c}
	}
	c.document = document
	if r.s3 {
		return splitS3(c)
	}
	return []content{c}
}

func (r *Reader) item(in Input, c *content) Item {
	identity, invalid := in.ID, c.invalid
	if invalid == nil && r.key != nil {
		if key, cause := r.readKey(c.document); cause == nil {
			identity = keyPrefix + key
		} else {
			invalid = cause
		}
	}
	item := Item{Payload: c.payload, Attributes: c.attributes}
	item.Name, item.Identity = RecordName(r.namespace, r.queueJob, identity+c.suffix)
	item.IdempotencyKey = IdempotencyKey(r.namespace, r.queueJob, identity+c.suffix)

	if invalid == nil && r.schema != nil {
		invalid = r.schema.check(c.document, r.confidential)
	}
	if invalid == nil {
		item.Env, invalid = r.environment(in, c, item.IdempotencyKey)
	}
	if invalid != nil {
		item.Invalid = invalid
		item.Payload, item.Env, item.Attributes = "", nil, nil
	}
	return item
}

// readKey is the producer's own key. An empty one is none: it would make all
// messages that lack it the same.
func (r *Reader) readKey(document jsonText) (string, *reason.Cause) {
	value, missing := r.key.find(document)
	if missing != "" {
		return "", causef(reason.FieldMissing, "deduplicationField: %s", missing)
	}
	key := value.text()
	if key == "" {
		return "", causef(reason.FieldMissing, "deduplicationField: field %s is empty", r.key.path)
	}
	return key, nil
}

// suffixOf tells the records of one message apart.
func suffixOf(index int) string { return "#" + strconv.Itoa(index) }

func causef(r reason.Reason, format string, args ...any) *reason.Cause {
	return &reason.Cause{Reason: r, Detail: fmt.Sprintf(format, args...)}
}
