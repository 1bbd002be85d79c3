package simulate

import (
	"bufio"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"strings"
	"time"
)

// Service is how long a message takes, drawn anew for each.
type Service func(r *rand.Rand) time.Duration

// Constant takes d, always.
func Constant(d time.Duration) Service { return func(*rand.Rand) time.Duration { return d } }

// ParseService reads 2m, uniform:1m,3m, exp:2m (its mean) and lognormal:2m,10m
// (its median and its 95th percentile), as service times of real work mostly are:
// a long tail and no negative ones.
func ParseService(s string) (Service, error) {
	kind, list, found := strings.Cut(s, ":")
	if !found {
		kind, list = "constant", s
	}
	var d []time.Duration
	for field := range strings.SplitSeq(list, ",") {
		one, err := time.ParseDuration(strings.TrimSpace(field))
		if err != nil || one < 0 {
			return nil, fmt.Errorf("%q is no service time: write 2m, uniform:1m,3m, exp:2m or lognormal:2m,10m (median, 95th percentile)", s)
		}
		d = append(d, one)
	}
	switch {
	case kind == "constant" && len(d) == 1:
		return Constant(d[0]), nil
	case kind == "exp" && len(d) == 1:
		return func(r *rand.Rand) time.Duration { return time.Duration(r.ExpFloat64() * float64(d[0])) }, nil
	case kind == "uniform" && len(d) == 2 && d[0] <= d[1]:
		return func(r *rand.Rand) time.Duration { return d[0] + time.Duration(r.Float64()*float64(d[1]-d[0])) }, nil
	case kind == "lognormal" && len(d) == 2 && 0 < d[0] && d[0] <= d[1]:
		const z95 = 1.6448536269514722
		sigma := math.Log(float64(d[1])/float64(d[0])) / z95
		return func(r *rand.Rand) time.Duration {
			return time.Duration(min(float64(d[0])*math.Exp(sigma*r.NormFloat64()), float64(30*24*time.Hour)))
		}, nil
	}
	return nil, fmt.Errorf("%q is no service time: write 2m, uniform:1m,3m, exp:2m or lognormal:2m,10m (median, 95th percentile)", s)
}

// Recorded draws from durations that were measured, one a line, as 2m3s or in
// seconds: `queuemill jobs -o json` has them.
func Recorded(name string, in io.Reader) (Service, error) {
	var all []time.Duration
	lines := bufio.NewScanner(in)
	for n := 1; lines.Scan(); n++ {
		text := strings.TrimSpace(lines.Text())
		if text == "" || strings.HasPrefix(text, "#") {
			continue
		}
		var zero time.Time
		d, err := readTime(text, &zero)
		if err != nil || d < 0 || !zero.IsZero() {
			return nil, fmt.Errorf("%s:%d: %q is no duration: write 2m3s or seconds", name, n, text)
		}
		all = append(all, d)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("%s: no durations in it", name)
	}
	return func(r *rand.Rand) time.Duration { return all[r.IntN(len(all))] }, nil
}
