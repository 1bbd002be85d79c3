package manifest

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/queuemill/queuemill/api/v1alpha1"
	"github.com/queuemill/queuemill/internal/message"
)

var queueJobType = reflect.TypeFor[v1alpha1.QueueJob]()

// document reads one document: what it is, its shape, then its meaning.
func (r *result) document(file string, doc document) {
	line := doc.line + doc.root.Line
	if err := wrongKind(doc.root); err != nil {
		err.File, err.Line = file, err.Line+doc.line
		r.errs = append(r.errs, err)
		return
	}
	c := &checker{
		file: file, first: doc.line, suggests: newSuggester(queueJobType),
		lines: map[string]int{}, unknown: map[string]bool{},
	}
	value, _ := c.walk("", doc.root, queueJobType)
	if c.nodes > maxNodes {
		r.errs = append(r.errs, c.errs...)
		return
	}
	q, err := decode(value)
	if err != nil {
		c.errs = append(c.errs, &Error{File: file, Line: line, Msg: err.Error()})
		r.errs = append(r.errs, c.errs...)
		return
	}
	c.explicitZeros(q)
	q.SetDefaults()
	found := q.Validate()
	if len(found) == 0 {
		found = unreadableMessages(q)
	}
	c.add(found)
	r.errs = append(r.errs, c.errs...)
	if len(c.errs) > 0 {
		return
	}
	if first := r.find(q); first != nil {
		r.errs = append(r.errs, &Error{
			File: file, Line: c.line("metadata.name"), Field: "metadata.name",
			Msg: fmt.Sprintf("there is a QueueJob %s already, at %s:%d", q.Name, first.File, first.Line),
		})
		return
	}
	for _, w := range q.Warnings() {
		r.warnings = append(r.warnings, Warning{File: file, Line: c.line(w.Field), Field: w.Field, Msg: w.Text})
	}
	if other := r.sameQueue(q); other != "" {
		r.warnings = append(r.warnings, Warning{
			File: file, Line: c.line("spec.queue.sqs"), Field: "spec.queue.sqs",
			Msg: fmt.Sprintf("QueueJob %s reads the same queue: each message goes to one of the two, whichever is first", other),
		})
	}
	r.objects = append(r.objects, Object{QueueJob: q, File: file, Line: line})
}

func (r *result) find(q *v1alpha1.QueueJob) *Object {
	for i, o := range r.objects {
		if o.QueueJob.Name == q.Name && o.QueueJob.Namespace == q.Namespace {
			return &r.objects[i]
		}
	}
	return nil
}

// sameQueue is the QueueJob that reads q's queue already, "" when none does.
func (r *result) sameQueue(q *v1alpha1.QueueJob) string {
	for _, o := range r.objects {
		if a, b := o.QueueJob.Spec.Queue.SQS, q.Spec.Queue.SQS; a.URL == b.URL && a.Name == b.Name && a.Region == b.Region {
			return o.QueueJob.Name
		}
	}
	return ""
}

// wrongKind tells what is no QueueJob at all.
func wrongKind(root *yaml.Node) *Error {
	if root.Kind != yaml.MappingNode {
		return &Error{Line: root.Line, Msg: "is " + what(root) + ", not a manifest", Hint: "a manifest begins with apiVersion: " + v1alpha1.APIVersion}
	}
	fields := map[string]*yaml.Node{}
	for i := 0; i+1 < len(root.Content); i += 2 {
		fields[root.Content[i].Value] = root.Content[i+1]
	}
	version, kind := fields["apiVersion"], fields["kind"]
	switch {
	case version == nil:
		return &Error{Line: root.Line, Field: "apiVersion", Msg: "is missing: write apiVersion: " + v1alpha1.APIVersion}
	case version.Value != v1alpha1.APIVersion:
		return &Error{Line: version.Line, Field: "apiVersion", Msg: fmt.Sprintf("%q is unknown; this version reads %s", version.Value, v1alpha1.APIVersion)}
	case kind == nil:
		return &Error{Line: root.Line, Field: "kind", Msg: "is missing: write kind: " + v1alpha1.KindQueueJob}
	case kind.Value == "WorkerPool", kind.Value == "Schedule":
		return &Error{Line: kind.Line, Field: "kind", Msg: kind.Value + " is not supported by this version; it reads " + v1alpha1.KindQueueJob}
	case kind.Value != v1alpha1.KindQueueJob:
		e := &Error{Line: kind.Line, Field: "kind", Msg: fmt.Sprintf("%q is unknown; this version reads %s", kind.Value, v1alpha1.KindQueueJob)}
		if closest(kind.Value, []string{v1alpha1.KindQueueJob}) != "" {
			e.Hint = "did you mean " + v1alpha1.KindQueueJob + "?"
		}
		return e
	}
	return nil
}

func decode(value any) (*v1alpha1.QueueJob, error) {
	text, err := json.Marshal(value)
	if err != nil {
		return nil, err
	}
	q := &v1alpha1.QueueJob{}
	return q, json.Unmarshal(text, q)
}

// unreadableMessages is what only the reader of the messages can tell: whether
// the schema is one.
func unreadableMessages(q *v1alpha1.QueueJob) field.ErrorList {
	_, err := message.NewReader(q.Namespace, q.Name, &q.Spec.Message)
	var fieldErr *message.FieldError
	if !errors.As(err, &fieldErr) {
		return nil
	}
	return field.ErrorList{field.Forbidden(field.NewPath("spec", "message", fieldErr.Field), fieldErr.Err.Error())}
}

// explicitZeros finds zeros that SetDefaults would take for a field left out.
func (c *checker) explicitZeros(q *v1alpha1.QueueJob) {
	zero := map[string]bool{"spec.maxActive": q.Spec.MaxActive == 0}
	if b := q.Spec.Breaker; b != nil {
		zero["spec.breaker.failures"] = b.Failures == 0
		zero["spec.breaker.within"] = b.Within.Duration == 0
		zero["spec.breaker.pause"] = b.Pause.Duration == 0
	}
	for path, is := range zero {
		if line, written := c.lines[path]; is && written && !c.failed(path) {
			c.errs = append(c.errs, &Error{File: c.file, Line: line, Field: path, Msg: "must be more than 0"})
		}
	}
}

// add takes what Validate found, but for what follows from an error found
// before: a field that was left out since it was wrong is not missing as well.
func (c *checker) add(found field.ErrorList) {
	for _, e := range found {
		follows := c.failed(e.Field)
		if e.Type == field.ErrorTypeRequired {
			follows = follows || c.unknown[parentOf(e.Field)] || c.unknown[e.Field]
		}
		if !follows {
			c.errs = append(c.errs, &Error{File: c.file, Line: c.line(e.Field), Field: e.Field, Msg: describe(e)})
		}
	}
}

// failed tells whether path, or something in it, is wrong already.
func (c *checker) failed(path string) bool {
	return slices.ContainsFunc(c.errs, func(e *Error) bool {
		return e.Field == path || strings.HasPrefix(e.Field, path+".") || strings.HasPrefix(e.Field, path+"[")
	})
}

// line is where a field stands, or where the nearest field around it does.
func (c *checker) line(path string) int {
	for path != "" {
		if line, ok := c.lines[path]; ok {
			return line
		}
		path = parentOf(path)
	}
	return c.lines[""]
}

// parentOf is a path without its last step.
func parentOf(path string) string {
	return path[:max(0, strings.LastIndexAny(path, ".["))]
}
