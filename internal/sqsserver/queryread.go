package sqsserver

import (
	"cmp"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Bounds of one Query request. The largest real one, ten messages of ten
// attributes each, has some 350 parameters of at most six parts.
const (
	maxParameters = 2048
	maxNameParts  = 8
)

// queryNode is a parameter, or a part of the path to some: in
// MessageAttribute.1.Value.DataType each word is one.
type queryNode struct {
	name  string
	path  string // from the root, for error texts
	value string
	set   bool // has a value of its own
	kids  []*queryNode
}

var _ value = (*queryNode)(nil)

// parseQuery makes the tree of the parameters in each of parts: the query of
// the URL, and the body of a POST.
func parseQuery(parts ...string) (*queryNode, error) {
	root := &queryNode{}
	n := 0
	for _, part := range parts {
		for part != "" {
			var pair string
			pair, part, _ = strings.Cut(part, "&")
			if pair == "" {
				continue
			}
			if n++; n > maxParameters {
				return nil, failf(codeMalformedQuery, "The request has more than %d parameters.", maxParameters)
			}
			if err := root.add(pair); err != nil {
				return nil, err
			}
		}
	}
	return root, nil
}

func (n *queryNode) add(pair string) error {
	rawName, rawValue, _ := strings.Cut(pair, "=")
	name, err := url.QueryUnescape(rawName)
	if err != nil {
		return failf(codeMalformedQuery, "The name of a parameter is not percent-encoded as it should be.")
	}
	val, err := url.QueryUnescape(rawValue)
	if err != nil {
		return failf(codeMalformedQuery, "The value of parameter %.100q is not percent-encoded as it should be.", name)
	}
	if !utf8.ValidString(name) || !utf8.ValidString(val) {
		return failf(codeMalformedQuery, "Parameter %.100q is not valid UTF-8.", name)
	}
	parts := strings.SplitN(name, ".", maxNameParts+1)
	if len(parts) > maxNameParts {
		return failf(codeMalformedQuery, "The name of parameter %.100q has too many parts.", name)
	}
	for _, p := range parts {
		n = n.kid(p)
	}
	if n.set {
		return failf(codeMalformedQuery, "Parameter %.100q is there twice.", name)
	}
	n.value, n.set = val, true
	return nil
}

// kid is the child of that name, made when missing.
func (n *queryNode) kid(name string) *queryNode {
	if k := n.find(name); k != nil {
		return k
	}
	k := &queryNode{name: name, path: name}
	if n.path != "" {
		k.path = n.path + "." + name
	}
	n.kids = append(n.kids, k)
	return k
}

func (n *queryNode) find(name string) *queryNode {
	for _, k := range n.kids {
		if k.name == name {
			return k
		}
	}
	return nil
}

// get is the value of a top-level parameter, "" when missing.
func (n *queryNode) get(name string) string {
	if k := n.find(name); k != nil {
		return k.value
	}
	return ""
}

func (n *queryNode) text() (string, error) { return n.value, nil }

func (n *queryNode) integer() (int, error) {
	i, ok := parseInt32(n.value)
	if !ok {
		return 0, failf(codeInvalidParameter, "Value %.40s for parameter %s is invalid. Reason: Must be an integer.", n.value, n.path)
	}
	return i, nil
}

func (n *queryNode) object(f func(string, value) error) error {
	for _, k := range n.kids {
		name := k.name
		if long, ok := queryNames[name]; ok {
			name = long
		}
		if err := f(name, k); err != nil {
			return err
		}
	}
	return nil
}

// elements are the children that carry a number, in its order. A parameter
// without one is a list of itself (AttributeName=All), or none when it is empty:
// so botocore writes an empty list.
func (n *queryNode) elements() []*queryNode {
	type numbered struct {
		i int
		k *queryNode
	}
	var in []numbered
	for _, k := range n.kids {
		if i, err := strconv.Atoi(k.name); err == nil {
			in = append(in, numbered{i, k})
		}
	}
	switch {
	case len(in) == 0 && len(n.kids) == 0 && n.value == "":
		return nil
	case len(in) == 0:
		return []*queryNode{n}
	}
	slices.SortStableFunc(in, func(a, b numbered) int { return cmp.Compare(a.i, b.i) })
	out := make([]*queryNode, len(in))
	for i, e := range in {
		out[i] = e.k
	}
	return out
}

func (n *queryNode) list(f func(value) error) error {
	for _, k := range n.elements() {
		if err := f(k); err != nil {
			return err
		}
	}
	return nil
}

func (n *queryNode) dictionary(f func(string, value) error) error {
	for _, k := range n.elements() {
		name := k.find("Name")
		if name == nil {
			name = k.find("Key")
		}
		if name == nil {
			return missing(k.path + ".Name")
		}
		val := k.find("Value")
		if val == nil {
			return missing(k.path + ".Value")
		}
		if err := f(name.value, val); err != nil {
			return err
		}
	}
	return nil
}
