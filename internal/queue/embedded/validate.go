package embedded

import (
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/queuemill/queuemill/internal/message"
)

// Limits of SQS. Source: quotas in the developer guide.
const (
	maxMessage       = 1 << 20 // bytes: body plus names, types and values of attributes
	maxAttributes    = 10
	maxAttributeName = 256
	maxGroupID       = 128
	maxDelay         = 15 * time.Minute
)

// validate checks an entry against the limits of SQS.
func (q *Queue) validate(e *SendEntry, set *settings) error {
	if e.Body == "" {
		return errorf(CodeMissingParameter, "The request must contain the parameter MessageBody.")
	}
	if n := messageSize(e); n > set.maxSize {
		return errorf(CodeInvalidParameterValue, "One or more parameters are invalid. Reason: Message must be shorter than %d bytes.", set.maxSize)
	}
	if !validText(e.Body) {
		return errorf(CodeInvalidMessageContents, "Invalid characters found. Valid unicode characters are #x9 | #xA | #xD | #x20 to #xD7FF | #xE000 to #xFFFD | #x10000 to #x10FFFF")
	}
	if len(e.Attributes) > maxAttributes {
		return errorf(CodeInvalidParameterValue, "Number of message attributes [%d] exceeds the allowed maximum [%d].", len(e.Attributes), maxAttributes)
	}
	for name, a := range e.Attributes {
		if err := validateAttribute(name, a); err != nil {
			return err
		}
	}
	for name, a := range e.SystemAttributes {
		if name != "AWSTraceHeader" {
			return errorf(CodeInvalidParameterValue, "Message system attribute name '%s' is invalid. The one there is is AWSTraceHeader.", name)
		}
		if a.DataType != "String" || a.StringValue == "" {
			return errorf(CodeInvalidParameterValue, "The message system attribute '%s' must have the type String and a value.", name)
		}
	}
	if d := e.DelaySeconds; d != nil && (*d < 0 || *d > int(maxDelay/time.Second)) {
		return errorf(CodeInvalidParameterValue, "Value %d for parameter DelaySeconds is invalid. Reason: DelaySeconds must be >= 0 and <= 900.", *d)
	}
	return q.validateKind(e, set)
}

// validateKind checks what differs between FIFO and standard queues.
func (q *Queue) validateKind(e *SendEntry, set *settings) error {
	if e.GroupID != "" && !validID(e.GroupID) {
		return errorf(CodeInvalidParameterValue, "Value %s for parameter MessageGroupId is invalid. Reason: MessageGroupId can only include alphanumeric and punctuation characters. 1 to 128 in length.", e.GroupID)
	}
	if !q.fifo {
		if e.DeduplicationID != "" {
			return errorf(CodeInvalidParameterValue, "Value %s for parameter MessageDeduplicationId is invalid. Reason: The request includes a parameter that is not valid for this queue type.", e.DeduplicationID)
		}
		return nil
	}
	switch {
	case e.GroupID == "":
		return errorf(CodeMissingParameter, "The request must contain the parameter MessageGroupId.")
	case e.DeduplicationID != "" && !validID(e.DeduplicationID):
		return errorf(CodeInvalidParameterValue, "Value %s for parameter MessageDeduplicationId is invalid. Reason: MessageDeduplicationId can only include alphanumeric and punctuation characters. 1 to 128 in length.", e.DeduplicationID)
	case e.DeduplicationID == "" && !set.contentDedup:
		return errorf(CodeInvalidParameterValue, "The queue should either have ContentBasedDeduplication enabled or MessageDeduplicationId provided explicitly")
	case e.DelaySeconds != nil && *e.DelaySeconds != 0:
		return errorf(CodeInvalidParameterValue, "Value %d for parameter DelaySeconds is invalid. Reason: The request include parameter that is not valid for this queue type.", *e.DelaySeconds)
	}
	return nil
}

func messageSize(e *SendEntry) int {
	n := len(e.Body)
	for name, a := range e.Attributes {
		n += len(name) + len(a.DataType) + len(a.StringValue) + len(a.BinaryValue)
	}
	return n
}

