package chart

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/queuemill/queuemill/internal/simulate"
)

// The page has a line for each policy in each panel, nothing that a name could
// inject, and nothing to load.
func TestChart(t *testing.T) {
	r := &simulate.Result{Span: time.Minute, Points: []simulate.Point{
		{At: 0, Waiting: 100, Workers: 1},
		{At: 30 * time.Second, Waiting: 50, Workers: 7, Retiring: 1, Oldest: 30 * time.Second},
		{At: time.Minute, Workers: 2},
	}}
	for name, draw := range drawings {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			if err := draw(&out, "burst of 100", []Series{{"five", r}, {"<script>ten", r}}); err != nil {
				t.Fatal(err)
			}
			check(t, out.String())
		})
	}
}

var drawings = map[string]func(io.Writer, string, []Series) error{"html": HTML, "svg": SVG}

func check(t *testing.T, page string) {
	t.Helper()
	if n := strings.Count(page, "<polyline"); n != 6 {
		t.Errorf("%d lines in three panels of two policies", n)
	}
	if strings.Contains(page, "<script") || regexp.MustCompile(`(?:src|href)=|url\(|@import`).MatchString(page) {
		t.Error("a script, or something to load")
	}
	for _, want := range []string{
		`points="0.0,30.0 450.0,105.0 900.0,180.0"`, // 100, 50 and 0 of 120
		`points="0.0,157.5 450.0,0.0 900.0,135.0"`,  // 1, 8 and 2 of 8
		">1m0s</text>", ">120</text>",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("no %s in it", want)
		}
	}
	for _, svg := range regexp.MustCompile(`(?s)<svg.*?</svg>`).FindAllString(page, -1) {
		d := xml.NewDecoder(strings.NewReader(svg))
		for {
			if _, err := d.Token(); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatalf("the SVG is not well formed: %v", err)
			}
		}
	}
}

func TestAnEmptyRunIsDrawn(t *testing.T) {
	for name, draw := range drawings {
		if err := draw(io.Discard, "nothing", []Series{{"none", &simulate.Result{}}}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
