package queue_test

import (
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/queuemill/queuemill/internal/queue"
)

func TestARejectedMessageCarriesTheReasonWhereThereIsRoom(t *testing.T) {
	text := func(s string) queue.Attribute { return queue.Attribute{DataType: "String", StringValue: s} }
	ten := map[string]queue.Attribute{}
	for i := range 10 {
		ten[fmt.Sprint("a", i)] = text("v")
	}
	again := map[string]queue.Attribute{queue.AttributeReason: text("earlier")}
	for i := range 9 {
		again[fmt.Sprint("a", i)] = text("v")
	}
	for _, tc := range []struct {
		name   string
		m      queue.Message
		reason string
		want   string
	}{
		{"plain", queue.Message{Body: "b"}, "no such customer\n", "no such customer"},
		{"what SQS refuses", queue.Message{Body: "b"}, "bell \a, broken \xff, tab\t.", "bell ?, broken ?, tab\t."},
		{"none", queue.Message{Body: "b"}, " \n", ""},
		{"ten attributes", queue.Message{Body: "b", Attributes: ten}, "r", ""},
		{"the earlier reason is replaced", queue.Message{Body: "b", Attributes: again}, "r", "r"},
		{"long", queue.Message{Body: "b"}, strings.Repeat("é", 2000), strings.Repeat("é", 512)},
		{"no room at all", queue.Message{Body: strings.Repeat("x", 1<<20)}, "r", ""},
		{"room for a little", queue.Message{Body: strings.Repeat("x", 1<<20-len(queue.AttributeReason)-len("String")-3)}, "ééé", "é"},
	} {
		before := len(tc.m.Attributes)
		out := queue.Rejected(&tc.m, tc.reason, false)
		if got := out.Attributes[queue.AttributeReason].StringValue; got != tc.want || !utf8.ValidString(got) {
			t.Errorf("%s: reason %.80q, want %.80q", tc.name, got, tc.want)
		}
		if len(tc.m.Attributes) != before || len(out.Attributes) > 10 {
			t.Errorf("%s: %d attributes became %d, and %d in the original", tc.name, before, len(out.Attributes), len(tc.m.Attributes))
		}
	}
}
