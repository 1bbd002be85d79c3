package embedded

import (
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/queuemill/queuemill/internal/message"
)

func TestNewQueueHasTheDefaultsOfSQS(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, b *Broker) {
		standard := map[string]string{
			"QueueArn": "arn:aws:sqs:us-east-1:000000000000:q", "DelaySeconds": "0", "MaximumMessageSize": "1048576",
			"MessageRetentionPeriod": "345600", "ReceiveMessageWaitTimeSeconds": "0", "VisibilityTimeout": "30", "SqsManagedSseEnabled": "true",
			"ApproximateNumberOfMessages": "0", "ApproximateNumberOfMessagesNotVisible": "0", "ApproximateNumberOfMessagesDelayed": "0",
			"CreatedTimestamp": "946684800", "LastModifiedTimestamp": "946684800", // when a bubble's time begins
		}
		if diff := cmp.Diff(standard, createQueue(t, b, "q", nil).Attributes()); diff != "" {
			t.Error(diff)
		}
		fifo := maps.Clone(standard)
		maps.Copy(fifo, map[string]string{
			"QueueArn": "arn:aws:sqs:us-east-1:000000000000:q.fifo", "FifoQueue": "true",
			"ContentBasedDeduplication": "false", "DeduplicationScope": "queue", "FifoThroughputLimit": "perQueue",
		})
		if diff := cmp.Diff(fifo, createQueue(t, b, "q.fifo", nil).Attributes()); diff != "" {
			t.Error(diff)
		}
	})
}

func TestAttributesAreRefusedAsSQSDoes(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, b *Broker) {
		q, f := createQueue(t, b, "q", nil), createQueue(t, b, "f.fifo", nil)
		closed := createQueue(t, b, "closed", map[string]string{"RedriveAllowPolicy": `{"redrivePermission":"denyAll"}`})
		chosen := createQueue(t, b, "chosen", map[string]string{"RedriveAllowPolicy": `{"redrivePermission":"byQueue","sourceQueueArns":["` + q.ARN() + `"]}`})
		redrive := func(arn, max string) string {
			return `{"deadLetterTargetArn":"` + arn + `","maxReceiveCount":` + max + `}`
		}
		for _, c := range []struct {
			q           *Queue
			name, value string
			code        Code
			text        string
		}{
			{q, "DelaySeconds", "901", CodeInvalidAttributeValue, "Invalid value for the parameter DelaySeconds."},
			{q, "DelaySeconds", "900", "", ""},
			{q, "DelaySeconds", "+5", CodeInvalidAttributeValue, ""},
			{q, "DelaySeconds", "", CodeInvalidAttributeValue, ""},
			{q, "MaximumMessageSize", "1023", CodeInvalidAttributeValue, ""},
			{q, "MaximumMessageSize", "1048577", CodeInvalidAttributeValue, ""},
			{q, "MessageRetentionPeriod", "59", CodeInvalidAttributeValue, ""},
			{q, "MessageRetentionPeriod", "1209600", "", ""},
			{q, "ReceiveMessageWaitTimeSeconds", "21", CodeInvalidAttributeValue, ""},
			{q, "VisibilityTimeout", "43201", CodeInvalidAttributeValue, ""},
			{q, "KmsDataKeyReusePeriodSeconds", "59", CodeInvalidAttributeValue, ""},
			{q, "SqsManagedSseEnabled", "maybe", CodeInvalidAttributeValue, ""},
			{q, "Policy", "{", CodeInvalidAttributeValue, ""},
			{q, "Colour", "red", CodeInvalidAttributeName, "Unknown Attribute Colour."},
			{q, "QueueArn", "x", CodeInvalidAttributeName, ""},
			{q, "FifoQueue", "true", CodeInvalidAttributeName, "Unknown Attribute FifoQueue."},
			{f, "FifoQueue", "true", CodeInvalidAttributeName, "Unknown Attribute FifoQueue."},
			{q, "ContentBasedDeduplication", "true", CodeInvalidAttributeName, "Unknown Attribute ContentBasedDeduplication."},
			{f, "ContentBasedDeduplication", "True", "", ""},
			{f, "DeduplicationScope", "world", CodeInvalidAttributeValue, ""},
			{f, "FifoThroughputLimit", "perMessageGroupId", CodeInvalidAttributeValue, "DeduplicationScope is messageGroup"},
			{q, "RedrivePolicy", "[", CodeInvalidParameterValue, "not a valid JSON map"},
			{q, "RedrivePolicy", `{"maxReceiveCount":1}`, CodeInvalidParameterValue, "mandatory attribute: deadLetterTargetArn"},
			{q, "RedrivePolicy", `{"deadLetterTargetArn":"x"}`, CodeInvalidParameterValue, "mandatory attribute: maxReceiveCount"},
			{q, "RedrivePolicy", redrive(chosen.ARN(), "0"), CodeInvalidParameterValue, "from 1 to 1000"},
			{q, "RedrivePolicy", redrive(chosen.ARN(), "1.5"), CodeInvalidParameterValue, "from 1 to 1000"},
			{q, "RedrivePolicy", redrive("arn:aws:sqs:us-east-1:000000000000:none", "1"), CodeInvalidParameterValue, "Dead letter target does not exist."},
			{q, "RedrivePolicy", redrive(f.ARN(), "1"), CodeInvalidParameterValue, "same type of queue"},
			{q, "RedrivePolicy", redrive(q.ARN(), "1"), CodeInvalidParameterValue, "its own"},
			{q, "RedrivePolicy", redrive(closed.ARN(), "1"), CodeInvalidParameterValue, "RedriveAllowPolicy"},
			{q, "RedrivePolicy", redrive(chosen.ARN(), `"1000"`), "", ""},
			{closed, "RedrivePolicy", redrive(chosen.ARN(), "1"), CodeInvalidParameterValue, "RedriveAllowPolicy"},
			{q, "RedrivePolicy", "", "", ""},
			{q, "RedriveAllowPolicy", `{"redrivePermission":"some"}`, CodeInvalidParameterValue, "allowAll, denyAll or byQueue"},
			{q, "RedriveAllowPolicy", `{"redrivePermission":"byQueue"}`, CodeInvalidParameterValue, "1 to 10"},
			{q, "RedriveAllowPolicy", `{"redrivePermission":"allowAll","sourceQueueArns":["a"]}`, CodeInvalidParameterValue, ""},
		} {
			err := c.q.SetAttributes(map[string]string{c.name: c.value})
			if errCode(err) != c.code || err != nil && !strings.Contains(err.Error(), c.text) {
				t.Errorf("%s: %s = %q: %v, want %s … %s", c.q.name, c.name, c.value, err, c.code, c.text)
			}
		}
		if v, ok := q.Attributes()["RedrivePolicy"]; ok {
			t.Errorf("the redrive policy was reset, and is %s", v)
		}
	})
}

