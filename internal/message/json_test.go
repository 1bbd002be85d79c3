package message

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/queuemill/queuemill/api/v1alpha1"
	"github.com/queuemill/queuemill/internal/reason"
)

func TestWhatIsNotJSON(t *testing.T) {
	deep := strings.Repeat("[", 200_000)
	for _, tc := range []struct{ body, want string }{
		{"", "it is empty"},
		{" \n", "it is empty"},
		{"\ufeff{}", "it begins with a byte order mark"},
		{"{", "line 1, column 2: a key in double quotes is expected"},
		{`{"a"}`, "line 1, column 5: a colon is expected"},
		{`{"a":1`, "line 1, column 7: a comma or } is expected"},
		{`{"a":1,}`, "line 1, column 8: a key in double quotes is expected"},
		{"{\n \"a\": 1,\n \"b\": 2,\n \"a\": 3}", `line 4, column 2: the key "a" is there twice in one object`},
		{`{"a":{"x":1,"\u0078":2}}`, `line 1, column 13: the key "x" is there twice in one object`},
		{`{"a\u001b[31m":1,"a\u001b[31m":2}`, `line 1, column 18: the key "a?[31m" is there twice in one object`},
		{`[1,]`, "line 1, column 4: a value is expected"},
		{`[1 2]`, "line 1, column 4: a comma or ] is expected"},
		{`[1`, "line 1, column 3: a comma or ] is expected"},
		{`{"a":`, "line 1, column 6: the text ends where a value is expected"},
		{`{} {}`, "line 1, column 4: there is more text behind the JSON document"},
		{`nul`, "line 1, column 1: a value is expected"},
		{`NaN`, "line 1, column 1: a value is expected"},
		{`01`, "line 1, column 2: a number must not begin with 0"},
		{`-`, "line 1, column 2: a digit is expected"},
		{`1.`, "line 1, column 3: a digit is expected"},
		{`1e+`, "line 1, column 4: a digit is expected"},
		{`.5`, "line 1, column 1: a value is expected"},
		{`"abc`, "line 1, column 5: the text ends within a string"},
		{`"abc\`, "line 1, column 6: the text ends within a string"},
		{`"a` + "\t" + `"`, "line 1, column 3: a control character (0x09) in a string must be escaped"},
		{`"\x"`, "line 1, column 2: unknown escape in a string"},
		{`"\u12g4"`, `line 1, column 2: \u must have four hexadecimal digits behind it`},
		{`"\u123`, `line 1, column 2: \u must have four hexadecimal digits behind it`},
		{`"\ud800"`, "line 1, column 2: half of a surrogate pair is no character"},
		{`"\ud800\u0041"`, "line 1, column 2: half of a surrogate pair is no character"},
		{`"\udc00"`, "line 1, column 2: half of a surrogate pair is no character"},
		{"\"\xff\"", "line 1, column 2: byte 0xff is not UTF-8"},
		{"\"\xed\xa0\x80\"", "line 1, column 2: byte 0xed is not UTF-8"},
		{"\xff", "line 1, column 1: a value is expected"},
		{deep, "line 1, column 130: nested deeper than 128 levels"},
		{strings.Repeat(`{"a":`, 200_000), "line 1, column 646: nested deeper than 128 levels"},
	} {
		item := read(t, v1alpha1.MessageSpec{Format: []v1alpha1.MessageFormat{v1alpha1.FormatJSON}}, tc.body)
		if item.Invalid == nil || item.Invalid.Reason != reason.NotJSON || item.Invalid.Detail != "the body is not JSON: "+tc.want {
			t.Errorf("%.60q: %+v, want %s", tc.body, item.Invalid, tc.want)
		}
		if item.Payload != "" || item.Env != nil || item.Attributes != nil {
			t.Errorf("%.60q: an invalid item with a payload", tc.body)
		}
	}
}

func TestEveryKindOfDocumentIsJSON(t *testing.T) {
	for _, body := range []string{"null", "true", "0", "-0.5e3", `""`, "[]", "{}", " [ ] ", strings.Repeat("[", 128) + strings.Repeat("]", 128)} {
		item := read(t, v1alpha1.MessageSpec{Format: []v1alpha1.MessageFormat{v1alpha1.FormatJSON}}, body)
		if item.Invalid != nil || item.Payload != body {
			t.Errorf("%.20q: %+v, payload %.20q", body, item.Invalid, item.Payload)
		}
	}
}

// What is read as JSON here is JSON to encoding/json as well, and means the
// same.
func FuzzParseJSON(f *testing.F) {
	for _, seed := range []string{
		`{"a": [1, 2.5e-3, "x\u00e9\ud83d\ude00\n"], "b": null}`, `[true, false]`, `{"a":1,"a":2}`, `"\ud800"`, "\"\xff\"", `1e999999999`, `{"":{}}`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		text, err := parseJSON(s, false)
		if err != nil {
			if text != "" || strings.ContainsRune(err.Error(), '\x1b') {
				t.Errorf("%q: %q, %q", s, text, err)
			}
			return
		}
		if !json.Valid([]byte(s)) {
			t.Fatalf("%q is not JSON to encoding/json", s)
		}
		if !utf8.ValidString(s) {
			t.Errorf("%q is not UTF-8", s)
		}
		switch want := text.decode().(type) {
		case string:
			if text.text() != want {
				t.Errorf("%q reads as %q, want %q", s, text.text(), want)
			}
		case []any:
			if len(text.items()) != len(want) {
				t.Errorf("%q has %d items, want %d", s, len(text.items()), len(want))
			}
		case map[string]any:
			for key := range want {
				if _, ok := text.member(key); !ok {
					t.Errorf("%q: key %q is not found", s, key)
				}
			}
		}
		again, err := parseJSON(compact(s), false)
		if err != nil || compact(string(again)) != compact(s) {
			t.Errorf("%q compacts to %q: %v", s, compact(s), err)
		}
	})
}
