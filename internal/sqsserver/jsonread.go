package sqsserver

import (
	"bytes"
	"unicode/utf8"
)

// jsonReader reads a JSON text in one pass, without reflection and without a
// tree. Stricter than encoding/json, since a queue should store what the client
// meant or nothing: no duplicate members, no invalid UTF-8, no lone surrogates.
type jsonReader struct {
	b     []byte
	i     int // at the first byte not read yet
	depth int
}

var _ value = (*jsonReader)(nil)

func malformed(format string, args ...any) error {
	return failf(codeSerialization, format, args...)
}

// request reads the whole text as one object; a body of nothing is an empty one.
func (r *jsonReader) request(f func(member string, v value) error) error {
	r.space()
	if r.i == len(r.b) {
		return nil
	}
	if err := r.object(f); err != nil {
		return err
	}
	r.space()
	if r.i < len(r.b) {
		return malformed("unexpected data after the request at byte %d", r.i)
	}
	return nil
}

func (r *jsonReader) space() {
	for r.i < len(r.b) {
		switch r.b[r.i] {
		case ' ', '\t', '\r', '\n':
			r.i++
		default:
			return
		}
	}
}

// next is the byte at the cursor, 0 at the end.
func (r *jsonReader) next() byte {
	if r.i < len(r.b) {
		return r.b[r.i]
	}
	return 0
}

// unexpected names what stands at the cursor where want should.
func (r *jsonReader) unexpected(want string) error {
	switch c := r.next(); {
	case r.i >= len(r.b):
		return malformed("unexpected end of the request, expected %s", want)
	case c == '{' || c == '[':
		return malformed("Start of structure or map found where not expected.")
	case c == '"':
		return malformed("STRING_VALUE can not be converted to %s", want)
	case c == '-' || c >= '0' && c <= '9':
		return malformed("NUMBER_VALUE can not be converted to %s", want)
	case c == 't':
		return malformed("TRUE_VALUE can not be converted to %s", want)
	case c == 'f':
		return malformed("FALSE_VALUE can not be converted to %s", want)
	default:
		return malformed("unexpected byte at position %d, expected %s", r.i, want)
	}
}

func (r *jsonReader) enter() error {
	if r.depth++; r.depth > maxDepth {
		return malformed("nested deeper than %d levels", maxDepth)
	}
	r.i++
	return nil
}

// leave steps over an item's end: true at close, false when another follows.
func (r *jsonReader) leave(closing byte) (bool, error) {
	r.space()
	switch r.next() {
	case closing:
		r.i++
		r.depth--
		return true, nil
	case ',':
		r.i++
		r.space()
		return false, nil
	}
	return false, r.unexpected("a comma or the end")
}

// null steps over a null.
func (r *jsonReader) null() bool {
	if r.next() == 'n' && bytes.HasPrefix(r.b[r.i:], []byte("null")) {
		r.i += 4
		return true
	}
	return false
}

func (r *jsonReader) object(f func(string, value) error) error {
	return r.members(func(name []byte) string {
		if s, ok := memberNames[string(name)]; ok { // no allocation
			return s
		}
		return string(name)
	}, f)
}

func (r *jsonReader) dictionary(f func(string, value) error) error {
	return r.members(func(name []byte) string { return string(name) }, f)
}

func (r *jsonReader) members(intern func([]byte) string, f func(string, value) error) error {
	if r.next() != '{' {
		return r.unexpected("a structure")
	}
	if err := r.enter(); err != nil {
		return err
	}
	if r.space(); r.next() == '}' {
		r.i++
		r.depth--
		return nil
	}
	var seen nameSet
	for {
		if r.next() != '"' {
			return r.unexpected("a member name")
		}
		raw, err := r.raw()
		if err != nil {
			return err
		}
		name := intern(raw)
		if !seen.add(name) {
			return malformed("member %.100q is a duplicate, or one of more than %d", name, maxItems)
		}
		if r.space(); r.next() != ':' {
			return r.unexpected("a colon")
		}
		r.i++
		r.space()
		if !r.null() {
			start := r.i
			if err := f(name, r); err != nil {
				return err
			}
			if r.i == start { // f does not know it
				if err := r.skip(); err != nil {
					return err
				}
			}
		}
		if end, err := r.leave('}'); end || err != nil {
			return err
		}
	}
}

