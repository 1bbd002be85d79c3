package cli

import (
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/queuemill/queuemill/internal/record"
)

// table is rows for people. A cell is text of strangers: it is written on one
// line and without control characters.
type table struct {
	header []string
	flex   int // the column that gives way on a narrow terminal, -1: none
	rows   [][]string
}

// tableStyle is how a table meets its writer.
type tableStyle struct {
	width     int // of the terminal; 0: none, nothing is cut
	colours   bool
	noHeaders bool
}

const (
	columnGap   = 3
	leastColumn = 8 // what is left of the flexible column at least
)

func newTable(flex string, header ...string) *table {
	t := &table{header: header, flex: -1}
	for i, h := range header {
		if h == flex {
			t.flex = i
		}
	}
	return t
}

func (t *table) add(cells ...string) { t.rows = append(t.rows, cells) }

func (t *table) print(w io.Writer, style tableStyle) error {
	rows := t.rows
	if !style.noHeaders {
		rows = append([][]string{t.header}, rows...)
	}
	clean := make([][]string, len(rows))
	widths := make([]int, len(t.header))
	for i, row := range rows {
		clean[i] = make([]string, len(row))
		for j, cell := range row {
			clean[i][j] = sanitize(cell, oneLine)
			widths[j] = max(widths[j], utf8.RuneCountInString(clean[i][j]))
		}
	}
	t.fit(widths, style.width)
	var b strings.Builder
	for _, row := range clean {
		for j, cell := range row {
			cell = truncate(cell, widths[j])
			if j < len(row)-1 {
				cell += strings.Repeat(" ", widths[j]-utf8.RuneCountInString(cell)+columnGap)
			}
			b.WriteString(paint(cell, style.colours))
		}
		b.WriteByte('\n')
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// fit narrows the flexible column to the terminal.
func (t *table) fit(widths []int, width int) {
	if width == 0 || t.flex < 0 {
		return
	}
	total := columnGap * (len(widths) - 1)
	for _, w := range widths {
		total += w
	}
	if total > width {
		widths[t.flex] = max(min(leastColumn, widths[t.flex]), widths[t.flex]-(total-width))
	}
}

// columns is a table that grows line by line: its widths are fixed, and what is
// longer pushes its own line only.
type columns struct {
	table  *table
	widths []int
}

func newColumns(t *table, widths []int) *columns { return &columns{t, widths} }

func (c *columns) write(w io.Writer, row []string, colours bool) error {
	var b strings.Builder
	for j, cell := range row {
		cell = sanitize(cell, oneLine)
		if j < len(row)-1 {
			cell += strings.Repeat(" ", max(0, c.widths[j]-utf8.RuneCountInString(cell))+columnGap)
		}
		b.WriteString(paint(cell, colours))
	}
	b.WriteByte('\n')
	_, err := io.WriteString(w, b.String())
	return err
}

func truncate(s string, width int) string {
	if utf8.RuneCountInString(s) <= width {
		return s
	}
	runes := []rune(s)
	return string(runes[:max(width-1, 0)]) + "…"
}

// stateColours are SGR codes.
var stateColours = map[record.State]string{
	record.Running: "36", record.Succeeded: "32", record.Failed: "31", record.Invalid: "35",
}

// paint colours a cell that is a state, padding included.
func paint(cell string, colours bool) string {
	if code := stateColours[record.State(strings.TrimRight(cell, " "))]; colours && code != "" {
		return "\x1b[" + code + "m" + cell + "\x1b[0m"
	}
	return cell
}

// age is a duration as kubectl writes it: 5s, 3m20s, 45m, 7h5m, 3d4h, 200d.
func age(d time.Duration) string {
	if d < 0 {
		d = 0
	}
	s, m, h, days := int(d.Seconds()), int(d.Minutes()), int(d.Hours()), int(d.Hours()/24)
	two := func(a int, unit string, b int, small string) string {
		if b == 0 {
			return fmt.Sprintf("%d%s", a, unit)
		}
		return fmt.Sprintf("%d%s%d%s", a, unit, b, small)
	}
	switch {
	case s < 120:
		return fmt.Sprintf("%ds", s)
	case m < 10:
		return two(m, "m", s%60, "s")
	case m < 180:
		return fmt.Sprintf("%dm", m)
	case h < 8:
		return two(h, "h", m%60, "m")
	case h < 48:
		return fmt.Sprintf("%dh", h)
	case days < 8:
		return two(days, "d", h%24, "h")
	default:
		return fmt.Sprintf("%dd", days)
	}
}

// since is the age of t, "-" when t is not known.
func since(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return age(time.Since(t))
}

// took is a run's duration; short ones matter to the millisecond.
func took(d time.Duration) string {
	switch {
	case d < 0:
		return "-"
	case d < time.Second:
		return fmt.Sprintf("%dms", d.Milliseconds())
	case d < 10*time.Second:
		return fmt.Sprintf("%.1fs", d.Seconds())
	default:
		return age(d)
	}
}

// size is a number of bytes for people.
func size(n int64) string {
	const unit = 1024
	if n < unit {
		return fmt.Sprintf("%d B", n)
	}
	div, exp := int64(unit), 0
	for v := n / unit; v >= unit; v /= unit {
		div, exp = div*unit, exp+1
	}
	return fmt.Sprintf("%.1f %ciB", float64(n)/float64(div), "KMGTPE"[exp])
}

// count writes 1 job, 2 jobs, 12,345 jobs.
func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return thousands(n) + " " + many
}

func thousands(n int) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
