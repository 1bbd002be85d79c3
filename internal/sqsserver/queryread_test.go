package sqsserver

import (
	"encoding/xml"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/queuemill/queuemill/internal/queue/embedded"
)

func fromXML(t *testing.T, b []byte) string {
	t.Helper()
	var v struct {
		S string `xml:",chardata"`
	}
	if err := xml.Unmarshal([]byte("<v>"+string(b)+"</v>"), &v); err != nil {
		t.Fatalf("%q is no XML: %v", b, err)
	}
	return v.S
}

// What the reader takes, net/url takes too, and finds each value where it does.
func FuzzQuery(f *testing.F) {
	for _, s := range []string{
		"", "Action=SendMessage&MessageBody=a+b%20c", "a=1&a=2", "a.b=1&a=2&a.b.c=3", "&&=&a&=b", "%zz=1", "a=%f", "a=%ff", "a;b=c",
		"MessageAttribute.1.Name=n&MessageAttribute.1.Value.DataType=String&MessageAttribute.1.Value.StringValue=v",
		"AttributeName.2=b&AttributeName.1=a&AttributeName.x=c", "a.b.c.d.e.f.g.h.i=1", "...=1",
		"SendMessageBatchRequestEntry.1.Id=a&SendMessageBatchRequestEntry.1.MessageBody=b",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		root, err := parseQuery(s)
		if err != nil {
			var e *embedded.Error
			if !errors.As(err, &e) || e.Code != codeMalformedQuery {
				t.Fatalf("%q: error %v is not for the client", s, err)
			}
			return
		}
		want, err := url.ParseQuery(strings.ReplaceAll(s, ";", "%3B"))
		if err != nil {
			t.Fatalf("%q: taken, but net/url says %v", s, err)
		}
		for name, values := range want {
			n := root
			for part := range strings.SplitSeq(name, ".") {
				if n = n.find(part); n == nil {
					t.Fatalf("%q: parameter %q was lost", s, name)
				}
			}
			if n.value != values[0] || len(values) != 1 {
				t.Fatalf("%q: parameter %q is %q, want %q", s, name, n.value, values)
			}
		}
	})
}

func TestQueryErrorsSayWhatIsWrong(t *testing.T) {
	many := make([]string, maxParameters+1)
	for i := range many {
		many[i] = fmt.Sprintf("p%d=", i)
	}
	for _, c := range []struct{ in, code, want string }{
		{"MessageBody=%zz", codeMalformedQuery, `The value of parameter "MessageBody" is not percent-encoded`},
		{"%zz=a", codeMalformedQuery, "The name of a parameter is not percent-encoded"},
		{"MessageBody=%ff", codeMalformedQuery, `"MessageBody" is not valid UTF-8`},
		{"MessageBody=a&MessageBody=b", codeMalformedQuery, `"MessageBody" is there twice`},
		{"a.b.c.d.e.f.g.h.i=", codeMalformedQuery, "too many parts"},
		{strings.Join(many, "&"), codeMalformedQuery, "more than 2048 parameters"},
		{"DelaySeconds=x", codeInvalidParameter, "Value x for parameter DelaySeconds is invalid. Reason: Must be an integer."},
		{"DelaySeconds=99999999999", codeInvalidParameter, "Must be an integer"},
		{"MessageAttribute.1.Name=a&MessageAttribute.1.Value.BinaryValue=*", codeInvalidParameter, "Binary values must be base64-encoded."},
		{"MessageAttribute.1.Value.StringValue=a", codeMissingParameter, "The request must contain the parameter MessageAttribute.1.Name."},
		{"MessageAttribute.1.Name=a", codeMissingParameter, "The request must contain the parameter MessageAttribute.1.Value."},
	} {
		root, err := parseQuery(c.in)
		if err == nil {
			var s sending
			err = root.object(s.read)
		}
		var e *embedded.Error
		if !errors.As(err, &e) || string(e.Code) != c.code || !strings.Contains(e.Message, c.want) {
			t.Errorf("%.60s: %v, want %s with %q", c.in, err, c.code, c.want)
		}
	}
}

func TestListsOfQueryAreInTheOrderOfTheirNumbers(t *testing.T) {
	for in, want := range map[string]string{
		"AttributeName.10=c&AttributeName.2=b&AttributeName.1=a": "[a b c]",
		"AttributeName=All": "[All]",
		"AttributeName.1=a": "[a]",
	} {
		root, err := parseQuery(in)
		if err != nil {
			t.Fatal(err)
		}
		var r receiving
		if err := root.object(r.read); err != nil || fmt.Sprint(r.system) != want {
			t.Errorf("%s: %v, %v, want %s", in, r.system, err, want)
		}
	}
}
