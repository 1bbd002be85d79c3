package message

import (
	"fmt"
	"strings"
	"unicode"

	"github.com/queuemill/queuemill/api/v1alpha1"
)

// field is the path of a value in a JSON document.
type field struct {
	path  string
	steps []v1alpha1.PathStep
}

func newField(path string) (field, error) {
	steps, err := v1alpha1.ParseFieldPath(path)
	return field{path, steps}, err
}

// find is the value at the path; missing says why there is none ("" when there
// is). A null counts as missing.
func (f field) find(document jsonText) (value jsonText, missing string) {
	value = document
	for _, step := range f.steps {
		var next jsonText
		var found bool
		if step.Key != "" {
			next, found = value.member(step.Key)
		} else {
			next, found = value.item(step.Index)
		}
		if !found {
			return "", f.explain(value, step)
		}
		value = next
	}
	if value.kind() == kindNull {
		return "", fmt.Sprintf("field %s is null", f.path)
	}
	return value, ""
}

func (f field) explain(parent jsonText, step v1alpha1.PathStep) string {
	kind := parent.kind()
	switch {
	case step.Key == "" && kind == kindArray:
		return fmt.Sprintf("field %s is missing: the list has %d elements", f.path, len(parent.items()))
	case step.Key == "":
		return fmt.Sprintf("field %s is missing: [%d] is asked of %s", f.path, step.Index, kind)
	case kind != kindObject:
		return fmt.Sprintf("field %s is missing: %q is asked of %s", f.path, step.Key, kind)
	}
	return fmt.Sprintf("field %s is missing", f.path)
}

// clip makes hostile text fit for a message to a person: what can't be seen is
// a question mark, and what is long is cut.
func clip(s string) string {
	const most = 200 // bytes
	var out strings.Builder
	for _, r := range s {
		if out.Len() > most {
			return out.String() + "…"
		}
		if !unicode.IsPrint(r) {
			r = '?'
		}
		out.WriteRune(r)
	}
	return out.String()
}
