package message

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func lookupIn(vars map[string]string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		v, ok := vars[name]
		return v, ok
	}
}

func TestExpandAsKubernetesDoes(t *testing.T) {
	lookup := lookupIn(map[string]string{"A": "1", "B": "two", "EMPTY": "", "REF": "$(A)", "ODD NAME": "odd", "": "nameless"})
	for _, tc := range []struct{ in, want string }{
		{"", ""},
		{"plain", "plain"},
		{"$(A)", "1"},
		{"-$(A)-$(B)-$(A)-", "-1-two-1-"},
		{"[$(EMPTY)]", "[]"},
		{"$(UNKNOWN)", "$(UNKNOWN)"},
		{"$$(A)", "$(A)"},
		{"$$$(A)", "$1"},
		{"$$$$(A)", "$$(A)"},
		{"$$$$$(UNKNOWN)", "$$$(UNKNOWN)"},
		{"$$", "$"},
		{"$", "$"},
		{"end$", "end$"},
		{"$A ${A} $? $!", "$A ${A} $? $!"},
		{"$(REF)", "$(A)"},
		{"$(REF)$(REF)", "$(A)$(A)"},
		{`\$(A)`, `\1`},
		{"$(A", "$(A"},
		{"$(", "$("},
		{"$(B)$(A", "two$(A"},
		{"$($($(", "$($($("},
		{"$(A$(B))", "$(A$(B))"},
		{"$(A$$B)", "$(A$$B)"},
		{"$(ODD NAME)", "odd"},
		{"$()", "nameless"},
		{"(A) $ (A)", "(A) $ (A)"},
		{"$é$(A)", "$é1"},
		{"a\n$(A)", "a\n1"},
		{")$(A", ")$(A"},
		{"$x$(A)", "$x1"},
	} {
		if got := Expand(tc.in, lookup); got != tc.want {
			t.Errorf("Expand(%q) = %q, want %q", tc.in, got, tc.want)
		}
	}
}

func FuzzExpand(f *testing.F) {
	for _, seed := range []string{"$(A) $$(A) $(", "$($(A))", "$$$", "é$é$(B)"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		none := func(string) (string, bool) { return "", false }
		if doubled := strings.ReplaceAll(s, "$", "$$"); Expand(doubled, none) != s {
			t.Errorf("%q with each $ doubled expands to %q", s, Expand(doubled, none))
		}
		got := Expand(s, lookupIn(map[string]string{"A": "1", "B": ""}))
		if utf8.ValidString(s) && !utf8.ValidString(got) {
			t.Errorf("%q expands to %q, which is not UTF-8", s, got)
		}
		if len(got) > len(s) {
			t.Errorf("%q grows to %q", s, got)
		}
	})
}
