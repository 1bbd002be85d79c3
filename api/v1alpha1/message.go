package v1alpha1

import (
	"slices"

	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Formats is Format with its default: what Env, Schema and DeduplicationField
// look into is json, a body that nothing looks into is text. What s3Event gives
// is JSON already.
func (m *MessageSpec) Formats() []MessageFormat {
	if n := len(m.Format); n > 0 && !m.Format[n-1].wrapper() {
		return m.Format
	}
	if slices.Contains(m.Format, FormatS3Event) {
		return m.Format
	}
	last := FormatText
	if m.LooksInside() {
		last = FormatJSON
	}
	return append(slices.Clone(m.Format), last)
}

// LooksInside tells whether anything is asked of the body's fields.
func (m *MessageSpec) LooksInside() bool {
	return len(m.Env) > 0 || m.Schema != nil || m.DeduplicationField != ""
}

func (f MessageFormat) wrapper() bool { return f == FormatSNS || f == FormatS3Event }

// Validate says what is wrong with m where it stands alone, as on the command
// line of a worker.
func (m *MessageSpec) Validate(at *field.Path) field.ErrorList { return validateMessage(m, at) }
