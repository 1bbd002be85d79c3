package crash

import (
	"bufio"
	"fmt"
	"os"
	"time"
)

// run is one start of a job by the outside log.
type run struct {
	number, attempt int
	pid             int
	messageID       string
	start, end      time.Time // end is zero when it never said that it ended
}

func (r run) String() string {
	if r.end.IsZero() {
		return fmt.Sprintf("attempt %d pid %d: %s - never said it ended", r.attempt, r.pid, stamp(r.start))
	}
	return fmt.Sprintf("attempt %d pid %d: %s - %s", r.attempt, r.pid, stamp(r.start), stamp(r.end))
}

func stamp(t time.Time) string { return t.Format("15:04:05.000000") }

// readRuns reads the outside log: the runs of each message number in the order
// of their starts.
func readRuns(path string) (map[int][]run, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	runs := map[int][]run{}
	lines := bufio.NewScanner(f)
	for line := 1; lines.Scan(); line++ {
		var what string
		var r run
		var ns int64
		if _, err := fmt.Sscan(lines.Text(), &what, &r.number, &r.attempt, &r.pid, &ns, &r.messageID); err != nil {
			return nil, fmt.Errorf("%s:%d: %q: %w", path, line, lines.Text(), err)
		}
		at := time.Unix(0, ns)
		switch what {
		case "start":
			r.start = at
			runs[r.number] = append(runs[r.number], r)
		case "end":
			of := runs[r.number]
			ended := false
			for i := range of {
				if of[i].pid == r.pid && of[i].attempt == r.attempt && of[i].end.IsZero() {
					of[i].end, ended = at, true
				}
			}
			if !ended {
				return nil, fmt.Errorf("%s:%d: an end without its start: %q", path, line, lines.Text())
			}
		default:
			return nil, fmt.Errorf("%s:%d: %q", path, line, lines.Text())
		}
	}
	return runs, lines.Err()
}
