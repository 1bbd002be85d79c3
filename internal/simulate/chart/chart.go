// Package chart draws simulations as one HTML page or one SVG picture that needs
// nothing else: no script, no font and no network.
package chart

import (
	"embed"
	"fmt"
	"html/template"
	"io"
	"math"
	"strings"
	"time"

	"github.com/queuemill/queuemill/internal/simulate"
)

//go:embed chart.html chart.svg
var files embed.FS

var templates = template.Must(template.New("").Funcs(template.FuncMap{
	"times": func(a int, b float64) float64 { return float64(a) * b },
}).ParseFS(files, "chart.html", "chart.svg"))

// Series is one policy's run.
type Series struct {
	Name   string
	Result *simulate.Result
}

// What is drawn into, in SVG's units.
const (
	width, height = 900.0, 180.0
	columns       = 900 // points at most: a line has no more pixels
	ticks         = 4
)

// colours are told apart by people who see fewer, too (Okabe and Ito).
var colours = []string{"#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000"}

type panel struct {
	Title         string
	Width, Height float64
	Lines         []line
	YTick         []tick
	XTick         []tick
}

type line struct {
	Name, Colour, Points string
	Dashed               bool
}

type tick struct {
	At    float64
	Label string
}

// HTML draws all runs into three panels over the same time: the backlog, the
// workers, and how long the oldest message waits.
func HTML(w io.Writer, title string, runs []Series) error {
	return execute(w, "chart.html", title, runs)
}

// SVG draws the same as a picture that a page or a README can show.
func SVG(w io.Writer, title string, runs []Series) error {
	return execute(w, "chart.svg", title, runs)
}

func execute(w io.Writer, as, title string, runs []Series) error {
	var end time.Duration
	for _, run := range runs {
		end = max(end, run.Result.Span)
	}
	panels := []panel{
		draw("messages waiting", runs, end, nice, count, func(p simulate.Point) float64 { return float64(p.Waiting) }),
		draw("workers", runs, end, nice, count, func(p simulate.Point) float64 { return float64(p.Workers + p.Retiring) }),
		draw("the oldest message waits", runs, end, niceSpan, span, func(p simulate.Point) float64 { return p.Oldest.Seconds() }),
	}
	err := templates.ExecuteTemplate(w, as, map[string]any{"Title": title, "Panels": panels})
	if err != nil {
		return fmt.Errorf("draw the chart: %w", err)
	}
	return nil
}

func draw(title string, runs []Series, end time.Duration, round func(float64) float64, label func(float64) string, of func(simulate.Point) float64) panel {
	top := 0.0
	for _, run := range runs {
		for _, p := range run.Result.Points {
			top = max(top, of(p))
		}
	}
	top = round(top)
	d := panel{Title: title, Width: width, Height: height}
	for i, run := range runs {
		d.Lines = append(d.Lines, line{
			Name: run.Name, Colour: colours[i%len(colours)], Dashed: i >= len(colours),
			Points: points(run.Result.Points, end, top, of),
		})
	}
	for i := range ticks + 1 {
		share := float64(i) / ticks
		d.YTick = append(d.YTick, tick{height * (1 - share), label(top * share)})
	}
	step := niceSpan(end.Seconds()*0.8) / ticks
	for at := 0.0; at <= end.Seconds() && len(d.XTick) < 10; at += step {
		d.XTick = append(d.XTick, tick{width * at / max(end.Seconds(), 1e-9), span(at)})
	}
	return d
}

// points is a line; of those in one column the highest is drawn, so that no peak
// is lost.
func points(all []simulate.Point, end time.Duration, top float64, of func(simulate.Point) float64) string {
	highest := make(map[int]float64, columns)
	last := 0
	for _, p := range all {
		last = min(int(float64(p.At)/float64(max(end, 1))*columns), columns)
		highest[last] = max(highest[last], of(p))
	}
	var b strings.Builder
	for column := range last + 1 {
		if y, ok := highest[column]; ok {
			fmt.Fprintf(&b, "%.1f,%.1f ", float64(column)/columns*width, height*(1-y/top))
		}
	}
	return strings.TrimSpace(b.String())
}

// nice is the next number of which a quarter is one that people read.
func nice(f float64) float64 {
	if f <= 4 {
		return 4
	}
	power := math.Pow(10, math.Floor(math.Log10(f)))
	for _, step := range []float64{1.2, 2, 4, 8} {
		if f <= step*power {
			return step * power
		}
	}
	return 12 * power
}

// niceSpan is nice for seconds, which people read as minutes and hours.
func niceSpan(f float64) float64 {
	for _, quarter := range []float64{0.25, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 180, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200} {
		if f <= ticks*quarter {
			return ticks * quarter
		}
	}
	return nice(f/86400) * 86400
}

func count(f float64) string { return fmt.Sprintf("%.6g", f) }

func span(f float64) string {
	d := time.Duration(f * float64(time.Second))
	if d >= time.Minute {
		d = d.Round(time.Second)
	}
	return d.Round(10 * time.Millisecond).String()
}
