package message

import (
	"encoding/json"
	"fmt"
	"strings"
)

// kind is what a JSON value is.
type kind byte

const (
	kindNull kind = iota
	kindBool
	kindNumber
	kindString
	kindArray
	kindObject
)

func (k kind) String() string {
	return [...]string{"null", "a boolean", "a number", "a string", "a list", "an object"}[k]
}

// jsonText is one JSON value as sent, known to be valid: numbers lose no digit
// and objects keep the order of their keys. Looking into it scans it again, so
// that a hostile megabyte of brackets costs no memory.
type jsonText string

func (t jsonText) kind() kind {
	switch t[0] {
	case '{':
		return kindObject
	case '[':
		return kindArray
	case '"':
		return kindString
	case 't', 'f':
		return kindBool
	case 'n':
		return kindNull
	default:
		return kindNumber
	}
}

// member is the value of a key; false when there is none or t is no object.
func (t jsonText) member(key string) (value jsonText, ok bool) {
	if t.kind() == kindObject {
		p := parser{text: string(t)}
		_ = p.object(0, func(k string, v jsonText) {
			if k == key {
				value, ok = v, true
			}
		})
	}
	return value, ok
}

// items are the elements of a list, nil when t is none.
func (t jsonText) items() (items []jsonText) {
	if t.kind() == kindArray {
		p := parser{text: string(t)}
		_ = p.array(0, func(v jsonText) { items = append(items, v) })
	}
	return items
}

// item is the i-th element, from 0; false when there is none or t is no list.
func (t jsonText) item(i int) (value jsonText, ok bool) {
	if t.kind() == kindArray {
		p := parser{text: string(t)}
		_ = p.array(0, func(v jsonText) {
			if i == 0 {
				value, ok = v, true
			}
			i--
		})
	}
	return value, ok
}

// text is what an environment variable holds of t: strings unescaped, numbers
// and booleans as sent, objects and lists as compact JSON.
func (t jsonText) text() string {
	switch t.kind() {
	case kindString:
		p := parser{text: string(t)}
		s, _ := p.string()
		return s
	case kindArray, kindObject:
		return compact(string(t))
	default:
		return string(t)
	}
}

// decode is t as encoding/json has it, numbers as json.Number.
func (t jsonText) decode() any {
	d := json.NewDecoder(strings.NewReader(string(t)))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		// t is valid JSON and not deep, so this is a defect of the parser.
		panic(fmt.Sprintf("decode of checked JSON: %v", err))
	}
	return v
}

// compact drops the white space between the tokens of a valid JSON text.
func compact(raw string) string {
	if !strings.ContainsAny(raw, " \t\r\n") {
		return raw
	}
	out := make([]byte, 0, len(raw))
	inString := false
	for i := 0; i < len(raw); i++ {
		c := raw[i]
		switch {
		case inString && c == '\\':
			out = append(out, c)
			i++
			c = raw[i]
		case c == '"':
			inString = !inString
		case !inString && isSpace(c):
			continue
		}
		out = append(out, c)
	}
	return string(out)
}
