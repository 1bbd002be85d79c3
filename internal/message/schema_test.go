package message

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/queuemill/queuemill/api/v1alpha1"
	"github.com/queuemill/queuemill/internal/reason"
)

const orderSchema = `{
	"type": "object", "required": ["id"], "additionalProperties": false,
	"properties": {
		"id": {"type": "string", "format": "uuid"},
		"mail": {"format": "email"},
		"total": {"type": "number", "maximum": 10000000000000000000000000000001},
		"items": {"type": "array", "items": {"$ref": "#/$defs/item"}}
	},
	"$defs": {"item": {"type": "object", "properties": {"sku": {"pattern": "^[A-Z]+$"}}}}
}`

const orderID = `"id": "22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324"`

func TestTheSchemaIsChecked(t *testing.T) {
	for _, tc := range []struct{ body, want string }{
		{`{` + orderID + `}`, ""},
		{`{` + orderID + `, "total": 10000000000000000000000000000000, "items": [{"sku": "AB"}]}`, ""},
		{`{` + orderID + `, "total": 10000000000000000000000000000002}`, "total: maximum: got 1×10³¹, want 1×10³¹"},
		{`{` + orderID + `, "total": 1e999999999}`, "a number has more than 1000 digits, too many to compare"},
		{`{` + orderID + `, "total": 1e-1001}`, "a number has more than 1000 digits, too many to compare"},
		{`{` + orderID + `, "total": ` + strings.Repeat("1", 1001) + `}`, "a number has more than 1000 digits, too many to compare"},
		{`[]`, "it: got array, want object"},
		{`{}`, "it: missing property 'id'"},
		{`{"id": "x"}`, "id: 'x' is not valid uuid: must have 5 elements"},
		{`{` + orderID + `, "mail": "nobody"}`, "mail: 'nobody' is not valid email: missing @"},
		{`{` + orderID + `, "extra\u001b[2J": 1}`, `it: additional properties 'extra\x1b[2J' not allowed`},
		{`{` + orderID + `, "items": [{"sku": "AB"}, {"sku": "ab"}]}`, "items[1].sku: 'ab' does not match pattern '^[A-Z]+$'"},
		{`{"id": 1, "mail": "a", "total": "x", "items": 3, "more": null}`, ""},
	} {
		item := read(t, v1alpha1.MessageSpec{Schema: schemaOf(t, orderSchema)}, tc.body)
		switch {
		case strings.Contains(tc.body, "more"):
			if item.Invalid == nil || !strings.HasSuffix(item.Invalid.Detail, "; and 2 more") {
				t.Errorf("%s: %+v", tc.body, item.Invalid)
			}
		case tc.want == "":
			if item.Invalid != nil {
				t.Errorf("%s: %+v", tc.body, item.Invalid)
			}
		default:
			if diff := cmp.Diff(&reason.Cause{Reason: reason.SchemaMismatch, Detail: tc.want}, item.Invalid); diff != "" {
				t.Errorf("%.60s: %s", tc.body, diff)
			}
		}
	}
}

func TestNothingOfAConfidentialBodyIsSaid(t *testing.T) {
	for _, body := range []string{
		`{"id": "secret"}`, `{` + orderID + `, "secret": 1}`, `{` + orderID + `, "items": [{"sku": "secret"}]}`,
		`{"secret": 1, "secret": 2}`, `{"secret": secret}`, `"secret`, `{"id": 1, "secret": {"x": "secret"}}`,
	} {
		item := read(t, v1alpha1.MessageSpec{Schema: schemaOf(t, orderSchema), Confidential: true}, body)
		if item.Invalid == nil || strings.Contains(item.Invalid.Detail, "secret") {
			t.Errorf("%s: %+v", body, item.Invalid)
		}
	}
	item := read(t, v1alpha1.MessageSpec{Schema: schemaOf(t, orderSchema), Confidential: true}, `{`+orderID+`, "items": [{"sku": "secret"}]}`)
	want := &reason.Cause{Reason: reason.SchemaMismatch, Detail: "the body does not fit the schema at #/$defs/item/properties/sku/pattern"}
	if diff := cmp.Diff(want, item.Invalid); diff != "" {
		t.Error(diff)
	}
}

func TestOtherDraftsAreTakenByTheirName(t *testing.T) {
	spec := v1alpha1.MessageSpec{Schema: schemaOf(t, `{"$schema": "http://json-schema.org/draft-07/schema#", "definitions": {"a": {"type": "number"}}, "items": [{"$ref": "#/definitions/a"}]}`)}
	if item := read(t, spec, `["x"]`); item.Invalid == nil {
		t.Error("draft 7's items as a list is not checked")
	}
	if item := read(t, spec, `[1, "x"]`); item.Invalid != nil {
		t.Errorf("%+v", item.Invalid)
	}
}

func TestSchemasThatAreRefused(t *testing.T) {
	for _, tc := range []struct{ schema, want string }{
		{`{"type": "strin"}`, "message.schema: is not a JSON Schema: type: value must be one of 'array', 'boolean', 'integer', 'null', 'number', 'object', 'string'; type: got string, want array"},
		{`{"$ref": "https://example.com/s.json"}`, "message.schema: $ref to https://example.com/s.json: nothing outside the schema is loaded; put it under $defs and use #/$defs/NAME"},
		{`{"$ref": "file:///etc/passwd"}`, "message.schema: $ref to file:///etc/passwd: nothing outside the schema is loaded; put it under $defs and use #/$defs/NAME"},
		{`{"$ref": "#/$defs/none"}`, `message.schema: is not a JSON Schema: json-pointer in "#/$defs/none" not found`},
		{`{"$ref": "other.json"}`, "message.schema: $ref to other.json: nothing outside the schema is loaded; put it under $defs and use #/$defs/NAME"},
		{`{"maximum": 1e999999999}`, "message.schema: has a number of more than 1000 digits"},
		{`{"a": 1, "a": 2}`, `message.schema: line 1, column 10: the key "a" is there twice in one object`},
		{`{"pattern": "(?=x)"}`, "message.schema: is not a JSON Schema: pattern: '(?=x)' is not valid regex: error parsing regexp: invalid or unsupported Perl syntax: `(?=`"},
		{`{"$schema": "https://example.com/own"}`, "message.schema: $ref to https://example.com/own: nothing outside the schema is loaded; put it under $defs and use #/$defs/NAME"},
	} {
		_, err := NewReader("", "q", &v1alpha1.MessageSpec{Schema: &runtime.RawExtension{Raw: []byte(tc.schema)}})
		var fieldErr *FieldError
		if !errors.As(err, &fieldErr) || fieldErr.Field != "schema" || err.Error() != tc.want {
			t.Errorf("%s:\ngot  %v\nwant %s", tc.schema, err, tc.want)
		}
	}
}

func TestWrongPathsAreRefused(t *testing.T) {
	for want, spec := range map[string]v1alpha1.MessageSpec{
		"env[1].fieldPath":   {Env: []v1alpha1.FieldEnv{{Name: "A", FieldPath: "a"}, {Name: "B", FieldPath: "b["}}},
		"deduplicationField": {DeduplicationField: "a b"},
	} {
		_, err := NewReader("", "q", &spec)
		var fieldErr *FieldError
		if !errors.As(err, &fieldErr) || fieldErr.Field != want {
			t.Errorf("%v, want one of %s", err, want)
		}
	}
}
