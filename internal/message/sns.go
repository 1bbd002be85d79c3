package message

import (
	"encoding/base64"
	"maps"
	"strings"

	"github.com/queuemill/queuemill/internal/reason"
)

// rawDelivery is said wherever a body is no SNS envelope: with raw message
// delivery the subscription sends the bare message, which nothing tells apart.
const rawDelivery = "if the subscription has raw message delivery on, take sns out of message.format"

// unwrapSNS takes the message out of an SNS envelope and its attributes beside
// the queue's own (docs.aws.amazon.com/sns/latest/dg/sns-message-and-json-formats.html).
func unwrapSNS(c *content, confidential bool) *reason.Cause {
	envelope, err := parseJSON(c.payload, confidential)
	if err != nil {
		return causef(reason.NotJSON, "the body is not an SNS envelope: %v; %s", err, rawDelivery)
	}
	switch kind := stringMember(envelope, "Type"); kind {
	case "Notification":
	case "SubscriptionConfirmation", "UnsubscribeConfirmation":
		return causef(reason.NotJSON,
			"an SNS %s, which is for a person: this message has the SubscribeURL to visit, or the Token for `aws sns confirm-subscription`", kind)
	default:
		return causef(reason.NotJSON, "the body is JSON but not an SNS envelope (its Type is not Notification); %s", rawDelivery)
	}
	inner, ok := envelope.member("Message")
	if !ok || inner.kind() != kindString {
		return causef(reason.NotJSON, "the SNS envelope has no Message; %s", rawDelivery)
	}
	c.payload = inner.text()

	attributes, ok := envelope.member("MessageAttributes")
	if !ok || attributes.kind() != kindObject {
		return nil
	}
	c.attributes = maps.Clone(c.attributes)
	if c.attributes == nil {
		c.attributes = map[string]Attribute{}
	}
	p := parser{text: string(attributes)}
	var cause *reason.Cause
	_ = p.object(0, func(name string, value jsonText) {
		a, ok := snsAttribute(value)
		if !ok && cause == nil {
			cause = causef(reason.NotJSON, "the SNS envelope has an attribute without Type and Value, or binary and not base64")
		}
		c.attributes[name] = a
	})
	return cause
}

// snsAttribute reads {"Type": "String", "Value": "…"}; binary ones are base64.
func snsAttribute(value jsonText) (Attribute, bool) {
	a := Attribute{DataType: stringMember(value, "Type")}
	v, ok := value.member("Value")
	if !ok || a.DataType == "" {
		return a, false
	}
	if !a.binary() {
		a.StringValue = v.text()
		return a, true
	}
	raw, err := base64.StdEncoding.DecodeString(v.text())
	a.BinaryValue = raw
	return a, err == nil
}

// stringMember is a member that is a string, else "".
func stringMember(object jsonText, key string) string {
	if v, ok := object.member(key); ok && v.kind() == kindString {
		return v.text()
	}
	return ""
}

// isEventBridge tells an EventBridge event, which wraps what S3 sends its own
// way.
func isEventBridge(document jsonText) bool {
	return strings.HasPrefix(stringMember(document, "source"), "aws.") && stringMember(document, "detail-type") != ""
}
