package message

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/queuemill/queuemill/api/v1alpha1"
	"github.com/queuemill/queuemill/internal/reason"
)

func newReader(t testing.TB, spec v1alpha1.MessageSpec) *Reader {
	t.Helper()
	r, err := NewReader("default", "orders", &spec)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// read reads body as the message m1 and expects one item.
func read(t testing.TB, spec v1alpha1.MessageSpec, body string) Item {
	t.Helper()
	items := newReader(t, spec).Read(Input{ID: "m1", Body: body})
	if len(items) != 1 {
		t.Fatalf("%d items, want 1", len(items))
	}
	return items[0]
}

// env is a variable of an item; what it is not there is "(unset)".
func env(item Item, name string) string {
	for _, v := range item.Env {
		if v.Name == name {
			return v.Value
		}
	}
	return "(unset)"
}

func ptr(s string) *string { return &s }

func TestTextIsHandedOnAsItIs(t *testing.T) {
	item := read(t, v1alpha1.MessageSpec{}, "any \x00\xff text")
	name, hash := RecordName("default", "orders", "m1")
	key := IdempotencyKey("default", "orders", "m1")
	want := Item{
		Name: name, Identity: hash, IdempotencyKey: key, Payload: "any \x00\xff text",
		Env: []EnvVar{
			{"QUEUEMILL_MESSAGE_ID", "m1"},
			{"QUEUEMILL_IDEMPOTENCY_KEY", key},
			{"QUEUEMILL_QUEUEJOB", "orders"},
		},
	}
	if diff := cmp.Diff(want, item); diff != "" {
		t.Error(diff)
	}
}

func TestFieldsBecomeVariables(t *testing.T) {
	const body = `{
		"text": "a \"b\"\n\u00e9 \ud83d\ude00 $(HOME) -rf", "empty": "", "big": 12345678901234567890123, "float": 1.10, "exp": -2E+07,
		"yes": true, "null": null, "object": { "z" : 1, "a": [ 1 , "x y" ] },
		"items": [{"sku": "s0"}, {"sku": "s1"}], "a.b": {"c d": "quoted"}, "": "nameless"
	}`
	for _, tc := range []struct{ path, want string }{
		{"text", "a \"b\"\né 😀 $(HOME) -rf"},
		{"empty", ""},
		{"big", "12345678901234567890123"},
		{"float", "1.10"},
		{"exp", "-2E+07"},
		{"yes", "true"},
		{"object", `{"z":1,"a":[1,"x y"]}`},
		{"object.a", `[1,"x y"]`},
		{"object.a[1]", "x y"},
		{"items[1].sku", "s1"},
		{`["a.b"]["c d"]`, "quoted"},
	} {
		item := read(t, v1alpha1.MessageSpec{Env: []v1alpha1.FieldEnv{{Name: "V", FieldPath: tc.path}}}, body)
		if item.Invalid != nil || env(item, "V") != tc.want {
			t.Errorf("%s = %q (%v), want %q", tc.path, env(item, "V"), item.Invalid, tc.want)
		}
	}
}

func TestMissingFields(t *testing.T) {
	const body = `{"null": null, "number": 1, "list": [1]}`
	for path, detail := range map[string]string{
		"nope":      "field nope is missing",
		"null":      "field null is null",
		"null.x":    `field null.x is missing: "x" is asked of null`,
		"number.x":  `field number.x is missing: "x" is asked of a number`,
		"number[0]": "field number[0] is missing: [0] is asked of a number",
		"list[1]":   "field list[1] is missing: the list has 1 elements",
		"list.x":    `field list.x is missing: "x" is asked of a list`,
	} {
		field := v1alpha1.FieldEnv{Name: "V", FieldPath: path}
		item := read(t, v1alpha1.MessageSpec{Env: []v1alpha1.FieldEnv{field}}, body)
		want := &reason.Cause{Reason: reason.FieldMissing, Detail: detail + " (wanted for V; a default would stand in for it)"}
		if diff := cmp.Diff(want, item.Invalid); diff != "" {
			t.Errorf("%s: %s", path, diff)
		}
		field.Default = ptr("")
		item = read(t, v1alpha1.MessageSpec{Env: []v1alpha1.FieldEnv{field}}, body)
		if item.Invalid != nil || env(item, "V") != "" {
			t.Errorf("%s with a default: %q %v", path, env(item, "V"), item.Invalid)
		}
	}
}

func schemaOf(t testing.TB, text string) *runtime.RawExtension {
	t.Helper()
	if !json.Valid([]byte(text)) {
		t.Fatalf("not JSON: %s", text)
	}
	return &runtime.RawExtension{Raw: []byte(text)}
}
