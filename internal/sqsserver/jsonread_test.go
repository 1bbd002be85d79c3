package sqsserver

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/queuemill/queuemill/internal/queue/embedded"
)

// tree reads whatever is there, as encoding/json would with UseNumber.
func tree(r *jsonReader) (any, error) {
	switch c := r.next(); {
	case c == '{':
		m := map[string]any{}
		err := r.dictionary(func(key string, v value) (err error) {
			m[key], err = tree(v.(*jsonReader))
			return err
		})
		return m, err
	case c == '[':
		l := []any{}
		err := r.list(func(v value) error {
			e, err := tree(v.(*jsonReader))
			l = append(l, e)
			return err
		})
		return l, err
	case c == '"':
		return r.text()
	case c == '-' || c >= '0' && c <= '9':
		n, err := r.integer()
		return json.Number(fmt.Sprint(n)), err
	}
	start := r.i
	err := r.skip()
	return string(r.b[start:r.i]) == "true", err
}

// withoutNull is v as this package reads it: nulls are not there,
// and -0 is 0.
func withoutNull(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for k, e := range v {
			if e == nil {
				delete(v, k)
			} else {
				v[k] = withoutNull(e)
			}
		}
		return v
	case []any:
		l := []any{}
		for _, e := range v {
			if e != nil {
				l = append(l, withoutNull(e))
			}
		}
		return l
	case json.Number:
		if v == "-0" {
			return json.Number("0")
		}
	}
	return v
}

func readTree(b []byte) (map[string]any, error) {
	m := map[string]any{}
	r := &jsonReader{b: b}
	err := r.request(func(key string, v value) (err error) {
		m[key], err = tree(v.(*jsonReader))
		return err
	})
	return m, err
}

