package manifest

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Error is one thing that is wrong with a manifest.
type Error struct {
	File  string
	Line  int    // from 1; 0: the file as a whole
	Field string // spec.message.env[0].name; "" where no field is concerned
	Msg   string
	Hint  string // what to do, "" where Msg says it
}

// Error is "file:line: field: what is wrong", the hint on a line of its own.
func (e *Error) Error() string {
	var s strings.Builder
	s.WriteString(e.File)
	if e.Line > 0 {
		fmt.Fprintf(&s, ":%d", e.Line)
	}
	s.WriteString(": ")
	if e.Field != "" {
		s.WriteString(e.Field + ": ")
	}
	s.WriteString(e.Msg)
	if e.Hint != "" {
		s.WriteString("\n    " + e.Hint)
	}
	return s.String()
}

// Warning is something that is allowed and probably not meant.
type Warning Error

func (w Warning) String() string { return (*Error)(&w).Error() }

// join makes one error of all, in the order of lines and fields; nil of none.
func join(errs []*Error) error {
	slices.SortStableFunc(errs, func(a, b *Error) int {
		if a.File != b.File {
			return 0 // files stay in the order in which they were given
		}
		return cmp.Or(cmp.Compare(a.Line, b.Line), strings.Compare(a.Field, b.Field))
	})
	var all []error
	for _, e := range errs {
		all = append(all, e)
	}
	return errors.Join(all...)
}

// describe words what Validate found.
func describe(e *field.Error) string {
	switch e.Type {
	case field.ErrorTypeRequired:
		return "is missing: " + e.Detail
	case field.ErrorTypeDuplicate:
		return fmt.Sprintf("%q is there twice", fmt.Sprint(e.BadValue))
	case field.ErrorTypeNotSupported:
		return fmt.Sprintf("%q is unknown; %s", fmt.Sprint(e.BadValue), e.Detail)
	case field.ErrorTypeInvalid:
		value := fmt.Sprint(e.BadValue)
		if _, ok := e.BadValue.(string); ok {
			value = fmt.Sprintf("%q", value)
		}
		return value + ": " + e.Detail
	default:
		return e.Detail
	}
}
