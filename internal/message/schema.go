package message

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"golang.org/x/text/language"
	textmessage "golang.org/x/text/message"

	"github.com/queuemill/queuemill/internal/reason"
)

// maxDigits is how many digits a number that a schema looks at may have, and
// how large its exponent may be: the library compares numbers exactly, and
// 1e999999999 written out fills the memory.
const maxDigits = 1000

// schemaURL is the name under which the one schema is known to the library.
const schemaURL = schemaBase + "message"

// schemaBase is what a relative $ref is taken from.
const schemaBase = "schema:///"

// english words the library's findings. It is safe for concurrent use.
var english = textmessage.NewPrinter(language.English)

// schema checks documents against one JSON Schema, 2020-12 unless $schema says
// otherwise. "format" is asserted in all drafts: who writes "format: email"
// means it. Patterns are Go's (RE2), whose time is linear in the text.
type schema struct {
	compiled *jsonschema.Schema
}

// compileSchema compiles a schema. A $ref to anything but the schema itself and
// the published meta-schemas is an error: nothing is ever loaded.
func compileSchema(raw []byte) (*schema, error) {
	text, err := parseJSON(string(raw), false)
	if err != nil {
		return nil, err
	}
	if hugeNumber(text) {
		return nil, fmt.Errorf("has a number of more than %d digits", maxDigits)
	}
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	c.AssertFormat()
	c.UseLoader(noLoader{})
	if err := c.AddResource(schemaURL, text.decode()); err != nil {
		return nil, fmt.Errorf("is not usable: %w", err)
	}
	compiled, err := c.Compile(schemaURL)
	var load *jsonschema.LoadURLError
	var invalid *jsonschema.SchemaValidationError
	switch {
	case errors.As(err, &load):
		return nil, fmt.Errorf("$ref to %s: nothing outside the schema is loaded; put it under $defs and use #/$defs/NAME", strings.TrimPrefix(load.URL, schemaBase))
	case errors.As(err, &invalid):
		return nil, fmt.Errorf("is not a JSON Schema: %s", findings(invalid.Err))
	case err != nil:
		return nil, fmt.Errorf("is not a JSON Schema: %s", strings.ReplaceAll(err.Error(), schemaURL, ""))
	}
	return &schema{compiled}, nil
}

type noLoader struct{}

func (noLoader) Load(string) (any, error) { return nil, errors.New("loading is off") }

// check is nil where document fits. Where confidential, the cause names only
// what the schema's author wrote, nothing of the document.
func (s *schema) check(document jsonText, confidential bool) *reason.Cause {
	if hugeNumber(document) {
		return causef(reason.SchemaMismatch, "a number has more than %d digits, too many to compare", maxDigits)
	}
	var invalid *jsonschema.ValidationError
	switch err := s.compiled.Validate(document.decode()); {
	case err == nil:
		return nil
	case !errors.As(err, &invalid):
		return causef(reason.SchemaMismatch, "the body could not be checked: %s", clip(err.Error()))
	case confidential:
		return causef(reason.SchemaMismatch, "the body does not fit the schema at %s", keywords(invalid))
	default:
		return causef(reason.SchemaMismatch, "%s", findings(invalid))
	}
}

// findings words the first few findings of a validation.
func findings(err error) string {
	const most = 3
	var invalid *jsonschema.ValidationError
	if !errors.As(err, &invalid) {
		return clip(err.Error())
	}
	all := leaves(invalid)
	var words []string
	for _, leaf := range all[:min(most, len(all))] {
		words = append(words, fmt.Sprintf("%s: %s", clip(place(leaf.InstanceLocation)), clip(leaf.ErrorKind.LocalizedString(english))))
	}
	if more := len(all) - most; more > 0 {
		words = append(words, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(words, "; ")
}

// leaves are the findings that have no cause of their own, in the order of
// where they are: the library finds them in the order of a map.
func leaves(err *jsonschema.ValidationError) (all []*jsonschema.ValidationError) {
	var collect func(*jsonschema.ValidationError)
	collect = func(e *jsonschema.ValidationError) {
		if len(e.Causes) == 0 {
			all = append(all, e)
		}
		for _, cause := range e.Causes {
			collect(cause)
		}
	}
	collect(err)
	slices.SortFunc(all, func(a, b *jsonschema.ValidationError) int {
		if c := slices.Compare(a.InstanceLocation, b.InstanceLocation); c != 0 {
			return c
		}
		if c := strings.Compare(a.SchemaURL, b.SchemaURL); c != 0 {
			return c
		}
		return slices.Compare(a.ErrorKind.KeywordPath(), b.ErrorKind.KeywordPath())
	})
	return all
}

// place is a location in the document, as message.env writes paths.
func place(location []string) string {
	if len(location) == 0 {
		return "it"
	}
	var path strings.Builder
	for _, step := range location {
		if _, err := strconv.ParseUint(step, 10, 31); err == nil {
			path.WriteString("[" + step + "]")
			continue
		}
		if path.Len() > 0 {
			path.WriteByte('.')
		}
		path.WriteString(step)
	}
	return path.String()
}

// keywords are the places in the schema that findings come from, the first few.
func keywords(err *jsonschema.ValidationError) string {
	const most = 3
	var all []string
	for _, leaf := range leaves(err) {
		_, fragment, _ := strings.Cut(leaf.SchemaURL, "#")
		place := "#" + strings.Join(append([]string{fragment}, leaf.ErrorKind.KeywordPath()...), "/")
		if !slices.Contains(all, place) {
			all = append(all, place)
		}
		if len(all) == most {
			break
		}
	}
	return strings.Join(all, ", ")
}

// hugeNumber tells whether t has a number that can't be compared exactly.
func hugeNumber(t jsonText) bool {
	p := parser{text: string(t)}
	for p.pos < len(p.text) {
		switch c := p.peek(); {
		case c == '"':
			_, _ = p.string()
		case c == '-' || isDigit(c):
			start := p.pos
			_ = p.number()
			digits, exponent := p.text[start:p.pos], ""
			if i := strings.IndexAny(digits, "eE"); i >= 0 {
				digits, exponent = digits[:i], digits[i+1:]
			}
			e, err := strconv.Atoi(cmp.Or(exponent, "0"))
			if err != nil || max(e, -e) > maxDigits || len(digits) > maxDigits {
				return true
			}
		default:
			p.pos++
		}
	}
	return false
}
