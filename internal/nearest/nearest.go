// Package nearest finds what was probably meant by a mistyped name.
package nearest

import "strings"

// To is the one of names that name was probably meant to be: at most two typing
// errors away, fewer in a short name, or the only one that begins with it. ""
// when there is none; the first of several that are equally near.
func To(name string, names []string) string {
	best, distance := "", min(2, max(1, len(name)/3))+1
	for _, n := range names {
		if d := Distance(strings.ToLower(name), strings.ToLower(n)); d < distance {
			best, distance = n, d
		}
	}
	if best != "" || len(name) < 2 {
		return best
	}
	for _, n := range names {
		if !strings.HasPrefix(n, name) {
			continue
		}
		if best != "" {
			return ""
		}
		best = n
	}
	return best
}

// Distance is how many bytes are inserted, dropped or changed from a to b, or
// are two neighbours that changed places (optimal string alignment).
func Distance(a, b string) int {
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		before, last, row = last, row, before
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			row[j+1] = min(last[j+1]+1, row[j]+1, last[j]+cost)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
	}
	return row[len(b)]
}
