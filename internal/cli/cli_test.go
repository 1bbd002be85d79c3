package cli

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
)

var update = flag.Bool("update", false, "write the golden files anew")

// golden compares got with testdata/name.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := "testdata/" + name
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s differs; go test -update writes it anew\n%s", path, diff)
	}
}

func TestHelpIsAsReviewed(t *testing.T) {
	var all bytes.Buffer
	p := &program{env: Env{Stdout: &all, Stderr: &all}}
	var show func(cmd *cobra.Command)
	show = func(cmd *cobra.Command) {
		fmt.Fprintf(&all, "### %s\n\n", cmd.CommandPath())
		if err := cmd.Help(); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintln(&all)
		for _, sub := range cmd.Commands() {
			if !sub.Hidden {
				show(sub)
			}
		}
	}
	show(p.root())
	golden(t, "help.txt", all.String())
}

func TestEveryVerbIsInAGroupAndExplained(t *testing.T) {
	p := &program{}
	for _, cmd := range p.root().Commands() {
		if cmd.Hidden {
			continue
		}
		if cmd.GroupID == "" || cmd.Short == "" || strings.HasSuffix(cmd.Short, ".") {
			t.Errorf("%s: group %q, short %q", cmd.Name(), cmd.GroupID, cmd.Short)
		}
	}
}

func TestSanitizeLeavesNothingForATerminal(t *testing.T) {
	for in, want := range map[string]string{
		"plain ünïcode 😀":   "plain ünïcode 😀",
		"a\x1b[2Jb":         `a\x1b[2Jb`,
		"a\u009bb":          `a\u009bb`,
		"a\x7fb\x00":        `a\x7fb\x00`,
		"a\u202eb\u2066":    `a\u202eb\u2066`,
		"a\xffb":            `a\xffb`,
		"one\ntwo\tthree\r": `one\ntwo\tthree\r`,
		"\ufffd":            "\ufffd",
	} {
		if got := sanitize(in, oneLine); got != want {
			t.Errorf("sanitize(%q) = %q, want %q", in, got, want)
		}
	}
	if got := sanitize("one\n\ttwo\r\x1b", keepNewlines); got != "one\n\ttwo\\r\\x1b" {
		t.Errorf("with newlines kept: %q", got)
	}
}

func FuzzSanitize(f *testing.F) {
	f.Add("a\x1b[31mb\u009b\xff\n")
	f.Fuzz(func(t *testing.T, s string) {
		for _, r := range sanitize(s, oneLine) {
			if isHarmful(r) {
				t.Fatalf("%q has %q", sanitize(s, oneLine), r)
			}
		}
	})
}

func TestTerminalWriterLetsColoursPassHoweverTheyAreCut(t *testing.T) {
	const in = "\x1b[1;31mred\x1b[0m \x1b]0;title\x07 é\u009b bad\xff\r\n\x1b[999999999999999999999999999999999999999999999999999999999999999999m\x1b"
	const want = "\x1b[1;31mred\x1b[0m \\x1b]0;title\\x07 é\\u009b bad\\xff\r\n\\x1b[999999999999999999999999999999999999999999999999999999999999999999m\\x1b"
	for size := 1; size <= len(in); size++ {
		var out bytes.Buffer
		w := &terminalWriter{w: &out}
		for rest := in; rest != ""; {
			n := min(size, len(rest))
			if _, err := w.Write([]byte(rest[:n])); err != nil {
				t.Fatal(err)
			}
			rest = rest[n:]
		}
		if err := w.Flush(); err != nil {
			t.Fatal(err)
		}
		if out.String() != want {
			t.Fatalf("in pieces of %d: %q, want %q", size, out.String(), want)
		}
	}
}

func TestAgesReadLikeKubectl(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Second: "0s", 0: "0s", 59 * time.Second: "59s", 119 * time.Second: "119s", 2 * time.Minute: "2m",
		200 * time.Second: "3m20s", 45 * time.Minute: "45m", 179 * time.Minute: "179m", 185 * time.Minute: "3h5m",
		9 * time.Hour: "9h", 76 * time.Hour: "3d4h", 48 * time.Hour: "2d", 200 * 24 * time.Hour: "200d",
	} {
		if got := age(d); got != want {
			t.Errorf("age(%s) = %s, want %s", d, got, want)
		}
	}
}

func TestTableFitsTheTerminal(t *testing.T) {
	table := newTable("DETAIL", "NAME", "DETAIL", "STATE")
	table.add("one", "a long detail\nof two lines", "Failed")
	table.add("two", "short", "Running")
	for name, c := range map[string]struct {
		style tableStyle
		want  string
	}{
		"no terminal":   {tableStyle{}, "NAME   DETAIL                        STATE\none    a long detail\\nof two lines   Failed\ntwo    short                         Running\n"},
		"narrow":        {tableStyle{width: 30}, "NAME   DETAIL          STATE\none    a long detai…   Failed\ntwo    short           Running\n"},
		"very narrow":   {tableStyle{width: 5, noHeaders: true}, "one   a long …   Failed\ntwo   short      Running\n"},
		"with colours":  {tableStyle{colours: true, noHeaders: true, width: 20}, "one   a long …   \x1b[31mFailed\x1b[0m\ntwo   short      \x1b[36mRunning\x1b[0m\n"},
		"wide terminal": {tableStyle{width: 300, noHeaders: true}, "one   a long detail\\nof two lines   Failed\ntwo   short                         Running\n"},
	} {
		var out bytes.Buffer
		if err := table.print(&out, c.style); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(c.want, out.String()); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func TestJSONIsSafeOnATerminalAndStaysTheSameValue(t *testing.T) {
	var out bytes.Buffer
	if err := printJSON(&out, map[string]string{"body": "<b> & \u009b31m\u202e\x1b"}, ""); err != nil {
		t.Fatal(err)
	}
	if got, want := out.String(), `{"body":"<b> & \u009b31m\u202e\u001b"}`+"\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestCredentialsFile(t *testing.T) {
	const good = "# keys\n[default]\naws_access_key_id = A\naws_secret_access_key=s=1\nregion = x\n\n[other]\naws_access_key_id=B\naws_secret_access_key = t\naws_session_token = u\n"
	all, err := parseCredentials("keys", good)
	if err != nil || len(all) != 2 || all[0].SecretAccessKey != "s=1" || all[1].SessionToken != "u" {
		t.Errorf("%+v, %v", all, err)
	}
	for text, want := range map[string]string{
		"":                              "has no keys",
		"hello":                         "keys:1: not KEY = VALUE",
		"[a]\naws_access_key_id = A\n":  "not complete",
		"aws_secret_access_key = hush1": "not complete",
	} {
		_, err := parseCredentials("keys", text)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hush1") {
			t.Errorf("%q: %v, want %q and no secret", text, err, want)
		}
	}
}

func TestReportSaysWhatAndWhatNext(t *testing.T) {
	var out bytes.Buffer
	p := &program{env: Env{Stderr: &out}}
	code := p.report(fmt.Errorf("wrapped: %w", notFoundf("look elsewhere", "there is no \x1b[2Jjob")))
	if code != exitNotFound || out.String() != "queuemill: wrapped: there is no \\x1b[2Jjob\nhint: look elsewhere\n" {
		t.Errorf("code %d, %q", code, out.String())
	}
	out.Reset()
	if code := p.report(errJobsFailed); code != exitJobsFailed || out.Len() > 0 {
		t.Errorf("code %d, %q", code, out.String())
	}
	if code := p.report(errors.New("plain")); code != exitError || out.String() != "queuemill: plain\n" {
		t.Errorf("code %d, %q", code, out.String())
	}
}