// validateAttribute checks a message attribute. Source: "Amazon SQS message
// metadata" in the developer guide.
func validateAttribute(name string, a message.Attribute) error {
	if err := validateAttributeName(name); err != nil {
		return err
	}
	kind, label, labelled := strings.Cut(a.DataType, ".")
	switch {
	case a.DataType == "":
		return errorf(CodeInvalidParameterValue, "The message attribute '%s' must contain non-empty message attribute type.", name)
	case kind != "String" && kind != "Number" && kind != "Binary" || labelled && label == "" || len(a.DataType) > 256:
		return errorf(CodeInvalidParameterValue, "The message attribute '%s' has an invalid message attribute type, the set of supported type prefixes is Binary, Number, and String.", name)
	case kind == "Binary" && a.StringValue != "", kind != "Binary" && len(a.BinaryValue) > 0:
		field := "StringValue"
		if kind == "Binary" {
			field = "BinaryValue"
		}
		return errorf(CodeInvalidParameterValue, "The message attribute '%s' with type '%s' must use field '%s'.", name, kind, field)
	case a.StringValue == "" && len(a.BinaryValue) == 0:
		return errorf(CodeInvalidParameterValue, "The message attribute '%s' must contain non-empty message attribute value for message attribute type '%s'.", name, kind)
	case kind == "Number" && !validNumber(a.StringValue):
		return errorf(CodeInvalidParameterValue, "Can't cast the value of message attribute '%s' to a number.", name)
	case !validText(a.StringValue):
		return errorf(CodeInvalidMessageContents, "Invalid characters found in the value of message attribute '%s'. Valid unicode characters are #x9 | #xA | #xD | #x20 to #xD7FF | #xE000 to #xFFFD | #x10000 to #x10FFFF", name)
	}
	return nil
}

func validateAttributeName(name string) error {
	lower := strings.ToLower(name)
	switch {
	case name == "":
		return errorf(CodeInvalidParameterValue, "The request must contain non-empty message attribute name.")
	case len(name) > maxAttributeName:
		return errorf(CodeInvalidParameterValue, "Message (user) attribute name must be shorter than %d Bytes", maxAttributeName)
	case strings.HasPrefix(lower, "aws.") || strings.HasPrefix(lower, "amazon."):
		return errorf(CodeInvalidParameterValue, "You can't use message attribute names beginning with 'AWS.' or 'Amazon.'. These strings are reserved for internal use.")
	case strings.HasPrefix(name, ".") || strings.HasSuffix(name, ".") || strings.Contains(name, ".."),
		strings.ContainsFunc(name, func(c rune) bool { return !alphanumeric(c) && c != '_' && c != '-' && c != '.' }):
		return errorf(CodeInvalidParameterValue, "The message attribute name '%s' is invalid. Attribute name can contain A-Z, a-z, 0-9, underscore (_), hyphen (-), and period (.) characters.", name)
	}
	return nil
}

func alphanumeric(c rune) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

// validNumber: decimal, from -10^128 to 10^126.
func validNumber(s string) bool {
	if strings.ContainsFunc(s, func(c rune) bool { return !strings.ContainsRune("0123456789+-.eE", c) }) {
		return false
	}
	f, err := strconv.ParseFloat(s, 64)
	return err == nil && math.Abs(f) <= 1e128
}

// validID: 1 to 128 letters, digits and punctuation of ASCII.
func validID(s string) bool {
	return s != "" && len(s) <= maxGroupID && !strings.ContainsFunc(s, func(c rune) bool { return c <= ' ' || c > '~' })
}

// validText: the characters that SendMessage's reference lists.
func validText(s string) bool {
	for i := range len(s) {
		c := s[i]
		if c < 0x20 && c != 0x9 && c != 0xA && c != 0xD {
			return false
		}
		if c == 0xEF && (strings.HasPrefix(s[i:], "\uFFFE") || strings.HasPrefix(s[i:], "\uFFFF")) {
			return false
		}
	}
	return utf8.ValidString(s)
}
