package message

import (
	"net/url"

	"github.com/queuemill/queuemill/internal/reason"
)

// maxRecords is how many records one event notification may have. S3 sends
// one, a forwarder that gathers events some tens.
const maxRecords = 1000

// splitS3 makes one content of each record of an S3 event notification
// (docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html),
// none of the test event that S3 sends when notifications are set up.
func splitS3(c content) []content {
	if stringMember(c.document, "Event") == "s3:TestEvent" {
		return nil
	}
	list, _ := c.document.member("Records")
	if list == "" || list.kind() != kindArray || len(list.items()) == 0 {
		hint := "it has no Records; if SNS stands between, message.format is [sns, s3Event]"
		if isEventBridge(c.document) {
			hint = "it is EventBridge's; read that with message.format [json] and fieldPath detail.object.key"
		}
		c.invalid = causef(reason.NotJSON, "the body is not an S3 event notification: %s", hint)
		return []content{c}
	}
	records := list.items()
	if len(records) > maxRecords {
		c.invalid = causef(reason.UnusableValue, "the S3 event has %d records; %d are the most", len(records), maxRecords)
		return []content{c}
	}
	contents := make([]content, 0, len(records))
	for i, record := range records {
		one := c
		one.payload = compact(string(record))
		one.document = record
		one.suffix = suffixOf(i)
		one.env, one.invalid = s3Env(i, record)
		contents = append(contents, one)
	}
	return contents
}

// s3Env makes the variables of one record. Keys are URL-encoded in the
// notification, a blank as +. S3_SIZE is empty where there is no size, as for a
// removed object.
func s3Env(index int, record jsonText) ([]EnvVar, *reason.Cause) {
	bucket := textAt(record, "s3", "bucket", "name")
	encoded := textAt(record, "s3", "object", "key")
	if bucket == "" || encoded == "" {
		return nil, causef(reason.NotJSON, "Records[%d] of the S3 event has no s3.bucket.name or no s3.object.key", index)
	}
	key, err := url.QueryUnescape(encoded)
	if err != nil {
		return nil, causef(reason.NotJSON, "Records[%d].s3.object.key of the S3 event is not URL-encoded", index)
	}
	return []EnvVar{
		{"S3_BUCKET", bucket},
		{"S3_KEY", key},
		{"S3_SIZE", textAt(record, "s3", "object", "size")},
		{"S3_EVENT", textAt(record, "eventName")},
	}, nil
}

// textAt is the value below keys as text, "" where there is none.
func textAt(value jsonText, keys ...string) string {
	for _, key := range keys {
		next, ok := value.member(key)
		if !ok {
			return ""
		}
		value = next
	}
	if value.kind() == kindNull {
		return ""
	}
	return value.text()
}
