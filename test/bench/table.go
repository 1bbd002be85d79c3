package main

import (
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
	"time"
)

// row is one promise: what was measured, and what is allowed.
type row struct {
	name       string
	conditions string
	measured   string
	figure     string // the ratio, or the figure that the bound is about
	bound      string
	met        bool
}

type table []row

func (t table) print(w io.Writer) {
	out := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(out, "ROW\tCONDITIONS\tMEASURED\tFIGURE\tBOUND\t")
	for _, r := range t {
		verdict := "met"
		if !r.met {
			verdict = "MISSED"
		}
		fmt.Fprintf(out, "%s\t%s\t%s\t%s\t%s\t%s\n", r.name, r.conditions, r.measured, r.figure, r.bound, verdict)
	}
	out.Flush()
}

// share adds a row about a rate that must be at least percent of another.
func (t *table) share(name, conditions, what string, rate float64, of string, other, percent float64) {
	ratio := 100 * rate / other
	*t = append(*t, row{
		name: name, conditions: conditions, figure: fmt.Sprintf("%.0f %%", ratio),
		measured: fmt.Sprintf("%s %s/s, %s %s/s", what, thousands(rate), of, thousands(other)),
		bound:    fmt.Sprintf("≥ %.0f %%", percent), met: ratio >= percent,
	})
}

// most adds a row about a figure that must be at most bound.
func (t *table) most(name, conditions, measured string, figure, bound float64, unit string) {
	*t = append(*t, row{
		name: name, conditions: conditions, measured: measured,
		figure: fmt.Sprintf("%.3g %s", figure, unit), bound: fmt.Sprintf("≤ %.3g %s", bound, unit), met: figure <= bound,
	})
}

func thousands(f float64) string {
	n := int(f)
	if n < 1000 {
		return fmt.Sprint(n)
	}
	return fmt.Sprintf("%s,%03d", thousands(f/1000), n%1000)
}

func median(all []float64) float64 {
	sorted := slices.Sorted(slices.Values(all))
	return sorted[len(sorted)/2]
}

// percentile of durations, in milliseconds.
func percentile(all []time.Duration, p float64) float64 {
	sorted := slices.Sorted(slices.Values(all))
	return float64(sorted[int(p*float64(len(sorted)-1))].Microseconds()) / 1000
}
