package queue

import (
	"fmt"
	"maps"
	"strings"
	"unicode/utf8"
)

// AttributeReason is the attribute of a rejected message that says why. One that
// has ten attributes already, SQS's limit, or no room for it, goes without.
const AttributeReason = "Queuemill.Reason"

const (
	maxMessage    = 1 << 20 // SQS: bytes of body and attributes
	maxAttributes = 10      // SQS
	maxReason     = 1 << 10 // bytes: a message, not a log
)

// Rejected is what a Rejecter sends to the dead-letter queue for m. fifo tells
// whether that is a FIFO queue.
func Rejected(m *Message, reason string, fifo bool) Outgoing {
	out := Outgoing{Body: m.Body, Attributes: maps.Clone(m.Attributes), GroupID: m.GroupID}
	if fifo { // another rejection, after a redrive, is not the same
		out.DeduplicationID = fmt.Sprintf("%s-%d", m.ID, m.ReceiveCount)
	}
	size := len(m.Body)
	for name, a := range m.Attributes {
		size += len(name) + len(a.DataType) + len(a.StringValue) + len(a.BinaryValue)
	}
	const kind = "String"
	room := min(maxReason, maxMessage-size-len(AttributeReason)-len(kind))
	_, has := m.Attributes[AttributeReason] // of an earlier rejection
	if reason = sendable(reason, room); reason == "" || len(m.Attributes) >= maxAttributes && !has {
		return out
	}
	if out.Attributes == nil {
		out.Attributes = make(map[string]Attribute, 1)
	}
	out.Attributes[AttributeReason] = Attribute{DataType: kind, StringValue: reason}
	return out
}

// sendable is s without what SQS does not take, cut to room bytes.
func sendable(s string, room int) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case r == utf8.RuneError, r == 0xfffe, r == 0xffff, r < ' ' && r != '\t' && r != '\n' && r != '\r':
			return '?'
		}
		return r
	}, strings.TrimSpace(s))
	if len(s) <= room {
		return s
	}
	cut := max(room, 0)
	for cut > 0 && !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut]
}
