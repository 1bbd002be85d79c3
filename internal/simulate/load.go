package simulate

import (
	"bufio"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"
)

// mostMessages is what a load may hold: what fits into memory.
const mostMessages = 50_000_000

// Load is when messages arrive, in order, since the beginning.
type Load struct {
	Name     string
	Arrivals []time.Duration
	Span     time.Duration // that the load describes; the last arrival at least
}

// Burst is n messages at once, at the beginning.
func Burst(n int) Load {
	return Load{Name: fmt.Sprintf("burst of %d", n), Arrivals: make([]time.Duration, n)}
}

// Rate is messages per second, written 5/m, 20/s or 100/h.
type Rate float64

// ParseRate reads 5/m.
func ParseRate(s string) (Rate, error) {
	number, unit, found := strings.Cut(s, "/")
	n, err := strconv.ParseFloat(number, 64)
	per := map[string]float64{"s": 1, "m": 60, "h": 3600, "d": 86400}[unit]
	if !found || err != nil || per == 0 || math.IsNaN(n) || math.IsInf(n, 0) || n < 0 {
		return 0, fmt.Errorf("%q is no rate: write 20/s, 5/m, 100/h or 1000/d", s)
	}
	return Rate(n / per), nil
}

// Phase is a rate that holds for a time.
type Phase struct {
	Rate Rate
	For  time.Duration
}

// Phases are one rate after the other. With r the arrivals are Poisson's: random,
// independent of each other; without, they are evenly spaced.
func Phases(name string, phases []Phase, r *rand.Rand) (Load, error) {
	l := Load{Name: name}
	for _, p := range phases {
		if float64(p.Rate)*p.For.Seconds()+float64(len(l.Arrivals)) > mostMessages {
			return Load{}, fmt.Errorf("%s: more than %d messages", name, mostMessages)
		}
		if p.Rate > 0 {
			l.Arrivals = appendPhase(l.Arrivals, l.Span, p, r)
		}
		l.Span += p.For
	}
	return l, nil
}

func appendPhase(to []time.Duration, from time.Duration, p Phase, r *rand.Rand) []time.Duration {
	at := 0.0
	for {
		gap := 1 / float64(p.Rate)
		if r != nil {
			gap *= r.ExpFloat64()
		}
		if at+gap >= p.For.Seconds() {
			return to
		}
		at += gap
		to = append(to, from+seconds(at))
	}
}

// Day is n messages over 24 hours from midnight, with a small peak at 10 and a
// larger one at 19 o'clock over a base: a shop's day. Without r the n-th message
// comes when that share of the day's traffic has.
func Day(n int, r *rand.Rand) Load {
	const slots = 24 * 60
	cumulative := make([]float64, slots+1)
	for i := range slots {
		hour := (float64(i) + 0.5) / 60
		cumulative[i+1] = cumulative[i] + 0.25 + bell(hour, 10, 2) + 1.5*bell(hour, 19, 1.75)
	}
	l := Load{Name: fmt.Sprintf("day of %d", n), Arrivals: make([]time.Duration, n), Span: 24 * time.Hour}
	for i := range l.Arrivals {
		share := (float64(i) + 0.5) / float64(n)
		if r != nil {
			share = r.Float64()
		}
		target := share * cumulative[slots]
		slot := max(min(slots-1, firstAbove(cumulative, target)-1), 0)
		within := (target - cumulative[slot]) / (cumulative[slot+1] - cumulative[slot])
		l.Arrivals[i] = seconds((float64(slot) + within) * 60)
	}
	slices.Sort(l.Arrivals)
	return l
}

func bell(x, middle, width float64) float64 {
	d := (x - middle) / width
	return math.Exp(-d * d / 2)
}

func firstAbove(sorted []float64, x float64) int {
	i, _ := slices.BinarySearchFunc(sorted, x, func(a, b float64) int {
		if a <= b {
			return -1
		}
		return 1
	})
	return i
}

// ReadCSV reads arrivals, one row each: a time, and how many arrive then (1 when
// left out). A time is seconds since the beginning, a duration (1m30s) or a date
// as RFC 3339 has it; dates count from the first row's. Lines that begin with #,
// and a header, are left out.
func ReadCSV(name string, in io.Reader) (Load, error) {
	rows := csv.NewReader(bufio.NewReader(in))
	rows.FieldsPerRecord, rows.Comment, rows.TrimLeadingSpace, rows.ReuseRecord = -1, '#', true, true
	l := Load{Name: name}
	var zero time.Time
	for first := true; ; first = false {
		row, err := rows.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return Load{}, fmt.Errorf("%s: %w", name, err)
		}
		line, _ := rows.FieldPos(0)
		at, err := readTime(row[0], &zero)
		if err != nil && first {
			continue // a header
		}
		n, nErr := 1, error(nil)
		if len(row) > 1 && strings.TrimSpace(row[1]) != "" {
			n, nErr = strconv.Atoi(strings.TrimSpace(row[1]))
		}
		switch {
		case err != nil:
			return Load{}, fmt.Errorf("%s:%d: %w", name, line, err)
		case nErr != nil || n < 0:
			return Load{}, fmt.Errorf("%s:%d: %q is no number of messages", name, line, row[1])
		case at < 0:
			return Load{}, fmt.Errorf("%s:%d: %q is before the beginning", name, line, row[0])
		case len(l.Arrivals)+n > mostMessages:
			return Load{}, fmt.Errorf("%s:%d: more than %d messages", name, line, mostMessages)
		}
		for range n {
			l.Arrivals = append(l.Arrivals, at)
		}
	}
	if len(l.Arrivals) == 0 {
		return Load{}, fmt.Errorf("%s: no arrivals in it", name)
	}
	slices.Sort(l.Arrivals)
	l.Span = l.Arrivals[len(l.Arrivals)-1]
	return l, nil
}

// readTime reads one cell; the first date that is read becomes zero.
func readTime(s string, zero *time.Time) (time.Duration, error) {
	s = strings.TrimSpace(s)
	if f, err := strconv.ParseFloat(s, 64); err == nil && f < 1e9 {
		return seconds(f), nil
	}
	if d, err := time.ParseDuration(s); err == nil {
		return d, nil
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return 0, fmt.Errorf("%q is no time: write seconds, a duration as 1m30s or a date as 2026-03-04T12:00:00Z", s)
	}
	if zero.IsZero() {
		*zero = t
	}
	return t.Sub(*zero), nil
}

func seconds(f float64) time.Duration { return time.Duration(f * float64(time.Second)) }