func TestOneKindOfEncryptionAtATime(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, b *Broker) {
		q := createQueue(t, b, "q", map[string]string{"KmsMasterKeyId": "alias/mine"})
		if a := q.Attributes(); a["SqsManagedSseEnabled"] != "false" || a["KmsDataKeyReusePeriodSeconds"] != "300" {
			t.Errorf("%v", a)
		}
		if err := q.SetAttributes(map[string]string{"SqsManagedSseEnabled": "true"}); err != nil {
			t.Fatal(err)
		}
		if a := q.Attributes(); a["KmsMasterKeyId"] != "" {
			t.Errorf("%v", a)
		}
		if err := q.SetAttributes(map[string]string{"SqsManagedSseEnabled": "true", "KmsMasterKeyId": "x"}); errCode(err) != CodeInvalidAttributeValue {
			t.Errorf("both: %v", err)
		}
	})
}

func TestCreatingAgain(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, b *Broker) {
		q := createQueue(t, b, "q", map[string]string{"VisibilityTimeout": "60"})
		for _, same := range []map[string]string{nil, {"VisibilityTimeout": "60"}, {"DelaySeconds": "0"}} {
			if again, err := b.CreateQueue("", "q", same, nil); err != nil || again != q {
				t.Errorf("%v: %v", same, err)
			}
		}
		_, err := b.CreateQueue("", "q", map[string]string{"VisibilityTimeout": "61"}, nil)
		if errCode(err) != CodeQueueNameExists || !strings.Contains(err.Error(), "VisibilityTimeout") {
			t.Errorf("%v", err)
		}
		if other, err := b.CreateQueue("eu-west-1", "q", map[string]string{"VisibilityTimeout": "61"}, nil); err != nil || other == q {
			t.Errorf("in another region: %v", err)
		}
		for name, attributes := range map[string]map[string]string{
			"": nil, "a b": nil, strings.Repeat("x", 81): nil, "q.fifo": nil, "plain": {"FifoQueue": "true"}, ".fifo": {"FifoQueue": "true"}, "ü": nil,
		} {
			if _, err := b.CreateQueue("", name, attributes, nil); errCode(err) != CodeInvalidParameterValue {
				t.Errorf("name %q %v: %v", name, attributes, err)
			}
		}
		if _, err := b.CreateQueue("", strings.Repeat("x", 80), nil, nil); err != nil {
			t.Error(err)
		}
	})
}