// What the reader takes, encoding/json takes too, and reads the same in it.
func FuzzJSON(f *testing.F) {
	for _, s := range []string{
		`{}`, ``, ` { "a" : [ 1 , -20, 0 ] , "b" : { "c" : null , "d" : true } } `,
		`{"a":"\u00e9\ud83d\ude00\n\t\"\\\/\b\f\r"}`, `{"a":"\ud83d"}`, `{"a":"\ude00\ud83d"}`,
		`{"a":1,"a":2}`, `{"a":01}`, `{"a":1.5e3}`, `{"a":99999999999}`, `{"a":-}`, `{"a":"x`, `{"a":"\x"}`,
		`{"a":[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]}`, `{"a":1}x`, "{\"a\":\"\x00\"}", "{\"a\":\"\xff\"}", "{\"\xff\":1}",
		`[]`, `null`, `{"a":nul}`, `{"a":tru}`, `{"a":1,}`, `{"a":[1,]}`, `{,}`, `{"a"}`, `{"a":}`,
		`{"QueueUrl":"http://h/000000000000/q","MessageBody":"b","MessageAttributes":{"n":{"DataType":"String","StringValue":"v"}}}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := readTree(b)
		if err != nil {
			var e *embedded.Error
			if !errors.As(err, &e) || e.Code != codeSerialization {
				t.Fatalf("%q: error %v is not for the client", b, err)
			}
			return
		}
		want := map[string]any{}
		if len(bytes.TrimSpace(b)) > 0 {
			d := json.NewDecoder(bytes.NewReader(b))
			d.UseNumber()
			if err := d.Decode(&want); err != nil {
				t.Fatalf("%q: taken, but encoding/json says %v", b, err)
			}
		}
		if w := withoutNull(want); !reflect.DeepEqual(any(got), w) {
			t.Fatalf("%q: read %#v, want %#v", b, got, w)
		}
	})
}

// Every text comes back from JSON and from XML as it went in.
func FuzzText(f *testing.F) {
	for _, s := range []string{"", "plain", "\"quoted\" \\ / <&> 'é' 😀", "a\r\nb\tc", "\x00\x1f\x7f", "]]>", "\u2028\ufffd"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if !utf8.ValidString(s) {
			return
		}
		var back string
		b := appendJSON(nil, s)
		if err := json.Unmarshal(b, &back); err != nil || back != s {
			t.Fatalf("%q became %s, read as %q, %v", s, b, back, err)
		}
		if got, err := (&jsonReader{b: b}).text(); err != nil || got != s {
			t.Fatalf("%q became %s, which the reader takes for %q, %v", s, b, got, err)
		}
		// What encoding/json writes is what an SDK may send.
		b, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := (&jsonReader{b: b}).text(); err != nil || got != s {
			t.Fatalf("%s was read as %q, %v; want %q", b, got, err, s)
		}
		if got := fromXML(t, appendXML(nil, s)); got != s && !strings.ContainsFunc(s, notXML) {
			t.Fatalf("%q came back from XML as %q", s, got)
		}
	})
}

func notXML(r rune) bool {
	return r < ' ' && r != '\t' && r != '\n' && r != '\r' || r == 0xfffe || r == 0xffff
}

func TestPlainPrefixStopsAtEveryByteThatNeedsCare(t *testing.T) {
	for c := range 256 {
		plain := c >= ' ' && c < 0x80 && c != '"' && c != '\\'
		for at := range 20 {
			b := bytes.Repeat([]byte("~ "), 10)
			b[at] = byte(c)
			want := at
			if plain {
				want = len(b)
			}
			if got := plainPrefix(b); got != want {
				t.Fatalf("byte 0x%02x at %d: %d, want %d", c, at, got, want)
			}
		}
	}
}

func TestJSONErrorsSayWhatIsWrong(t *testing.T) {
	deep := strings.Repeat(`{"a":`, maxDepth+1) + "1" + strings.Repeat("}", maxDepth+1)
	many := "{" + strings.Repeat(`"x":{},`, 1) + manyMembers(maxItems+20) + "}"
	for _, c := range []struct{ in, want string }{
		{`{"MessageBody":5}`, "NUMBER_VALUE can not be converted to a String"},
		{`{"MessageBody":true}`, "TRUE_VALUE can not be converted to a String"},
		{`{"MessageBody":{}}`, "Start of structure or map found where not expected."},
		{`{"DelaySeconds":"5"}`, "STRING_VALUE can not be converted to an Integer"},
		{`{"DelaySeconds":1.5}`, "1.5 can not be converted to an Integer"},
		{`{"DelaySeconds":2147483648}`, "2147483648 can not be converted to an Integer"},
		{`{"DelaySeconds":1e400}`, "1e400 can not be converted to an Integer"},
		{`{"MessageBody":"a","MessageBody":"b"}`, `member "MessageBody" is a duplicate`},
		{`{"MessageBody":"a"} {}`, "unexpected data after the request"},
		{`{"MessageBody":"a`, "unexpected end of the request in a string"},
		{`{"MessageBody":"` + "\x01" + `"}`, "unescaped control character 0x01"},
		{`{"MessageBody":"` + "\xff" + `"}`, "not valid UTF-8"},
		{`{"MessageBody":"\ud800"}`, `a \u escape is no character`},
		{`{"MessageBody":"\ud800\u0041"}`, `a \u escape is no character`},
		{deep, "nested deeper than"},
		{many, "one of more than 1000"},
		{`"x"`, "STRING_VALUE can not be converted to a structure"},
		{`nonsense`, "expected a structure"},
	} {
		var s sending
		err := (&jsonReader{b: []byte(c.in)}).request(s.read)
		var e *embedded.Error
		if !errors.As(err, &e) || e.Code != codeSerialization || !strings.Contains(e.Message, c.want) {
			t.Errorf("%.60s: %v, want %s with %q", c.in, err, codeSerialization, c.want)
		}
	}
}

func manyMembers(n int) string {
	members := make([]string, n)
	for i := range members {
		members[i] = fmt.Sprintf(`"m%d":0`, i)
	}
	return strings.Join(members, ",")
}