func (r *jsonReader) list(f func(value) error) error {
	if r.next() != '[' {
		return r.unexpected("a list")
	}
	if err := r.enter(); err != nil {
		return err
	}
	if r.space(); r.next() == ']' {
		r.i++
		r.depth--
		return nil
	}
	for {
		if !r.null() {
			if err := f(r); err != nil {
				return err
			}
		}
		if end, err := r.leave(']'); end || err != nil {
			return err
		}
	}
}

func (r *jsonReader) text() (string, error) {
	if r.next() != '"' {
		return "", r.unexpected("a String")
	}
	raw, err := r.raw()
	return string(raw), err
}

func (r *jsonReader) integer() (int, error) {
	digits, err := r.number()
	if err != nil {
		return 0, err
	}
	n, ok := parseInt32(string(digits))
	if !ok {
		return 0, malformed("%.40s can not be converted to an Integer", digits)
	}
	return n, nil
}

// number steps over a number (RFC 8259, section 6) and returns its text.
func (r *jsonReader) number() ([]byte, error) {
	start := r.i
	if r.next() == '-' {
		r.i++
	}
	first := r.next()
	n := r.digits()
	ok := n == 1 || n > 1 && first != '0'
	if ok && r.next() == '.' {
		r.i++
		ok = r.digits() > 0
	}
	if c := r.next(); ok && (c == 'e' || c == 'E') {
		r.i++
		if c := r.next(); c == '+' || c == '-' {
			r.i++
		}
		ok = r.digits() > 0
	}
	if !ok {
		r.i = start
		return nil, r.unexpected("an Integer")
	}
	return r.b[start:r.i], nil
}

func (r *jsonReader) digits() (n int) {
	for ; r.next() >= '0' && r.next() <= '9'; r.i++ {
		n++
	}
	return n
}

// raw reads a string and returns its bytes, valid UTF-8: a part of the request
// where it holds no escapes, so they must be copied before the buffer goes back.
func (r *jsonReader) raw() ([]byte, error) {
	r.i++ // the quote
	rest := r.b[r.i:]
	end := bytes.IndexByte(rest, '"')
	if end < 0 {
		return nil, malformed("unexpected end of the request in a string")
	}
	if bytes.IndexByte(rest[:end], '\\') < 0 {
		r.i += end + 1
		return rest[:end], checkText(rest[:end])
	}
	return r.unescape()
}

// checkText refuses what may not stand in a JSON string as it is.
func checkText(b []byte) error {
	rest := b[plainPrefix(b):]
	for _, c := range rest {
		if c < ' ' {
			return malformed("unescaped control character 0x%02x in a string", c)
		}
	}
	if len(rest) > 0 && !utf8.Valid(rest) { // before it all is ASCII
		return malformed("a string is not valid UTF-8")
	}
	return nil
}

// skip steps over a value of any type.
func (r *jsonReader) skip() error {
	switch c := r.next(); {
	case c == '{':
		return r.dictionary(func(string, value) error { return r.skip() })
	case c == '[':
		return r.list(func(value) error { return r.skip() })
	case c == '"':
		_, err := r.raw()
		return err
	case c == '-' || c >= '0' && c <= '9':
		_, err := r.number()
		return err
	}
	for _, word := range []string{"true", "false", "null"} {
		if bytes.HasPrefix(r.b[r.i:], []byte(word)) {
			r.i += len(word)
			return nil
		}
	}
	return r.unexpected("a value")
}
