package queuetest

import (
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/queuemill/queuemill/internal/queue"
)

// SQS's quotas on a message.
const (
	maxMessage    = 1 << 20 // bytes of body and attributes
	maxAttributes = 10
)

var (
	attributeName = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,256}$`)
	attributeType = regexp.MustCompile(`^(String|Number|Binary)(\.|$)`)
	number        = regexp.MustCompile(`^[-+]?[0-9.]+([eE][-+]?[0-9]+)?$`)
)

// check is what SQS refuses to send.
func check(m queue.Outgoing, fifo bool) error {
	size := len(m.Body)
	for name, a := range m.Attributes {
		if err := checkAttribute(name, a); err != nil {
			return err
		}
		size += len(name) + len(a.DataType) + len(a.StringValue) + len(a.BinaryValue)
	}
	switch {
	case m.Body == "":
		return fmt.Errorf("body is empty: %w", queue.ErrInvalid)
	case size > maxMessage:
		return fmt.Errorf("message has %d bytes, %d are allowed: %w", size, maxMessage, queue.ErrInvalid)
	case len(m.Attributes) > maxAttributes:
		return fmt.Errorf("message has %d attributes, %d are allowed: %w", len(m.Attributes), maxAttributes, queue.ErrInvalid)
	case !allowed(m.Body):
		return fmt.Errorf("body has a character that SQS does not allow: %w", queue.ErrInvalid)
	case fifo && m.GroupID == "":
		return fmt.Errorf("message has no group: %w", queue.ErrInvalid)
	}
	return nil
}

func checkAttribute(name string, a queue.Attribute) error {
	var wrong string
	switch {
	case !attributeName.MatchString(name), strings.HasPrefix(strings.ToLower(name), "aws."):
		wrong = "has a name that SQS does not allow"
	case !attributeType.MatchString(a.DataType):
		wrong = "has no type that SQS knows"
	case a.StringValue == "" && len(a.BinaryValue) == 0:
		wrong = "is empty"
	case !allowed(a.StringValue):
		wrong = "has a character that SQS does not allow"
	case strings.HasPrefix(a.DataType, "Number") && !number.MatchString(a.StringValue):
		wrong = "is no number"
	default:
		return nil
	}
	return fmt.Errorf("attribute %q %s: %w", name, wrong, queue.ErrInvalid)
}

func allowed(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool {
		return r < 0x20 && r != '\t' && r != '\n' && r != '\r' || r == 0xfffe || r == 0xffff
	})
}
