package cli

import (
	"bytes"
	"io"
	"regexp"
	"testing"
	"time"
)

func TestLinesStandAboveTheProgress(t *testing.T) {
	var out bytes.Buffer
	g := &progress{w: &out, width: func() int { return 12 }, begun: time.Now()}
	log := g.above(&out)
	for _, step := range []struct {
		do   func()
		want string
	}{
		{func() { _, _ = io.WriteString(log, "before\n") }, "before\n"},
		{func() { g.show("%d waiting", 3) }, "\r\x1b[K3 waiting"},
		{func() { _, _ = io.WriteString(log, "a warning\n") }, "\r\x1b[Ka warning\n\r\x1b[K3 waiting"},
		{func() { g.shown = time.Now().Add(-time.Hour); g.show("3 waiting, 1 failed") }, "\r\x1b[K3 waiting,…"}, // one line, or it can't be replaced
		{g.done, "\r\x1b[K"},
		{func() { _, _ = io.WriteString(log, "after\n") }, "after\n"},
	} {
		out.Reset()
		step.do()
		if got := out.String(); got != step.want {
			t.Errorf("written %q, want %q", got, step.want)
		}
	}
}

func TestLogOnATerminalHasTheTimeOfDay(t *testing.T) {
	for terminal, want := range map[bool]string{
		true:  `^time=\d\d:\d\d:\d\d level=WARN msg=x time=1\n$`,
		false: `^time=\d{4}-\d\d-\d\dT\S+ level=WARN msg=x time=1\n$`,
	} {
		var out bytes.Buffer
		log, err := newLogger(&out, "text", "info", terminal)
		if err != nil {
			t.Fatal(err)
		}
		log.Warn("x", "time", 1)
		if !regexp.MustCompile(want).MatchString(out.String()) {
			t.Errorf("terminal %v: %q does not match %s", terminal, out.String(), want)
		}
	}
}
