package message

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// maxDepth is how deep arrays and objects may nest.
const maxDepth = 128

// parseJSON reads one JSON document and nothing behind it. It is as strict as
// I-JSON (RFC 7493), since two readers of one message must not see two things:
// duplicate keys, text that is not UTF-8 and lone surrogates are errors, and so
// is nesting deeper than maxDepth. Errors say line and column, counted in bytes, and quote
// a key only where the text is not confidential.
func parseJSON(text string, confidential bool) (jsonText, error) {
	p := parser{text: text, confidential: confidential}
	switch {
	case strings.TrimLeft(text, " \t\r\n") == "":
		return "", fmt.Errorf("it is empty")
	case strings.HasPrefix(text, "\ufeff"):
		return "", fmt.Errorf("it begins with a byte order mark")
	}
	p.space()
	start := p.pos
	if err := p.value(0); err != nil {
		return "", err
	}
	value := jsonText(text[start:p.pos])
	p.space()
	if p.pos < len(text) {
		return "", p.errorf("there is more text behind the JSON document")
	}
	return value, nil
}

type parser struct {
	text         string
	pos          int
	confidential bool
}

func (p *parser) errorf(format string, args ...any) error {
	before := p.text[:p.pos]
	line := 1 + strings.Count(before, "\n")
	column := p.pos - strings.LastIndexByte(before, '\n')
	return fmt.Errorf("line %d, column %d: %s", line, column, fmt.Sprintf(format, args...))
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\r' || c == '\n' }

func (p *parser) space() {
	for p.pos < len(p.text) && isSpace(p.text[p.pos]) {
		p.pos++
	}
}

// peek is the next byte, 0 at the end.
func (p *parser) peek() byte {
	if p.pos < len(p.text) {
		return p.text[p.pos]
	}
	return 0
}

// value steps over one value.
func (p *parser) value(depth int) error {
	if depth > maxDepth {
		return p.errorf("nested deeper than %d levels", maxDepth)
	}
	switch c := p.peek(); {
	case c == '{':
		return p.object(depth, nil)
	case c == '[':
		return p.array(depth, nil)
	case c == '"':
		_, err := p.string()
		return err
	case c == '-' || isDigit(c):
		return p.number()
	default:
		return p.word()
	}
}

func (p *parser) word() error {
	for _, word := range []string{"null", "true", "false"} {
		if strings.HasPrefix(p.text[p.pos:], word) {
			p.pos += len(word)
			return nil
		}
	}
	if p.pos == len(p.text) {
		return p.errorf("the text ends where a value is expected")
	}
	return p.errorf("a value is expected")
}

// object steps over an object, calling each (unless nil) for its members.
func (p *parser) object(depth int, each func(key string, value jsonText)) error {
	var seen map[string]bool
	p.pos++
	p.space()
	for first := true; p.peek() != '}'; first = false {
		if !first {
			if p.peek() != ',' {
				return p.errorf("a comma or } is expected")
			}
			p.pos++
			p.space()
		}
		start := p.pos
		if p.peek() != '"' {
			return p.errorf("a key in double quotes is expected")
		}
		key, err := p.string()
		if err != nil {
			return err
		}
		if seen[key] {
			p.pos = start
			if p.confidential {
				return p.errorf("a key is there twice in one object")
			}
			return p.errorf("the key %q is there twice in one object", clip(key))
		}
		if seen == nil {
			seen = map[string]bool{}
		}
		seen[key] = true
		p.space()
		if p.peek() != ':' {
			return p.errorf("a colon is expected")
		}
		p.pos++
		p.space()
		start = p.pos
		if err := p.value(depth + 1); err != nil {
			return err
		}
		if each != nil {
			each(key, jsonText(p.text[start:p.pos]))
		}
		p.space()
	}
	p.pos++
	return nil
}

// array steps over a list, calling each (unless nil) for its elements.
func (p *parser) array(depth int, each func(value jsonText)) error {
	p.pos++
	p.space()
	for first := true; p.peek() != ']'; first = false {
		if !first {
			if p.peek() != ',' {
				return p.errorf("a comma or ] is expected")
			}
			p.pos++
			p.space()
		}
		start := p.pos
		if err := p.value(depth + 1); err != nil {
			return err
		}
		if each != nil {
			each(jsonText(p.text[start:p.pos]))
		}
		p.space()
	}
	p.pos++
	return nil
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

// number steps over a number, RFC 8259 section 6.
func (p *parser) number() error {
	digits := func() bool {
		start := p.pos
		for isDigit(p.peek()) {
			p.pos++
		}
		return p.pos > start
	}
	if p.peek() == '-' {
		p.pos++
	}
	switch {
	case p.peek() == '0':
		p.pos++
		if isDigit(p.peek()) {
			return p.errorf("a number must not begin with 0")
		}
	case !digits():
		return p.errorf("a digit is expected")
	}
	if p.peek() == '.' {
		p.pos++
		if !digits() {
			return p.errorf("a digit is expected")
		}
	}
	if c := p.peek(); c == 'e' || c == 'E' {
		p.pos++
		if c := p.peek(); c == '+' || c == '-' {
			p.pos++
		}
		if !digits() {
			return p.errorf("a digit is expected")
		}
	}
	return nil
}

// string reads a string and unescapes it.
func (p *parser) string() (string, error) {
	p.pos++
	start := p.pos
	var out []byte // once there was an escape
	for p.pos < len(p.text) {
		c := p.text[p.pos]
		switch {
		case c == '"':
			p.pos++
			if out == nil {
				return p.text[start : p.pos-1], nil
			}
			return string(out), nil
		case c < ' ':
			return "", p.errorf("a control character (0x%02x) in a string must be escaped", c)
		case c == '\\':
			if out == nil {
				out = append(make([]byte, 0, p.pos-start+16), p.text[start:p.pos]...)
			}
			r, err := p.escape()
			if err != nil {
				return "", err
			}
			out = utf8.AppendRune(out, r)
		case c < utf8.RuneSelf:
			p.pos++
			if out != nil {
				out = append(out, c)
			}
		default:
			r, size := utf8.DecodeRuneInString(p.text[p.pos:])
			if r == utf8.RuneError && size == 1 {
				return "", p.errorf("byte 0x%02x is not UTF-8", c)
			}
			if out != nil {
				out = append(out, p.text[p.pos:p.pos+size]...)
			}
			p.pos += size
		}
	}
	return "", p.errorf("the text ends within a string")
}

// escape reads one escape, both halves of a surrogate pair.
func (p *parser) escape() (rune, error) {
	start := p.pos
	p.pos += 2
	if p.pos > len(p.text) {
		p.pos = len(p.text)
		return 0, p.errorf("the text ends within a string")
	}
	switch c := p.text[p.pos-1]; c {
	case '"', '\\', '/':
		return rune(c), nil
	case 'b':
		return '\b', nil
	case 'f':
		return '\f', nil
	case 'n':
		return '\n', nil
	case 'r':
		return '\r', nil
	case 't':
		return '\t', nil
	case 'u':
	default:
		p.pos = start
		return 0, p.errorf("unknown escape in a string")
	}
	r, ok := p.hex4()
	if !ok {
		p.pos = start
		return 0, p.errorf(`\u must have four hexadecimal digits behind it`)
	}
	switch {
	case 0xd800 <= r && r < 0xdc00 && strings.HasPrefix(p.text[p.pos:], `\u`):
		p.pos += 2
		if low, ok := p.hex4(); ok && 0xdc00 <= low && low < 0xe000 {
			return (r-0xd800)<<10 + (low - 0xdc00) + 0x10000, nil
		}
		fallthrough
	case 0xd800 <= r && r < 0xe000:
		p.pos = start
		return 0, p.errorf("half of a surrogate pair is no character")
	}
	return r, nil
}

func (p *parser) hex4() (rune, bool) {
	if p.pos+4 > len(p.text) {
		return 0, false
	}
	var r rune
	for _, c := range []byte(p.text[p.pos : p.pos+4]) {
		switch {
		case isDigit(c):
			r = r<<4 | rune(c-'0')
		case 'a' <= c|0x20 && c|0x20 <= 'f':
			r = r<<4 | rune(c|0x20-'a'+10)
		default:
			return 0, false
		}
	}
	p.pos += 4
	return r, true
}
