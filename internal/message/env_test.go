package message

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/queuemill/queuemill/api/v1alpha1"
	"github.com/queuemill/queuemill/internal/reason"
)

func TestValuesNoEnvironmentCanHold(t *testing.T) {
	for _, tc := range []struct{ value, want string }{
		{strings.Repeat("x", 64<<10), ""},
		{strings.Repeat("x", 64<<10+1), "the value of V (field a.b) is larger than 64 KiB; read it from QUEUEMILL_MESSAGE_FILE"},
		{`\u0000`, "the value of V (field a.b) holds a NUL byte, which no environment variable can"},
	} {
		item := read(t, v1alpha1.MessageSpec{Env: []v1alpha1.FieldEnv{{Name: "V", FieldPath: "a.b"}}}, `{"a":{"b":"`+tc.value+`"}}`)
		if tc.want == "" {
			if item.Invalid != nil {
				t.Errorf("%d bytes: %+v", len(tc.value), item.Invalid)
			}
			continue
		}
		if diff := cmp.Diff(&reason.Cause{Reason: reason.UnusableValue, Detail: tc.want}, item.Invalid); diff != "" {
			t.Error(diff)
		}
	}
}

func TestAnEnvironmentIsAtMost256KiB(t *testing.T) {
	var spec v1alpha1.MessageSpec
	for i := range 5 {
		spec.Env = append(spec.Env, v1alpha1.FieldEnv{Name: fmt.Sprintf("V%d", i), FieldPath: "a"})
	}
	if item := read(t, spec, `{"a":"`+strings.Repeat("x", 52_000)+`"}`); item.Invalid != nil {
		t.Errorf("just under: %+v", item.Invalid)
	}
	item := read(t, spec, `{"a":"`+strings.Repeat("x", 60_000)+`"}`)
	want := &reason.Cause{Reason: reason.UnusableValue, Detail: "the variables of the message are larger than 256 KiB together; V4 (field a) is the one that is too much; read large values from QUEUEMILL_MESSAGE_FILE"}
	if diff := cmp.Diff(want, item.Invalid); diff != "" {
		t.Error(diff)
	}
}

func TestAttributesBecomeVariables(t *testing.T) {
	items := newReader(t, v1alpha1.MessageSpec{}).Read(Input{ID: "m1", Body: "x", Attributes: map[string]Attribute{
		"trace-id":  {DataType: "String", StringValue: "t\n1"},
		"Z":         {DataType: "Number.int", StringValue: "7"},
		"a.b":       {DataType: "String", StringValue: "collides"},
		"a-b":       {DataType: "String", StringValue: "collides"},
		"A_B":       {DataType: "Binary", BinaryValue: []byte("collides too")},
		"image":     {DataType: "Binary.png", BinaryValue: []byte{0}},
		"überraum":  {DataType: "String", StringValue: "folded"},
		"multi_one": {DataType: "String", StringValue: "1"},
	}})
	want := []EnvVar{
		{"QUEUEMILL_ATTR_MULTI_ONE", "1"},
		{"QUEUEMILL_ATTR_TRACE_ID", "t\n1"},
		{"QUEUEMILL_ATTR_Z", "7"},
		{"QUEUEMILL_ATTR__BERRAUM", "folded"},
	}
	if diff := cmp.Diff(want, items[0].Env[3:]); diff != "" {
		t.Error(diff)
	}
	if len(items[0].Attributes) != 8 {
		t.Errorf("%d attributes for the file, want all 8", len(items[0].Attributes))
	}
}

func TestABadAttributeIsNamed(t *testing.T) {
	items := newReader(t, v1alpha1.MessageSpec{}).Read(Input{ID: "m1", Body: "x", Attributes: map[string]Attribute{"n": {DataType: "String", StringValue: "\x00"}}})
	want := &reason.Cause{Reason: reason.UnusableValue, Detail: "the value of QUEUEMILL_ATTR_N holds a NUL byte, which no environment variable can"}
	if diff := cmp.Diff(want, items[0].Invalid); diff != "" {
		t.Error(diff)
	}
}

func TestTheProducersKeyIsTheIdentity(t *testing.T) {
	spec := v1alpha1.MessageSpec{DeduplicationField: "order.id"}
	name := func(id, body string) string {
		t.Helper()
		items := newReader(t, spec).Read(Input{ID: id, Body: body})
		if items[0].Invalid != nil {
			t.Fatal(items[0].Invalid)
		}
		return items[0].Name
	}
	first := name("m1", `{"order":{"id":"A-1001"}}`)
	if other := name("m2", `{"order":{"id":"A-1001"},"more":1}`); other != first {
		t.Error("the same key, another name")
	}
	if name("m1", `{"order":{"id":"A-1002"}}`) == first {
		t.Error("another key, the same name")
	}
	if name("m1", `{"order":{"id":12345678901234567890123}}`) == name("m1", `{"order":{"id":12345678901234567890124}}`) {
		t.Error("large numbers run together")
	}
	if byID, _ := RecordName("default", "orders", "A-1001"); byID == first {
		t.Error("a key takes the place of another message's ID")
	}
}

func TestAMessageWithoutItsKeyIsNamedByItsID(t *testing.T) {
	want, _ := RecordName("default", "orders", "m1")
	for body, detail := range map[string]string{
		`{}`:           "deduplicationField: field id is missing",
		`{"id": null}`: "deduplicationField: field id is null",
		`{"id": ""}`:   "deduplicationField: field id is empty",
	} {
		item := read(t, v1alpha1.MessageSpec{DeduplicationField: "id"}, body)
		if item.Name != want {
			t.Errorf("%s: named %s, want %s", body, item.Name, want)
		}
		if diff := cmp.Diff(&reason.Cause{Reason: reason.FieldMissing, Detail: detail}, item.Invalid); diff != "" {
			t.Error(diff)
		}
	}
}

func TestAnInvalidMessageKeepsTheNameOfItsKey(t *testing.T) {
	spec := v1alpha1.MessageSpec{DeduplicationField: "id"}
	valid := read(t, spec, `{"id": 7}`)
	spec.Env = []v1alpha1.FieldEnv{{Name: "V", FieldPath: "v"}}
	if invalid := read(t, spec, `{"id": 7}`); invalid.Invalid == nil || invalid.Name != valid.Name || invalid.IdempotencyKey != valid.IdempotencyKey {
		t.Errorf("%+v, want the name of %+v", invalid, valid)
	}
}
