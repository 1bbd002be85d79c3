package message

import (
	"fmt"
	"strings"
	"testing"

	"github.com/queuemill/queuemill/api/v1alpha1"
)

// BenchmarkRead reads bodies of 1 KiB, as the queue's benches have them, and
// the ones that someone would send to keep the reader busy.
func BenchmarkRead(b *testing.B) {
	plain := fmt.Sprintf(`{"target": "example.com", "duration": 10, "options": {"a": [1, 2, 3]}, "text": %q}`, strings.Repeat("x", 940))
	fields := []v1alpha1.FieldEnv{{Name: "TARGET", FieldPath: "target"}, {Name: "A", FieldPath: "options.a[2]"}}
	schema := schemaOf(b, `{"type": "object", "required": ["target"], "properties": {"target": {"type": "string", "maxLength": 253}}}`)
	unique := schemaOf(b, `{"uniqueItems": true}`)
	list := func(item string) string { return "[" + strings.Repeat(item+",", 1<<20/(len(item)+1)-1) + item + "]" }
	var distinct []string
	for i := range 140_000 {
		distinct = append(distinct, fmt.Sprint(i))
	}
	for _, bc := range []struct {
		name string
		spec v1alpha1.MessageSpec
		body string
	}{
		{"1KiB/text", v1alpha1.MessageSpec{}, plain},
		{"1KiB/fields", v1alpha1.MessageSpec{Env: fields}, plain},
		{"1KiB/schema", v1alpha1.MessageSpec{Env: fields, Schema: schema}, plain},
		{"1MiB/brackets", v1alpha1.MessageSpec{DeduplicationField: "[100]"}, list("[]")},
		{"1MiB/objects", v1alpha1.MessageSpec{DeduplicationField: "[100]"}, list(`{"a":1,"b":2}`)},
		{"1MiB/records", formats(v1alpha1.FormatS3Event), `{"Records":` + list("{}") + `}`},
		{"1MiB/unique", v1alpha1.MessageSpec{Schema: unique}, "[" + strings.Join(distinct, ",") + "]"},
		{"1MiB/unique objects", v1alpha1.MessageSpec{Schema: unique}, `[{"a":` + strings.Join(distinct[:90_000], `},{"a":`) + "}]"},
		{"1MiB/misfits", v1alpha1.MessageSpec{Schema: schemaOf(b, `{"items": {"type": "string"}}`)}, list("1")},
		{"1MiB/escapes", v1alpha1.MessageSpec{Env: fields}, `{"target":"` + strings.Repeat(`\u00e9`, 170_000) + `"}`},
	} {
		r := newReader(b, bc.spec)
		b.Run(bc.name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(bc.body)))
			for b.Loop() {
				r.Read(Input{ID: "22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324", Body: bc.body})
			}
		})
	}
}