func TestTags(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, b *Broker) {
		q, err := b.CreateQueue("", "q", nil, map[string]string{"a": "1", "b": "2"})
		if err != nil {
			t.Fatal(err)
		}
		if err := q.Tag(map[string]string{"b": "3", "c": ""}); err != nil {
			t.Fatal(err)
		}
		if err := q.Untag([]string{"a", "none"}); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(map[string]string{"b": "3", "c": ""}, q.Tags()); diff != "" {
			t.Error(diff)
		}
		many := map[string]string{}
		for i := range 49 {
			many[fmt.Sprint(i)] = ""
		}
		for _, tags := range []map[string]string{many, {"": "x"}, {"aws:x": "y"}, {strings.Repeat("k", 129): ""}} {
			if err := q.Tag(tags); errCode(err) != CodeInvalidParameterValue {
				t.Errorf("%d tags: %v", len(tags), err)
			}
		}
	})
}

func TestMessagesAreRefusedAsSQSDoes(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, b *Broker) {
		q := createQueue(t, b, "q", nil)
		f := createQueue(t, b, "f.fifo", nil)
		attribute := func(name, kind, value string) SendEntry {
			return SendEntry{Body: "b", Attributes: map[string]message.Attribute{name: {DataType: kind, StringValue: value}}}
		}
		eleven := map[string]message.Attribute{}
		for i := range 11 {
			eleven[fmt.Sprint(i)] = message.Attribute{DataType: "String", StringValue: "x"}
		}
		delay := func(n int) *int { return &n }
		for _, c := range []struct {
			q     *Queue
			entry SendEntry
			code  Code
		}{
			{q, SendEntry{}, CodeMissingParameter},
			{q, SendEntry{Body: "a\tb\r\nü\U0001F600\uFFFD"}, ""},
			{q, SendEntry{Body: "a\x00"}, CodeInvalidMessageContents},
			{q, SendEntry{Body: "a\uFFFE"}, CodeInvalidMessageContents},
			{q, SendEntry{Body: "\xff"}, CodeInvalidMessageContents},
			{q, SendEntry{Body: "\xed\xa0\x80"}, CodeInvalidMessageContents},
			{q, SendEntry{Body: strings.Repeat("x", 1<<20)}, ""},
			{q, SendEntry{Body: strings.Repeat("x", 1<<20+1)}, CodeInvalidParameterValue},
			{q, SendEntry{Body: strings.Repeat("x", 1<<20-7), Attributes: map[string]message.Attribute{"n": {DataType: "String", StringValue: "v"}}}, CodeInvalidParameterValue},
			{q, SendEntry{Body: "b", Attributes: eleven}, CodeInvalidParameterValue},
			{q, attribute("ok-1_a.b", "String.label", "x"), ""},
			{q, attribute("AWS.x", "String", "x"), CodeInvalidParameterValue},
			{q, attribute("a..b", "String", "x"), CodeInvalidParameterValue},
			{q, attribute("ä", "String", "x"), CodeInvalidParameterValue},
			{q, attribute("a", "", "x"), CodeInvalidParameterValue},
			{q, attribute("a", "Float", "x"), CodeInvalidParameterValue},
			{q, attribute("a", "String", ""), CodeInvalidParameterValue},
			{q, attribute("a", "Binary", "x"), CodeInvalidParameterValue},
			{q, attribute("a", "Number", "1e3"), ""},
			{q, attribute("a", "Number", "0x1"), CodeInvalidParameterValue},
			{q, attribute("a", "Number", "NaN"), CodeInvalidParameterValue},
			{q, attribute("a", "String", "\x01"), CodeInvalidMessageContents},
			{q, SendEntry{Body: "b", SystemAttributes: map[string]message.Attribute{"Other": {DataType: "String", StringValue: "x"}}}, CodeInvalidParameterValue},
			{q, SendEntry{Body: "b", DelaySeconds: delay(901)}, CodeInvalidParameterValue},
			{q, SendEntry{Body: "b", DeduplicationID: "x"}, CodeInvalidParameterValue},
			{q, SendEntry{Body: "b", GroupID: "a b"}, CodeInvalidParameterValue},
			{f, SendEntry{Body: "b", DeduplicationID: "x"}, CodeMissingParameter},
			{f, SendEntry{Body: "b", GroupID: "g"}, CodeInvalidParameterValue},
			{f, SendEntry{Body: "b", GroupID: strings.Repeat("g", 129), DeduplicationID: "x"}, CodeInvalidParameterValue},
			{f, SendEntry{Body: "b", GroupID: "g", DeduplicationID: "x", DelaySeconds: delay(1)}, CodeInvalidParameterValue},
			{f, SendEntry{Body: "b", GroupID: "g", DeduplicationID: "x", DelaySeconds: delay(0)}, ""},
		} {
			if r := c.q.Send(t.Context(), []SendEntry{c.entry}); errCode(r[0].Err) != c.code {
				t.Errorf("%.60q: %v, want %s", fmt.Sprint(c.entry), r[0].Err, c.code)
			}
		}
	})
}
