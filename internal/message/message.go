// Package message reads a message: its formats, fields, schema, the environment
// a job gets of it, and its identity. It is pure: no clock, no I/O, the same
// input gives the same output, on a laptop and in a cluster.
//
// A message is hostile input. It reaches a job as values of environment
// variables, as files, and where the template's author wrote $(NAME) into an
// argument; nowhere else.
package message

import (
	"bytes"

	"github.com/queuemill/queuemill/internal/reason"
)

// Attribute is a message attribute. DataType is String, Number or Binary, with
// an optional label behind a dot (SQS: "Message attribute data types").
type Attribute struct {
	DataType    string `json:"dataType"`
	StringValue string `json:"stringValue,omitempty"`
	BinaryValue []byte `json:"binaryValue,omitempty"`
}

// Equal tells whether two attributes are the same.
func (a Attribute) Equal(b Attribute) bool {
	return a.DataType == b.DataType && a.StringValue == b.StringValue && bytes.Equal(a.BinaryValue, b.BinaryValue)
}

// EnvVar is an environment variable made from the message. Value is verbatim:
// an executor whose engine expands $(NAME) in values escapes it.
type EnvVar struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Input is a message as received.
type Input struct {
	ID         string
	Body       string
	Attributes map[string]Attribute
}

// Item is what becomes one job, or one Invalid record. A message is one Item,
// with the s3Event format one per record, or none (an s3:TestEvent).
type Item struct {
	// Name is the record's name, <queuejob>-<hash>, frozen by a golden test: a
	// changed hash would start jobs twice at an upgrade.
	Name string

	// Identity is the hash of namespace, queuejob and identity, in hex.
	Identity string

	// IdempotencyKey is the same for every attempt: what a job hands to a
	// payment API, say.
	IdempotencyKey string

	// Payload is what the message file holds: the body behind its wrappers; with
	// s3Event the one record as JSON.
	Payload string

	// Attributes are what the attributes file holds: the message's own, and with
	// the sns format the envelope's, which win.
	Attributes map[string]Attribute

	// Env are the message's variables, without those that the executor adds
	// (QUEUEMILL_MESSAGE_FILE, QUEUEMILL_ATTRIBUTES_FILE, QUEUEMILL_ATTEMPT).
	Env []EnvVar

	// Invalid is why this can't be a job; Payload, Attributes and Env are empty
	// then. The name is the one of the message ID where the identity can't be read.
	Invalid *reason.Cause
}
