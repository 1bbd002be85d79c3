package sqsserver

import (
	"encoding/binary"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// unescape reads the rest of a string that holds escapes; the cursor stands
// behind its opening quote.
func (r *jsonReader) unescape() ([]byte, error) {
	out := make([]byte, 0, 64)
	for r.i < len(r.b) {
		start := r.i
		for r.i < len(r.b) && r.b[r.i] != '"' && r.b[r.i] != '\\' {
			r.i++
		}
		plain := r.b[start:r.i]
		if err := checkText(plain); err != nil {
			return nil, err
		}
		out = append(out, plain...)
		if r.i == len(r.b) {
			break
		}
		r.i++
		if r.b[r.i-1] == '"' {
			return out, nil
		}
		c := r.next()
		r.i++
		switch c {
		case '"', '\\', '/':
			out = append(out, c)
		case 'b':
			out = append(out, '\b')
		case 'f':
			out = append(out, '\f')
		case 'n':
			out = append(out, '\n')
		case 'r':
			out = append(out, '\r')
		case 't':
			out = append(out, '\t')
		case 'u':
			u, err := r.codePoint()
			if err != nil {
				return nil, err
			}
			out = utf8.AppendRune(out, u)
		default:
			return nil, malformed("unknown escape in a string")
		}
	}
	return nil, malformed("unexpected end of the request in a string")
}

// codePoint reads the four digits behind \u, and the second half of a pair.
func (r *jsonReader) codePoint() (rune, error) {
	u, ok := r.hex4()
	if ok && utf16.IsSurrogate(u) {
		ok = r.next() == '\\' && r.i+1 < len(r.b) && r.b[r.i+1] == 'u'
		if ok {
			r.i += 2
			var low rune
			low, ok = r.hex4()
			u = utf16.DecodeRune(u, low)
			ok = ok && u != utf8.RuneError
		}
	}
	if !ok {
		return 0, malformed(`a \u escape is no character`)
	}
	return u, nil
}

func (r *jsonReader) hex4() (rune, bool) {
	if r.i+4 > len(r.b) {
		return 0, false
	}
	var u rune
	for _, c := range r.b[r.i : r.i+4] {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c >= 'a' && c <= 'f':
			c -= 'a' - 10
		case c >= 'A' && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		u = u<<4 | rune(c)
	}
	r.i += 4
	return u, true
}

// plainPrefix is how many bytes at the start of b are printable ASCII other than
// quote and backslash: eight at a time, since most bodies are nothing else.
func plainPrefix(b []byte) int {
	const ones, highs = 0x0101010101010101, 0x8080808080808080
	n := 0
	for ; len(b)-n >= 8; n += 8 {
		w := binary.LittleEndian.Uint64(b[n:])
		quote, slash := w^('"'*ones), w^('\\'*ones)
		// A high bit is set where a byte is over 0x7f, under 0x20, or zero
		// after the exclusive or; bytes above one that is may be wrong, which
		// does not matter.
		if (w|(w-' '*ones)|(quote-ones)&^quote|(slash-ones)&^slash)&highs != 0 {
			break
		}
	}
	for ; n < len(b) && b[n] >= ' ' && b[n] < utf8.RuneSelf && b[n] != '"' && b[n] != '\\'; n++ {
	}
	return n
}

// appendJSON appends s as a JSON string. s is valid UTF-8.
func appendJSON(b []byte, s string) []byte {
	const hex = "0123456789abcdef"
	b = append(b, '"')
	begin := len(b)
	b = append(b, s...)
	from := plainPrefix(b[begin:])
	b = b[:begin+from]
	for i := from; i < len(s); i++ {
		c := s[i]
		if c >= ' ' && c != '"' && c != '\\' {
			continue
		}
		b = append(b, s[from:i]...)
		from = i + 1
		switch c {
		case '"', '\\':
			b = append(b, '\\', c)
		case '\n':
			b = append(b, '\\', 'n')
		case '\r':
			b = append(b, '\\', 'r')
		case '\t':
			b = append(b, '\\', 't')
		default:
			b = append(b, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		}
	}
	b = append(b, s[from:]...)
	return append(b, '"')
}

// appendXML appends s as XML text. A bare \r would be read back as \n (XML 1.0,
// section 2.11), so it goes as a reference; characters that XML cannot hold are
// refused when a message is sent, and elsewhere become U+FFFD.
func appendXML(b []byte, s string) []byte {
	from := 0
	for i := 0; i < len(s); i++ {
		var ref string
		switch c := s[i]; {
		case c == '&':
			ref = "&amp;"
		case c == '<':
			ref = "&lt;"
		case c == '>':
			ref = "&gt;"
		case c == '"':
			ref = "&quot;"
		case c == '\r':
			ref = "&#xD;"
		case c < ' ' && c != '\t' && c != '\n':
			ref = "\uFFFD"
		default:
			continue
		}
		b = append(b, s[from:i]...)
		b = append(b, ref...)
		from = i + 1
	}
	return append(b, s[from:]...)
}

// parseInt32 reads an integer of 32 bits as both protocols write it.
func parseInt32(s string) (int, bool) {
	n, err := strconv.ParseInt(s, 10, 32)
	return int(n), err == nil
}

// nameSet finds a name that comes twice. Few names are compared one by one,
// more go into a map, and maxItems of them are enough.
type nameSet struct {
	few  [12]string
	n    int
	many map[string]struct{}
}

// add is false for a name that was there before, and for one too many.
func (s *nameSet) add(name string) bool {
	if s.many != nil {
		if len(s.many) == maxItems {
			return false
		}
		_, dup := s.many[name]
		s.many[name] = struct{}{}
		return !dup
	}
	for _, f := range s.few[:s.n] {
		if f == name {
			return false
		}
	}
	if s.n < len(s.few) {
		s.few[s.n] = name
		s.n++
		return true
	}
	s.many = make(map[string]struct{}, 2*len(s.few))
	for _, f := range s.few {
		s.many[f] = struct{}{}
	}
	s.many[name] = struct{}{}
	return true
}
