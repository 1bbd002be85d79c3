package embedded

import (
	"strings"
	"unicode/utf8"
)

// maxMessage is the size limit of a message in bytes: body plus the names,
// types and values of its attributes.
const maxMessage = 1 << 20

// validate checks an entry against the limits of SQS.
func (q *Queue) validate(e *SendEntry, set *settings) error {
	if e.Body == "" {
		return errorf(CodeMissingParameter, "The request must contain the parameter MessageBody.")
	}
	size := len(e.Body)
	for k, a := range e.Attributes {
		size += len(k) + len(a.DataType) + len(a.StringValue) + len(a.BinaryValue)
	}
	if size > set.maxSize {
		return errorf(CodeInvalidParameterValue, "One or more parameters are invalid. Reason: Message must be shorter than %d bytes.", set.maxSize)
	}
	if !validText(e.Body) {
		return errorf(CodeInvalidMessageContents, "Invalid characters found in the message body. Valid unicode characters are #x9 | #xA | #xD | #x20 to #xD7FF | #xE000 to #xFFFD | #x10000 to #x10FFFF")
	}
	if d := e.DelaySeconds; d != nil && (*d < 0 || *d > 900) {
		return errorf(CodeInvalidParameterValue, "Value %d for parameter DelaySeconds is invalid. Reason: DelaySeconds must be >= 0 and <= 900.", *d)
	}
	if q.fifo && e.GroupID == "" {
		return errorf(CodeMissingParameter, "The request must contain the parameter MessageGroupId.")
	}
	return nil
}

// validText: the characters of SendMessage in the API reference.
func validText(s string) bool {
	if !utf8.ValidString(s) {
		return false
	}
	return !strings.ContainsFunc(s, func(r rune) bool {
		return r < 0x20 && r != 0x9 && r != 0xA && r != 0xD || r == 0xFFFE || r == 0xFFFF
	})
}
