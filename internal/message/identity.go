package message

import (
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"encoding/hex"
	"strconv"

	"github.com/google/uuid"
)

// nameEncoding is base32 in lower case without the letters that are read as
// digits (i, l, o) and without u, so that no hash spells a word.
var nameEncoding = base32.NewEncoding("0123456789abcdefghjkmnpqrstvwxyz").WithPadding(base32.NoPadding)

// keyPrefix stands before a producer's own key, so that no key can take the
// place of another message's ID.
const keyPrefix = "key:"

// RecordName names the record of an identity: name is <queuejob>-<16
// characters>, a DNS label of at most 57 characters where the QueueJob's name
// has at most 40, which leaves room for an attempt's number; hash is the
// identity's hash in 40 hexadecimal digits, short enough for a label's value.
//
// identity is the message's ID, or what Reader makes of it. The name is frozen:
// another hash would start jobs a second time at an upgrade.
func RecordName(namespace, queueJob, identity string) (name, hash string) {
	sum := identitySum(namespace, queueJob, identity)
	return queueJob + "-" + nameEncoding.EncodeToString(sum[:10]), hex.EncodeToString(sum[:20])
}

// AttemptName is the name of one attempt's run: the record's own for the first,
// then record-2, record-3, …
func AttemptName(record string, attempt int) string {
	if attempt <= 1 {
		return record
	}
	return record + "-" + strconv.Itoa(attempt)
}

// IdempotencyKey is the identity as a UUID of version 8 (RFC 9562), the one
// shape that payment and cloud APIs agree to take as a key.
func IdempotencyKey(namespace, queueJob, identity string) string {
	sum := identitySum(namespace, queueJob, identity)
	var id uuid.UUID
	copy(id[:], sum[16:])
	id[6] = id[6]&0x0f | 0x80
	id[8] = id[8]&0x3f | 0x80
	return id.String()
}

// identitySum hashes the three parts, each behind its length: no two triples
// hash the same text.
func identitySum(parts ...string) [sha256.Size]byte {
	var text []byte
	for _, p := range parts {
		text = binary.BigEndian.AppendUint32(text, uint32(len(p)))
		text = append(text, p...)
	}
	return sha256.Sum256(text)
}
