package cli

import (
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"
)

type sanitizeMode int

const (
	oneLine      sanitizeMode = iota // newlines and tabs are shown as \n and \t
	keepNewlines                     // newlines and tabs stay
)

// sanitize makes text of strangers harmless and visible on a terminal: control
// characters (escape sequences begin with one), direction marks and bytes that
// are not UTF-8 are written as Go writes them in a string.
func sanitize(s string, mode sanitizeMode) string {
	if !strings.ContainsFunc(s, func(r rune) bool { return isHarmful(r) || r == utf8.RuneError }) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case (r == '\n' || r == '\t') && mode == keepNewlines:
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\t':
			b.WriteString(`\t`)
		case r == '\r':
			b.WriteString(`\r`)
		case isHarmful(r) && r < 0x80:
			fmt.Fprintf(&b, `\x%02x`, r)
		case isHarmful(r):
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
		i += size
	}
	return b.String()
}

// isHarmful: C0 and C1 controls, and the marks that reorder text around them.
func isHarmful(r rune) bool {
	return unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r)
}

// safeJSON escapes what encoding/json leaves as it is and a terminal would act
// on. It works on whole documents: outside of strings JSON has no such rune.
func safeJSON(document []byte) []byte {
	s := string(document)
	harmful := func(r rune) bool { return isHarmful(r) && r >= 0x7f }
	if !strings.ContainsFunc(s, harmful) {
		return document
	}
	var b strings.Builder
	for _, r := range s {
		if harmful(r) {
			fmt.Fprintf(&b, `\u%04x`, r)
		} else {
			b.WriteRune(r)
		}
	}
	return []byte(b.String())
}

// terminalWriter writes a job's output to a terminal: colours pass, all other
// control characters are made visible.
type terminalWriter struct {
	w    io.Writer
	held []byte // the begin of an escape sequence or of a rune
}

// maxSequence is more than any colour needs.
const maxSequence = 64

func (t *terminalWriter) Write(b []byte) (int, error) {
	in := append(t.held, b...)
	var out strings.Builder
	i := 0
	for i < len(in) {
		if n, whole := colour(in[i:]); n > 0 {
			if !whole {
				break
			}
			out.Write(in[i : i+n])
			i += n
			continue
		}
		if !utf8.FullRune(in[i:]) {
			break
		}
		_, size := utf8.DecodeRune(in[i:])
		// A carriage return alone is how progress bars work.
		if piece := string(in[i : i+size]); piece == "\r" {
			out.WriteString(piece)
		} else {
			out.WriteString(sanitize(piece, keepNewlines))
		}
		i += size
	}
	t.held = append([]byte(nil), in[i:]...)
	_, err := io.WriteString(t.w, out.String())
	return len(b), err
}

// Flush writes what is held back.
func (t *terminalWriter) Flush() error {
	_, err := io.WriteString(t.w, sanitize(string(t.held), keepNewlines))
	t.held = nil
	return err
}

// colour is the length of the SGR sequence (ESC [ 1;31 m) at the begin of b, 0
// when there is none, and whether it is all there.
func colour(b []byte) (n int, whole bool) {
	if b[0] != 0x1b {
		return 0, false
	}
	if len(b) == 1 {
		return 1, false
	}
	if b[1] != '[' {
		return 0, false
	}
	for i := 2; i < len(b) && i < maxSequence; i++ {
		switch c := b[i]; {
		case c >= '0' && c <= '9' || c == ';' || c == ':':
		case c == 'm':
			return i + 1, true
		default:
			return 0, false
		}
	}
	if len(b) >= maxSequence {
		return 0, false
	}
	return len(b), false
}
