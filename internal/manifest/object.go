package manifest

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/queuemill/queuemill/api/v1alpha1"
	"github.com/queuemill/queuemill/internal/message"
)

// kind is one kind of manifest.
type kind struct {
	name string
	root reflect.Type
	make func() object
}

// object is what every kind can do.
type object interface {
	metav1.Object
	SetDefaults()
	Validate() field.ErrorList
	Warnings() []v1alpha1.Warning
}

var kinds = []kind{
	{v1alpha1.KindQueueJob, reflect.TypeFor[v1alpha1.QueueJob](), func() object { return &v1alpha1.QueueJob{} }},
	{v1alpha1.KindWorkerPool, reflect.TypeFor[v1alpha1.WorkerPool](), func() object { return &v1alpha1.WorkerPool{} }},
}

func kindNames() []string {
	names := make([]string, len(kinds))
	for i, k := range kinds {
		names[i] = k.name
	}
	return names
}

// document reads one document: what it is, its shape, then its meaning.
func (r *result) document(file string, doc document) {
	line := doc.line + doc.root.Line
	k, err := kindOf(doc.root)
	if err != nil {
		err.File, err.Line = file, err.Line+doc.line
		r.errs = append(r.errs, err)
		return
	}
	c := &checker{
		file: file, first: doc.line, suggests: newSuggester(k.root),
		lines: map[string]int{}, unknown: map[string]bool{},
	}
	value, _ := c.walk("", doc.root, k.root)
	if c.nodes > maxNodes {
		r.errs = append(r.errs, c.errs...)
		return
	}
	made := k.make()
	if err := decode(value, made); err != nil {
		c.errs = append(c.errs, &Error{File: file, Line: line, Msg: err.Error()})
		r.errs = append(r.errs, c.errs...)
		return
	}
	o := objectOf(made)
	o.File, o.Line = file, line
	c.explicitZeros(&o)
	made.SetDefaults()
	found := made.Validate()
	if len(found) == 0 {
		found = o.unreadableMessages()
	}
	c.add(found)
	r.errs = append(r.errs, c.errs...)
	if len(c.errs) > 0 {
		return
	}
	if first := r.find(&o); first != nil {
		r.errs = append(r.errs, &Error{
			File: file, Line: c.line("metadata.name"), Field: "metadata.name",
			Msg: fmt.Sprintf("there is a %s %s already, at %s:%d", o.Kind(), o.Name(), first.File, first.Line),
		})
		return
	}
	for _, w := range made.Warnings() {
		r.warnings = append(r.warnings, Warning{File: file, Line: c.line(w.Field), Field: w.Field, Msg: w.Text})
	}
	if other := r.sameQueue(&o); other != nil {
		r.warnings = append(r.warnings, Warning{
			File: file, Line: c.line("spec.queue.sqs"), Field: "spec.queue.sqs",
			Msg: fmt.Sprintf("%s %s reads the same queue: each message goes to one of the two, whichever is first", other.Kind(), other.Name()),
		})
	}
	r.objects = append(r.objects, o)
}

func objectOf(made object) Object {
	switch made := made.(type) {
	case *v1alpha1.WorkerPool:
		return Object{WorkerPool: made}
	case *v1alpha1.QueueJob:
		return Object{QueueJob: made}
	}
	panic(fmt.Sprintf("no kind of manifest: %T", made))
}

// of is the object whichever kind it is.
func (o *Object) of() object {
	if o.WorkerPool != nil {
		return o.WorkerPool
	}
	return o.QueueJob
}

// Kind is the object's kind: QueueJob or WorkerPool.
func (o *Object) Kind() string {
	if o.WorkerPool != nil {
		return v1alpha1.KindWorkerPool
	}
	return v1alpha1.KindQueueJob
}

// Name is the object's name, one of its kind and namespace.
func (o *Object) Name() string { return o.of().GetName() }

// Namespace is the object's namespace as it is written, empty when it is not.
func (o *Object) Namespace() string { return o.of().GetNamespace() }

// Queue is where its messages come from.
func (o *Object) Queue() *v1alpha1.QueueSource {
	if o.WorkerPool != nil {
		return &o.WorkerPool.Spec.Queue
	}
	return &o.QueueJob.Spec.Queue
}

func (o *Object) message() *v1alpha1.MessageSpec {
	if o.WorkerPool != nil {
		return &o.WorkerPool.Spec.Message
	}
	return &o.QueueJob.Spec.Message
}

