package manifest

import (
	"encoding/json"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// maxNodes is how many values a document may have, those that aliases repeat
// counted each time.
const maxNodes = 100_000

// checker walks a document beside the Go type it is to become. What is wrong
// goes to errs and is left out of the value, so that the rest can be checked.
type checker struct {
	file  string
	first int // lines of the file before the document
	nodes int
	depth int

	lines    map[string]int  // of each field
	unknown  map[string]bool // the parents of fields that are unknown
	errs     []*Error
	suggests *suggester
}

func (c *checker) fail(n *yaml.Node, path, hint, format string, args ...any) {
	c.errs = append(c.errs, &Error{
		File: c.file, Line: c.first + n.Line, Field: path, Msg: fmt.Sprintf(format, args...), Hint: hint,
	})
}

var (
	durationType  = reflect.TypeFor[metav1.Duration]()
	quantityType  = reflect.TypeFor[resource.Quantity]()
	opaqueType    = reflect.TypeFor[runtime.RawExtension]()
	unmarshalType = reflect.TypeFor[json.Unmarshaler]()
)

// walk is the value of n as encoding/json would read it for type t (nil: any),
// false where it is wrong.
func (c *checker) walk(path string, n *yaml.Node, t reflect.Type) (any, bool) {
	c.nodes++
	c.depth++
	defer func() { c.depth-- }()
	if c.nodes > maxNodes || c.depth > 200 {
		if c.nodes != maxNodes+2 { // say it once
			c.nodes = maxNodes + 1
			c.fail(n, "", "", "is too large: aliases within aliases, or nested over 200 levels deep")
		}
		c.nodes = maxNodes + 1
		return nil, false
	}
	if n.Kind == yaml.AliasNode {
		return c.walk(path, n.Alias, t)
	}
	c.lines[path] = c.first + n.Line
	for t != nil && t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if n.Tag == "!!null" && t != nil {
		c.fail(n, path, "", "has no value; give it one or take the line away")
		return nil, false
	}
	switch {
	case t == nil:
		return c.anything(path, n)
	case t == durationType:
		return c.duration(path, n)
	case t == quantityType:
		return c.quantity(path, n)
	case t == opaqueType:
		if n.Kind != yaml.MappingNode {
			return c.wrong(path, n, "fields of its own")
		}
		return c.mapping(path, n, nil)
	case reflect.PointerTo(t).Implements(unmarshalType):
		return c.anything(path, n) // metadata that only a cluster writes
	}
	switch t.Kind() {
	case reflect.Struct:
		if n.Kind != yaml.MappingNode {
			want := "fields of its own"
			if own := path[strings.LastIndexByte(path, '.')+1:]; n.Kind == yaml.SequenceNode && fieldsOf(t)[own] != nil {
				want += ", the list in " + own + ": {" + own + ": […]}"
			}
			return c.wrong(path, n, want)
		}
		return c.mapping(path, n, t)
	case reflect.Map:
		if n.Kind != yaml.MappingNode {
			return c.wrong(path, n, "keys and values")
		}
		return c.mapping(path, n, t)
	case reflect.Slice:
		if n.Kind != yaml.SequenceNode {
			return c.wrong(path, n, "a list, as in [a, b]")
		}
		return c.sequence(path, n, t.Elem())
	case reflect.String:
		return c.text(path, n)
	case reflect.Bool:
		if n.Tag != "!!bool" {
			return c.wrong(path, n, "true or false")
		}
		return strings.EqualFold(n.Value, "true"), true
	default:
		if n.Tag != "!!int" || !wholeNumber.MatchString(n.Value) {
			return c.wrong(path, n, "a whole number")
		}
		return json.Number(n.Value), true
	}
}

var (
	wholeNumber = regexp.MustCompile(`^-?(0|[1-9][0-9]{0,17})$`)
	jsonNumber  = regexp.MustCompile(`^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?$`)
)

// wrong says that something else is expected.
func (c *checker) wrong(path string, n *yaml.Node, want string) (any, bool) {
	c.fail(n, path, "", "is %s; expected %s", what(n), want)
	return nil, false
}

// what is n in words.
func what(n *yaml.Node) string {
	switch {
	case n.Kind == yaml.MappingNode:
		return "a mapping"
	case n.Kind == yaml.SequenceNode:
		return "a list"
	case n.Tag == "!!str":
		return fmt.Sprintf("the text %q", n.Value)
	case n.Tag == "!!int" || n.Tag == "!!float":
		return "the number " + n.Value
	default:
		return n.Value
	}
}

// text takes what is text and nothing that only looks like it: 10, true and
// yes mean something else to one YAML reader or another.
func (c *checker) text(path string, n *yaml.Node) (any, bool) {
	switch {
	case n.Kind != yaml.ScalarNode:
		return c.wrong(path, n, "text")
	case ambiguous(n):
		c.fail(n, path, "", "%s is a boolean to some readers of YAML: write %q", n.Value, n.Value)
		return nil, false
	case n.Tag != "!!str" && n.Tag != "!!timestamp":
		c.fail(n, path, "", "%s must be text: write %q", n.Value, n.Value)
		return nil, false
	}
	return n.Value, true
}

// ambiguous tells a plain word that is text in YAML 1.2 and a boolean in the
// 1.1 that kubectl reads.
func ambiguous(n *yaml.Node) bool {
	return n.Style == 0 && n.Tag == "!!str" &&
		slices.Contains([]string{"y", "n", "yes", "no", "on", "off"}, strings.ToLower(n.Value))
}

// anything reads a value whose type is not ours to know.
func (c *checker) anything(path string, n *yaml.Node) (any, bool) {
	switch {
	case n.Kind == yaml.MappingNode:
		return c.mapping(path, n, nil)
	case n.Kind == yaml.SequenceNode:
		return c.sequence(path, n, nil)
	case ambiguous(n):
		c.fail(n, path, "", "%s is a boolean to some readers of YAML: write %q, true or false", n.Value, n.Value)
		return nil, false
	}
	switch n.Tag {
	case "!!null":
		return nil, true
	case "!!bool":
		return strings.EqualFold(n.Value, "true"), true
	case "!!str", "!!timestamp":
		return n.Value, true
	case "!!int", "!!float":
		if jsonNumber.MatchString(n.Value) {
			return json.Number(n.Value), true
		}
		var number any
		if err := n.Decode(&number); err == nil {
			if text, err := json.Marshal(number); err == nil {
				return json.RawMessage(text), true
			}
		}
		c.fail(n, path, "", "%s is no number that JSON can hold", n.Value)
		return nil, false
	default:
		c.fail(n, path, "", "the tag %s is not known here", n.Tag)
		return nil, false
	}
}

func (c *checker) sequence(path string, n *yaml.Node, t reflect.Type) (any, bool) {
	list := make([]any, 0, len(n.Content))
	good := true
	for i, item := range n.Content {
		value, ok := c.walk(fmt.Sprintf("%s[%d]", path, i), item, t)
		list = append(list, value)
		good = good && ok
	}
	return list, good
}

// mapping reads the fields of a struct, or the keys of a map (t nil: of
// anything). A wrong field is left out, the others stay.
func (c *checker) mapping(path string, n *yaml.Node, t reflect.Type) (any, bool) {
	values := map[string]any{}
	seen := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if key.Tag == "!!merge" {
			c.merge(path, value, t, values)
			continue
		}
		if key.Kind != yaml.ScalarNode {
			c.fail(key, path, "", "has a key that is not plain text")
			continue
		}
		at := child(path, key.Value, t)
		if line := seen[key.Value]; line > 0 {
			c.fail(key, at, "", "is there twice, first in line %d", line)
			continue
		}
		seen[key.Value] = c.first + key.Line
		elem, known := elemOf(t, key.Value)
		if !known {
			c.unknown[path] = true
			c.fail(key, at, c.suggests.hint(path, key.Value, t), "unknown field")
			continue
		}
		if got, ok := c.walk(at, value, elem); ok {
			values[key.Value] = got
		}
		c.lines[at] = c.first + key.Line
	}
	return values, true
}

