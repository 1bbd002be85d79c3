package sqsserver

import (
	"encoding/base64"
	"slices"
	"strconv"
)

// answer is the body of an answer under construction, in either protocol: in
// JSON a list is an array, in Query it is its elements one after another.
type answer struct {
	b   []byte
	xml bool
}

// sep puts the comma before a JSON member or element that has one before it.
func (a *answer) sep() {
	if n := len(a.b); n > 0 && a.b[n-1] != '{' && a.b[n-1] != '[' {
		a.b = append(a.b, ',')
	}
}

func (a *answer) raw(s string) { a.b = append(a.b, s...) }

// open begins the value of a member: "name": or <name>.
func (a *answer) open(name string) {
	if a.xml {
		a.b = append(append(append(a.b, '<'), name...), '>')
		return
	}
	a.sep()
	a.b = append(append(append(a.b, '"'), name...), '"', ':')
}

func (a *answer) close(name string) {
	if a.xml {
		a.b = append(append(append(a.b, '<', '/'), name...), '>')
	}
}

// chars is s as a value, escaped.
func (a *answer) chars(s string) {
	if a.xml {
		a.b = appendXML(a.b, s)
	} else {
		a.b = appendJSON(a.b, s)
	}
}

func (a *answer) text(name, s string) {
	a.open(name)
	a.chars(s)
	a.close(name)
}

// some is text where there is any.
func (a *answer) some(name, s string) {
	if s != "" {
		a.text(name, s)
	}
}

func (a *answer) integer(name string, n int64) {
	a.open(name)
	a.b = strconv.AppendInt(a.b, n, 10)
	a.close(name)
}

func (a *answer) boolean(name string, v bool) {
	a.open(name)
	a.b = strconv.AppendBool(a.b, v)
	a.close(name)
}

func (a *answer) blob(name string, v []byte) {
	a.open(name)
	if a.xml {
		a.b = base64.StdEncoding.AppendEncode(a.b, v)
	} else {
		a.b = append(a.b, '"')
		a.b = base64.StdEncoding.AppendEncode(a.b, v)
		a.b = append(a.b, '"')
	}
	a.close(name)
}

// body is a structure, whose members f writes.
func (a *answer) body(f func()) {
	if a.xml {
		f()
		return
	}
	a.b = append(a.b, '{')
	f()
	a.b = append(a.b, '}')
}

// list is a list of n structures, each called element in XML. An empty one is
// left out, as SQS does.
func (a *answer) list(name, element string, n int, f func(i int)) {
	if n == 0 {
		return
	}
	if !a.xml {
		a.open(name)
		a.b = append(a.b, '[')
	}
	for i := range n {
		if a.xml {
			a.open(element)
		} else {
			a.sep()
		}
		a.body(func() { f(i) })
		a.close(element)
	}
	if !a.xml {
		a.b = append(a.b, ']')
	}
}

// texts is a list of strings.
func (a *answer) texts(name, element string, ss []string) {
	if len(ss) == 0 {
		return
	}
	if a.xml {
		for _, s := range ss {
			a.text(element, s)
		}
		return
	}
	a.open(name)
	a.b = append(a.b, '[')
	for _, s := range ss {
		a.sep()
		a.chars(s)
	}
	a.b = append(a.b, ']')
}

// entry is one entry of a map: "key":value, or <element><Name>key</Name>value</element>.
// Its value is written by f; in XML that must be one called Value.
func (a *answer) entry(element, keyName, key string, f func()) {
	if a.xml {
		a.open(element)
		a.text(keyName, key)
		f()
		a.close(element)
		return
	}
	a.sep()
	a.chars(key)
	a.b = append(a.b, ':')
	f()
}

// dictionary is a map of strings, sorted by key; an empty one is left out.
func (a *answer) dictionary(name, element, keyName string, m map[string]string) {
	if len(m) == 0 {
		return
	}
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	a.beginMap(name)
	for _, k := range keys {
		a.entry(element, keyName, k, func() { a.mapValue(m[k]) })
	}
	a.endMap()
}

func (a *answer) beginMap(name string) {
	if !a.xml {
		a.open(name)
		a.b = append(a.b, '{')
	}
}

func (a *answer) endMap() {
	if !a.xml {
		a.b = append(a.b, '}')
	}
}

// mapValue is the string value of a map's entry.
func (a *answer) mapValue(s string) {
	if a.xml {
		a.text("Value", s)
	} else {
		a.chars(s)
	}
}
