package sqsserver

import "encoding/base64"

// value is one value of a request, in either protocol. Its methods consume it:
// each value is read once, by the method of the type it should have, and a
// value of another type is an error in the protocol's own words.
type value interface {
	text() (string, error)
	integer() (int, error) // fits 32 bits, as in the service model

	// object calls f for each member that is present and not null, named as
	// in the JSON protocol. Members f does not know it leaves unread.
	object(f func(member string, v value) error) error

	// dictionary calls f for each entry, in the order of the request.
	dictionary(f func(key string, v value) error) error

	// list calls f for each element.
	list(f func(v value) error) error
}

// maxDepth bounds nesting; the deepest real request has five levels.
const maxDepth = 16

func stringInto(p *string, v value) (err error) { *p, err = v.text(); return err }

// blobInto reads bytes, which both protocols carry as base64.
func blobInto(p *[]byte, v value) error {
	s, err := v.text()
	if err != nil {
		return err
	}
	if *p, err = base64.StdEncoding.DecodeString(s); err != nil {
		return failf(codeInvalidParameter, "One or more parameters are invalid. Reason: Binary values must be base64-encoded.")
	}
	return nil
}

func intInto(p **int, v value) error {
	n, err := v.integer()
	if err != nil {
		return err
	}
	*p = &n
	return nil
}

// maxItems bounds the lists of a request, and the members of each object in
// JSON; a queue's own limits (50 tags, 10 message attributes) come on top.
const maxItems = 1000

func stringsInto(p *[]string, v value) error {
	return v.list(func(v value) error {
		if len(*p) == maxItems {
			return failf(codeInvalidParameter, "One or more parameters are invalid. Reason: More than %d items in a list.", maxItems)
		}
		s, err := v.text()
		*p = append(*p, s)
		return err
	})
}

func mapInto(p *map[string]string, v value) error {
	m := map[string]string{}
	*p = m
	return v.dictionary(func(key string, v value) (err error) {
		m[key], err = v.text()
		return err
	})
}