// merge reads what << brings in; a mapping's own keys win.
func (c *checker) merge(path string, n *yaml.Node, t reflect.Type, into map[string]any) {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if n.Kind == yaml.SequenceNode {
		for _, one := range n.Content {
			c.merge(path, one, t, into)
		}
		return
	}
	merged, _ := c.walk(path, n, t)
	values, ok := merged.(map[string]any)
	if !ok {
		c.fail(n, path, "", "<< brings in what has no fields")
		return
	}
	for key, value := range values {
		if _, there := into[key]; !there {
			into[key] = value
		}
	}
}

// child is the path of a key, as k8s.io/apimachinery's field.Path writes it.
func child(path, key string, t reflect.Type) string {
	switch {
	case t != nil && t.Kind() == reflect.Map:
		return path + "[" + key + "]"
	case path == "":
		return key
	default:
		return path + "." + key
	}
}

// elemOf is the type of a key's value: any (nil) where the mapping is opaque;
// false where a struct has no such field.
func elemOf(t reflect.Type, key string) (reflect.Type, bool) {
	switch {
	case t == nil:
		return nil, true
	case t.Kind() == reflect.Map:
		return t.Elem(), true
	}
	elem, ok := fieldsOf(t)[key]
	return elem, ok
}

// fieldsOf are the fields of a struct by their JSON names, inlined ones too.
func fieldsOf(t reflect.Type) map[string]reflect.Type {
	fields := map[string]reflect.Type{}
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "" && f.Anonymous {
			for inner, elem := range fieldsOf(f.Type) {
				fields[inner] = elem
			}
			continue
		}
		fields[name] = f.Type
	}
	return fields
}
