package sqsserver

import (
	"crypto/md5"
	"encoding/binary"
	"encoding/hex"
	"slices"
	"strings"

	"github.com/queuemill/queuemill/internal/message"
)

// digest writes the MD5 of a message body, in hex.
func (a *answer) digest(name, body string) {
	n := len(a.b)
	a.b = append(a.b, body...) // md5 wants bytes, and the buffer has room for them
	sum := md5.Sum(a.b[n:])
	a.b = a.b[:n]
	var text [2 * md5.Size]byte
	hex.Encode(text[:], sum[:])
	a.open(name)
	if a.xml {
		a.b = append(a.b, text[:]...)
	} else {
		a.b = append(append(append(a.b, '"'), text[:]...), '"')
	}
	a.close(name)
}

// md5OfAttributes is the digest of message attributes, "" of none: by name, each
// as length and bytes of name and of type, 1 for a string or 2 for a binary
// value, then length and bytes of it; lengths are 32 bits, big-endian (SQS
// developer guide, "Calculating the MD5 message digest for message attributes").
func md5OfAttributes(attributes map[string]message.Attribute) string {
	if len(attributes) == 0 {
		return ""
	}
	b := make([]byte, 0, 512)
	for _, name := range sortedNames(attributes) {
		at := attributes[name]
		b = appendCounted(b, name)
		b = appendCounted(b, at.DataType)
		if isBinary(at) {
			b = append(b, 2)
			b = binary.BigEndian.AppendUint32(b, uint32(len(at.BinaryValue)))
			b = append(b, at.BinaryValue...)
			continue
		}
		b = append(b, 1)
		b = appendCounted(b, at.StringValue)
	}
	sum := md5.Sum(b)
	return hex.EncodeToString(sum[:])
}

// isBinary: the type's part before a dot is Binary (the rest is the user's label).
func isBinary(at message.Attribute) bool {
	return at.DataType == "Binary" || strings.HasPrefix(at.DataType, "Binary.")
}

func appendCounted(b []byte, s string) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(len(s)))
	return append(b, s...)
}

func sortedNames(attributes map[string]message.Attribute) []string {
	names := make([]string, 0, len(attributes))
	for name := range attributes {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
