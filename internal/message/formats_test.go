package message

import (
	"encoding/json"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/queuemill/queuemill/api/v1alpha1"
	"github.com/queuemill/queuemill/internal/reason"
)

func formats(all ...v1alpha1.MessageFormat) v1alpha1.MessageSpec {
	return v1alpha1.MessageSpec{Format: all}
}

func file(t testing.TB, name string) string {
	t.Helper()
	text, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// inSNS puts a message into an SNS envelope.
func inSNS(t testing.TB, message string) string {
	t.Helper()
	text, err := json.Marshal(map[string]string{"Type": "Notification", "TopicArn": "arn:aws:sns:us-west-2:123456789012:MyTopic", "Message": message})
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestAnSNSEnvelopeIsUnwrapped(t *testing.T) {
	spec := formats(v1alpha1.FormatSNS)
	spec.Env = []v1alpha1.FieldEnv{{Name: "ORDER", FieldPath: "order.id"}, {Name: "TOTAL", FieldPath: "order.total"}}
	sent := map[string]Attribute{
		"own":   {DataType: "String", StringValue: "kept"},
		"store": {DataType: "String", StringValue: "hidden by the envelope's"},
	}
	items := newReader(t, spec).Read(Input{ID: "m1", Body: file(t, "sns.json"), Attributes: sent})
	if len(sent) != 2 || sent["store"].StringValue == "example_corp" {
		t.Errorf("the message's own attributes were written to: %v", sent)
	}
	if len(items) != 1 || items[0].Invalid != nil {
		t.Fatalf("%+v", items)
	}
	item := items[0]
	if item.Payload != `{"order": {"id": "A-1001", "total": 12.50}}` {
		t.Errorf("payload %s", item.Payload)
	}
	wantAttributes := map[string]Attribute{
		"own":                {DataType: "String", StringValue: "kept"},
		"store":              {DataType: "String", StringValue: "example_corp"},
		"price-usd":          {DataType: "Number", StringValue: "210.75"},
		"customer_interests": {DataType: "String.Array", StringValue: `["soccer", "rugby"]`},
		"logo":               {DataType: "Binary", BinaryValue: []byte{1, 2, 3}},
	}
	if diff := cmp.Diff(wantAttributes, item.Attributes); diff != "" {
		t.Error(diff)
	}
	wantEnv := []EnvVar{
		{"QUEUEMILL_MESSAGE_ID", "m1"},
		{"QUEUEMILL_IDEMPOTENCY_KEY", item.IdempotencyKey},
		{"QUEUEMILL_QUEUEJOB", "orders"},
		{"QUEUEMILL_ATTR_CUSTOMER_INTERESTS", `["soccer", "rugby"]`},
		{"QUEUEMILL_ATTR_OWN", "kept"},
		{"QUEUEMILL_ATTR_PRICE_USD", "210.75"},
		{"QUEUEMILL_ATTR_STORE", "example_corp"},
		{"ORDER", "A-1001"},
		{"TOTAL", "12.50"},
	}
	if diff := cmp.Diff(wantEnv, item.Env); diff != "" {
		t.Error(diff)
	}
}

func TestAnSNSMessageMayBeText(t *testing.T) {
	if item := read(t, formats(v1alpha1.FormatSNS), inSNS(t, "hello")); item.Invalid != nil || item.Payload != "hello" {
		t.Errorf("%+v", item)
	}
}

func TestWhatIsNoSNSEnvelope(t *testing.T) {
	const raw = "; if the subscription has raw message delivery on, take sns out of message.format"
	for _, tc := range []struct{ body, want string }{
		{"hello", "the body is not an SNS envelope: line 1, column 1: a value is expected" + raw},
		{`{"order": 1}`, "the body is JSON but not an SNS envelope (its Type is not Notification)" + raw},
		{`{"Type": 7}`, "the body is JSON but not an SNS envelope (its Type is not Notification)" + raw},
		{`["Type"]`, "the body is JSON but not an SNS envelope (its Type is not Notification)" + raw},
		{`{"Type": "Notification"}`, "the SNS envelope has no Message" + raw},
		{`{"Type": "Notification", "Message": {"a": 1}}`, "the SNS envelope has no Message" + raw},
		{
			`{"Type": "Notification", "Message": "", "MessageAttributes": {"a": {"Type": "Binary", "Value": "!"}}}`,
			"the SNS envelope has an attribute without Type and Value, or binary and not base64",
		},
		{
			`{"Type": "Notification", "Message": "", "MessageAttributes": {"a": "b"}}`,
			"the SNS envelope has an attribute without Type and Value, or binary and not base64",
		},
		{file(t, "sns-confirmation.json"), "an SNS SubscriptionConfirmation, which is for a person: this message has the SubscribeURL to visit, or the Token for `aws sns confirm-subscription`"},
	} {
		item := read(t, formats(v1alpha1.FormatSNS), tc.body)
		want := &reason.Cause{Reason: reason.NotJSON, Detail: tc.want}
		if diff := cmp.Diff(want, item.Invalid); diff != "" {
			t.Errorf("%.40q: %s", tc.body, diff)
		}
	}
}

func TestAnS3EventIsOneJobPerRecord(t *testing.T) {
	body := file(t, "s3-put.json")
	for what, spec := range map[string]v1alpha1.MessageSpec{
		"bare": formats(v1alpha1.FormatS3Event), "behind SNS": formats(v1alpha1.FormatSNS, v1alpha1.FormatS3Event),
	} {
		t.Run(what, func(t *testing.T) {
			in := Input{ID: "m1", Body: body}
			if what != "bare" {
				in.Body = inSNS(t, body)
			}
			spec.Env = []v1alpha1.FieldEnv{{Name: "SEQUENCER", FieldPath: "s3.object.sequencer"}}
			items := newReader(t, spec).Read(in)
			if len(items) != 2 {
				t.Fatalf("%d items", len(items))
			}
			for i, want := range [][5]string{
				{"amzn-s3-demo-bucket", "photos/red flower + café.jpg", "1024", "ObjectCreated:Put", "0055AED6DCD90281E5"},
				{"amzn-s3-demo-bucket", "old.jpg", "", "ObjectRemoved:Delete", "0055AED6DCD90281E6"},
			} {
				item := items[i]
				if item.Invalid != nil {
					t.Fatalf("record %d: %+v", i, item.Invalid)
				}
				got := [5]string{env(item, "S3_BUCKET"), env(item, "S3_KEY"), env(item, "S3_SIZE"), env(item, "S3_EVENT"), env(item, "SEQUENCER")}
				if got != want {
					t.Errorf("record %d: %q, want %q", i, got, want)
				}
				if name, _ := RecordName("default", "orders", "m1#"+strconv.Itoa(i)); item.Name != name {
					t.Errorf("record %d is named %s, want %s", i, item.Name, name)
				}
				var record struct{ EventName string }
				if err := json.Unmarshal([]byte(item.Payload), &record); err != nil || record.EventName != want[3] {
					t.Errorf("payload of record %d: %s", i, item.Payload)
				}
			}
			if items[0].IdempotencyKey == items[1].IdempotencyKey {
				t.Error("the records share an idempotency key")
			}
		})
	}
}

func TestAnS3TestEventStartsNothing(t *testing.T) {
	body := file(t, "s3-test.json")
	if items := newReader(t, formats(v1alpha1.FormatS3Event)).Read(Input{ID: "m1", Body: body}); len(items) != 0 {
		t.Errorf("%+v", items)
	}
	if items := newReader(t, formats(v1alpha1.FormatSNS, v1alpha1.FormatS3Event)).Read(Input{ID: "m1", Body: inSNS(t, body)}); len(items) != 0 {
		t.Errorf("behind SNS: %+v", items)
	}
}

func TestWhatIsNoS3Event(t *testing.T) {
	const no = "the body is not an S3 event notification: it has no Records; if SNS stands between, message.format is [sns, s3Event]"
	for _, tc := range []struct{ body, want string }{
		{`{}`, no},
		{`[]`, no},
		{`{"Records": []}`, no},
		{`{"Records": {}}`, no},
		{inSNS(t, file(t, "s3-put.json")), no},
		{file(t, "eventbridge.json"), "the body is not an S3 event notification: it is EventBridge's; read that with message.format [json] and fieldPath detail.object.key"},
		{`{"Records": [7]}`, "Records[0] of the S3 event has no s3.bucket.name or no s3.object.key"},
		{`{"Records": [{"s3": {"bucket": {"name": "b"}, "object": {"key": null}}}]}`, "Records[0] of the S3 event has no s3.bucket.name or no s3.object.key"},
		{`{"Records": [{"s3": {"bucket": {"name": "b"}, "object": {"key": "a%2"}}}]}`, "Records[0].s3.object.key of the S3 event is not URL-encoded"},
		{`hello`, "the body is not JSON: line 1, column 1: a value is expected"},
	} {
		item := read(t, formats(v1alpha1.FormatS3Event), tc.body)
		want := &reason.Cause{Reason: reason.NotJSON, Detail: tc.want}
		if diff := cmp.Diff(want, item.Invalid); diff != "" {
			t.Errorf("%.40q: %s", tc.body, diff)
		}
	}
}

func TestABadRecordDoesNotSpoilTheOthers(t *testing.T) {
	body := `{"Records": [
		{"s3": {"bucket": {"name": "b"}, "object": {"key": "a%00b"}}},
		{"s3": {"bucket": {"name": "b"}, "object": {"key": "a%ffb"}}},
		{"s3": {"bucket": {"name": "b"}, "object": {"key": "fine", "size": 0}}}]}`
	items := newReader(t, formats(v1alpha1.FormatS3Event)).Read(Input{ID: "m1", Body: body})
	if len(items) != 3 || items[2].Invalid != nil || env(items[2], "S3_SIZE") != "0" {
		t.Fatalf("%+v", items)
	}
	for i, want := range []string{
		"the value of S3_KEY holds a NUL byte, which no environment variable can",
		"the value of S3_KEY is not UTF-8",
	} {
		if diff := cmp.Diff(&reason.Cause{Reason: reason.UnusableValue, Detail: want}, items[i].Invalid); diff != "" {
			t.Error(diff)
		}
	}
	names := []string{items[0].Name, items[1].Name, items[2].Name}
	slices.Sort(names)
	if len(slices.Compact(names)) != 3 {
		t.Errorf("names are not distinct: %v", names)
	}
}

func TestAnS3EventOfTooManyRecordsIsOneInvalidItem(t *testing.T) {
	body := `{"Records": [` + strings.Repeat("{},", 1000) + `{}]}`
	item := read(t, formats(v1alpha1.FormatS3Event), body)
	want := &reason.Cause{Reason: reason.UnusableValue, Detail: "the S3 event has 1001 records; 1000 are the most"}
	if diff := cmp.Diff(want, item.Invalid); diff != "" {
		t.Error(diff)
	}
}

func FuzzRead(f *testing.F) {
	for _, name := range []string{"s3-put.json", "s3-test.json", "sns.json", "sns-confirmation.json", "eventbridge.json"} {
		f.Add(file(f, name), "a.b[0]")
		f.Add(inSNS(f, file(f, name)), "order.id")
	}
	f.Add(`{"a":{"b":["`+strings.Repeat("x", 70_000)+`"]}}`, "a.b[0]")
	f.Add(`{"a": "\u0000"}`, "a")
	var specs []v1alpha1.MessageSpec
	for _, layers := range [][]v1alpha1.MessageFormat{
		nil, {v1alpha1.FormatText}, {v1alpha1.FormatJSON}, {v1alpha1.FormatSNS}, {v1alpha1.FormatS3Event}, {v1alpha1.FormatSNS, v1alpha1.FormatS3Event},
	} {
		specs = append(specs, v1alpha1.MessageSpec{Format: layers})
	}
	schema := schemaOf(f, `{"type": ["object", "array"], "maxProperties": 5, "properties": {"a": {"maximum": 10, "multipleOf": 0.5}}}`)
	f.Fuzz(func(t *testing.T, body, path string) {
		for i, spec := range specs {
			if _, err := v1alpha1.ParseFieldPath(path); err == nil && i != 1 {
				spec.Env = []v1alpha1.FieldEnv{{Name: "V", FieldPath: path}}
				spec.DeduplicationField = path
				spec.Schema = schema
			}
			r := newReader(t, spec)
			items := r.Read(Input{ID: "m1", Body: body, Attributes: map[string]Attribute{"a": {DataType: "String", StringValue: body}}})
			seen := map[string]bool{}
			for _, item := range items {
				if seen[item.Name] {
					t.Errorf("two items are named %s", item.Name)
				}
				seen[item.Name] = true
				check(t, item)
			}
			if diff := cmp.Diff(items, r.Read(Input{ID: "m1", Body: body, Attributes: map[string]Attribute{"a": {DataType: "String", StringValue: body}}})); diff != "" {
				t.Errorf("the second read differs: %s", diff)
			}
		}
	})
}

// check says where an item breaks what executors rely on.
func check(t *testing.T, item Item) {
	t.Helper()
	if item.Invalid != nil {
		if item.Env != nil || item.Payload != "" {
			t.Errorf("an invalid item with content: %+v", item)
		}
		if strings.ContainsFunc(item.Invalid.Detail, func(r rune) bool { return r < ' ' }) || len(item.Invalid.Detail) > 2000 {
			t.Errorf("detail %q", item.Invalid.Detail)
		}
		return
	}
	size := 0
	for _, v := range item.Env {
		size += len(v.Name) + len(v.Value) + 2
		if strings.ContainsRune(v.Value, 0) || len(v.Value) > 64<<10 {
			t.Errorf("%s can't be in an environment", v.Name)
		}
	}
	if size > 256<<10 {
		t.Errorf("an environment of %d bytes", size)
	}
}