func (r *result) find(o *Object) *Object {
	for i := range r.objects {
		if other := &r.objects[i]; other.Kind() == o.Kind() && other.Name() == o.Name() && other.Namespace() == o.Namespace() {
			return other
		}
	}
	return nil
}

// sameQueue is what reads o's queue already, nil when nothing does.
func (r *result) sameQueue(o *Object) *Object {
	for i := range r.objects {
		if a, b := r.objects[i].Queue().SQS, o.Queue().SQS; a.URL == b.URL && a.Name == b.Name && a.Region == b.Region {
			return &r.objects[i]
		}
	}
	return nil
}

// kindOf is the kind of a document, or what is wrong where it is none.
func kindOf(root *yaml.Node) (*kind, *Error) {
	if root.Kind != yaml.MappingNode {
		return nil, &Error{Line: root.Line, Msg: "is " + what(root) + ", not a manifest", Hint: "a manifest begins with apiVersion: " + v1alpha1.APIVersion}
	}
	fields := map[string]*yaml.Node{}
	for i := 0; i+1 < len(root.Content); i += 2 {
		fields[root.Content[i].Value] = root.Content[i+1]
	}
	known := strings.Join(kindNames(), " and ")
	version, name := fields["apiVersion"], fields["kind"]
	switch {
	case version == nil:
		return nil, &Error{Line: root.Line, Field: "apiVersion", Msg: "is missing: write apiVersion: " + v1alpha1.APIVersion}
	case version.Value != v1alpha1.APIVersion:
		return nil, &Error{Line: version.Line, Field: "apiVersion", Msg: fmt.Sprintf("%q is unknown; this version reads %s", version.Value, v1alpha1.APIVersion)}
	case name == nil:
		return nil, &Error{Line: root.Line, Field: "kind", Msg: "is missing: write kind: " + strings.Join(kindNames(), " or kind: ")}
	case name.Value == "Schedule":
		return nil, &Error{Line: name.Line, Field: "kind", Msg: name.Value + " is not supported by this version; it reads " + known}
	}
	for i := range kinds {
		if kinds[i].name == name.Value {
			return &kinds[i], nil
		}
	}
	e := &Error{Line: name.Line, Field: "kind", Msg: fmt.Sprintf("%q is unknown; this version reads %s", name.Value, known)}
	if meant := closest(name.Value, kindNames()); meant != "" {
		e.Hint = "did you mean " + meant + "?"
	}
	return nil, e
}

func decode(value any, into object) error {
	text, err := json.Marshal(value)
	if err != nil {
		return err
	}
	return json.Unmarshal(text, into)
}

// unreadableMessages is what only the reader of the messages can tell: whether
// the schema is one.
func (o *Object) unreadableMessages() field.ErrorList {
	_, err := message.NewReader(o.Namespace(), o.Name(), o.message())
	var fieldErr *message.FieldError
	if !errors.As(err, &fieldErr) {
		return nil
	}
	return field.ErrorList{field.Forbidden(field.NewPath("spec", "message", fieldErr.Field), fieldErr.Err.Error())}
}

// explicitZeros finds zeros that SetDefaults would take for a field left out.
func (c *checker) explicitZeros(o *Object) {
	zero := map[string]bool{}
	var breaker *v1alpha1.Breaker
	at := "spec.breaker"
	if p := o.WorkerPool; p != nil {
		zero["spec.maxWorkers"] = p.Spec.MaxWorkers == 0
		zero["spec.scaling.backlogPerWorker"] = p.Spec.Scaling.BacklogPerWorker == 0
		zero["spec.worker.concurrency"] = p.Spec.Worker.Concurrency == 0
		if t := p.Spec.Scaling.Steps; t != nil {
			zero["spec.scaling.steps.minAdjustment"] = t.MinAdjustment == 0
		}
		breaker, at = p.Spec.Worker.Breaker, "spec.worker.breaker"
	} else {
		zero["spec.maxActive"] = o.QueueJob.Spec.MaxActive == 0
		breaker = o.QueueJob.Spec.Breaker
	}
	if b := breaker; b != nil {
		zero[at+".failures"] = b.Failures == 0
		zero[at+".within"] = b.Within.Duration == 0
		zero[at+".pause"] = b.Pause.Duration == 0
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
