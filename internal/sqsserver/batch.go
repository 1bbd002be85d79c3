package sqsserver

import (
	"fmt"
)

// maxEntries is the limit on the entries of a batch.
const maxEntries = 10

// readEntries reads the parameters of a batch; member takes one member of an
// entry. It returns how many entries there are; those over the limit are counted
// and not kept, for the error that names their number.
func readEntries[T any](c *call, member func(*T, string, value) error) (in []T, n int, err error) {
	err = c.read(func(name string, v value) error {
		if name != "Entries" {
			return nil
		}
		return v.list(func(v value) error {
			if n++; n > maxEntries {
				return v.object(func(string, value) error { return nil })
			}
			in = append(in, *new(T))
			entry := &in[len(in)-1]
			return v.object(func(name string, v value) error { return member(entry, name, v) })
		})
	})
	return in, n, err
}

// checkBatch refuses a batch of n entries with the ids given, in SQS's order.
func checkBatch(entry string, n int, id func(int) string) error {
	switch {
	case n == 0:
		return failf(codeEmptyBatch, "There should be at least one %s in the request.", entry)
	case n > maxEntries:
		return failf(codeTooManyEntries, "Maximum number of entries per request are %d. You have sent %d.", maxEntries, n)
	}
	for i := range n {
		if id(i) == "" {
			return missing(fmt.Sprintf("%s.%d.Id", entry, i+1))
		}
		if !validLabel(id(i)) {
			return failf(codeInvalidBatchID, "A batch entry id can only contain alphanumeric characters, hyphens and underscores. It can be at most 80 letters long.")
		}
		for j := range i {
			if id(i) == id(j) {
				return failf(codeIDsNotDistinct, "Id %s repeated.", id(i))
			}
		}
	}
	return nil
}

// validLabel: 1 to 80 of the characters that batch ids and permission labels may have.
func validLabel(s string) bool {
	if len(s) < 1 || len(s) > 80 {
		return false
	}
	for _, c := range []byte(s) {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '_':
		default:
			return false
		}
	}
	return true
}

// batch is what became of each entry.
type batch struct {
	errs []error
}

func newBatch(n int) *batch { return &batch{errs: make([]error, n)} }

// answer writes the two lists. success, which may be nil, writes an entry's
// members behind its Id.
func (b *batch) answer(a *answer, element string, id func(int) string, success func(int)) {
	var good, bad []int
	for i, err := range b.errs {
		if err == nil {
			good = append(good, i)
		} else {
			bad = append(bad, i)
		}
	}
	a.list("Successful", element, len(good), func(i int) {
		a.text("Id", id(good[i]))
		if success != nil {
			success(good[i])
		}
	})
	a.list("Failed", "BatchResultErrorEntry", len(bad), func(i int) {
		failed(a, id(bad[i]), b.errs[bad[i]])
	})
}

// failed writes a BatchResultErrorEntry. Its code is the old name in both
// protocols.
func failed(a *answer, id string, err error) {
	e := wireError(err)
	name := nameOf(string(e.Code))
	a.text("Id", id)
	a.boolean("SenderFault", !name.fault)
	a.text("Code", name.query)
	a.text("Message", textIn(a.xml, e))
}
