package manifest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// document is one YAML document of a file.
type document struct {
	root *yaml.Node
	line int // of the file before its first one
}

// split reads the documents of a file. What can't be read at all is one error.
func split(file string, data []byte) ([]document, []*Error) {
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	if err := unreadable(file, data); err != nil {
		return nil, []*Error{err}
	}
	var docs []document
	var errs []*Error
	for _, part := range parts(string(data)) {
		var root yaml.Node
		if err := yaml.Unmarshal([]byte(unescape(part.text)), &root); err != nil {
			errs = append(errs, syntaxError(file, part, err))
			continue
		}
		if len(root.Content) == 0 {
			continue // nothing but comments
		}
		if n := root.Content[0]; n.Kind == yaml.ScalarNode && n.Tag == "!!null" && n.Value == "" {
			continue
		}
		docs = append(docs, document{root.Content[0], part.line})
	}
	if len(docs) == 0 && len(errs) == 0 {
		return nil, []*Error{{File: file, Msg: "holds no manifest", Hint: "a manifest begins with apiVersion: queuemill.dev/v1alpha1"}}
	}
	return docs, errs
}

// jsonEscapes matches what JSON may write and the YAML library can't read: an
// escaped slash, and a character as two halves of a pair. An escaped backslash
// is matched to be stepped over.
var jsonEscapes = regexp.MustCompile(`\\\\|\\/|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}`)

// unescape writes such characters out where the text is JSON.
func unescape(text string) string {
	if !strings.Contains(text, `\`) || !json.Valid([]byte(text)) {
		return text
	}
	return jsonEscapes.ReplaceAllStringFunc(text, func(escape string) string {
		var char string
		if escape == `\\` || json.Unmarshal([]byte(`"`+escape+`"`), &char) != nil {
			return escape
		}
		return char
	})
}

// unreadable tells what is no text from what is.
func unreadable(file string, data []byte) *Error {
	switch {
	case bytes.HasPrefix(data, []byte("\xff\xfe")), bytes.HasPrefix(data, []byte("\xfe\xff")):
		return &Error{File: file, Msg: "is UTF-16; save it as UTF-8"}
	case bytes.IndexByte(data, 0) >= 0:
		return &Error{File: file, Msg: "is a binary file, not a manifest"}
	case !utf8.Valid(data):
		line := 1
		for rest := data; len(rest) > 0; {
			r, size := utf8.DecodeRune(rest)
			if r == utf8.RuneError && size == 1 {
				return &Error{File: file, Line: line, Msg: fmt.Sprintf("byte 0x%02x is not UTF-8", rest[0])}
			}
			if r == '\n' {
				line++
			}
			rest = rest[size:]
		}
	}
	return nil
}

// part is the text of one document; line is how many lines stand before it.
type part struct {
	text string
	line int
}

// parts cuts a file at its document markers, which YAML allows nowhere else at
// the beginning of a line (YAML 1.2, section 9.1.2).
func parts(text string) []part {
	var all []part
	current := part{}
	line := 0
	for l := range strings.Lines(text) {
		marker := strings.TrimRight(l, "\r\n")
		switch {
		case marker == "---" || strings.HasPrefix(marker, "--- ") || strings.HasPrefix(marker, "---\t"):
			all = append(all, current)
			// The marker goes; what stands behind it on its line stays.
			current = part{text: "   " + l[3:], line: line}
		case marker == "..." || strings.HasPrefix(marker, "%YAML"):
			current.text += "\n"
		default:
			current.text += l
		}
		line++
	}
	return append(all, current)
}

var yamlLine = regexp.MustCompile(`^yaml: line ([0-9]+): (.*)$`)

// syntaxError words an error of the YAML library, whose favourite is the tab.
func syntaxError(file string, p part, err error) *Error {
	for i, l := range strings.Split(p.text, "\n") {
		indent := l[:len(l)-len(strings.TrimLeft(l, " \t"))]
		if strings.Contains(indent, "\t") && !strings.HasPrefix(strings.TrimSpace(p.text), "{") {
			return &Error{File: file, Line: p.line + i + 1, Msg: "is indented by a tab; YAML takes blanks only"}
		}
	}
	var syntax *json.SyntaxError
	if jsonErr := json.Unmarshal([]byte(p.text), new(any)); strings.HasSuffix(file, ".json") && errors.As(jsonErr, &syntax) {
		line := 1 + strings.Count(p.text[:syntax.Offset], "\n")
		return &Error{File: file, Line: p.line + line, Msg: "is not JSON: " + syntax.Error()}
	}
	line, msg := 1, strings.TrimPrefix(err.Error(), "yaml: ")
	if match := yamlLine.FindStringSubmatch(err.Error()); match != nil {
		line, _ = strconv.Atoi(match[1])
		msg = match[2]
	}
	return &Error{File: file, Line: p.line + max(line, firstBroken(p.text)), Msg: "is not YAML: " + msg}
}

// firstBroken is the line with which a text stops being YAML. The library often
// names the line where the block or list around it began.
func firstBroken(text string) int {
	const mostLines, mostBytes = 500, 64 << 10 // up to which it is looked for, a parse a line
	lines := strings.SplitAfter(text, "\n")
	if len(lines) > mostLines || len(text) > mostBytes {
		return 0
	}
	for n := len(lines) - 1; n > 0; n-- {
		if yaml.Unmarshal([]byte(strings.Join(lines[:n], "")), new(yaml.Node)) == nil {
			return n + 1
		}
	}
	return 1
}
