package cli

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/queuemill/queuemill/internal/httpapi"
)

func (p *program) poolsTable(all []httpapi.WorkerPool, wide bool) *table {
	header := []string{"WORKERPOOL", "QUEUE", "DESIRED", "READY", "BUSY", "RETIRING", "BACKLOG", "DECISION"}
	if wide {
		header = append(header, "STARTING", "UNKNOWN", "OUTDATED", "MIN", "MAX", "RUNS ON", "FILE")
	}
	if p.cluster.AllNamespaces {
		header = slices.Insert(header, 0, "NAMESPACE")
	}
	t := newTable("DECISION", header...)
	for i := range all {
		wp := &all[i]
		n := wp.Workers
		backlog := "?"
		if m := wp.Messages; m != nil {
			backlog = strconv.FormatInt(m.Visible+m.InFlight, 10)
		}
		row := []string{
			wp.Name, wp.Queue, strconv.Itoa(wp.Desired), strconv.Itoa(n.Ready), strconv.Itoa(n.Busy), strconv.Itoa(n.Retiring),
			backlog, poolText(wp, time.Now()),
		}
		if wide {
			row = append(row, strconv.Itoa(n.Starting), strconv.Itoa(n.Unknown), strconv.Itoa(n.Outdated),
				strconv.Itoa(wp.MinWorkers), strconv.Itoa(wp.MaxWorkers), wp.RunsOn, orDash(wp.File))
		}
		if p.cluster.AllNamespaces {
			row = slices.Insert(row, 0, wp.Namespace)
		}
		t.add(row...)
	}
	return t
}

// poolText is what is not as it should be, then the last decision and when the
// next change is possible.
func poolText(wp *httpapi.WorkerPool, now time.Time) string {
	var parts []string
	if wp.Suspended {
		parts = append(parts, "Suspended")
	}
	if wp.Leaving {
		parts = append(parts, "in no manifest: its workers leave when they are idle")
	}
	if wp.SourceError != "" {
		parts = append(parts, "queue: "+wp.SourceError)
	}
	if wp.Trouble != "" {
		parts = append(parts, "workers: "+wp.Trouble)
	}
	if d := wp.Decision; d != nil && !wp.Suspended {
		text := d.Reason
		if d.NextChange != nil && d.NextChange.After(now) {
			text += fmt.Sprintf(" (next change in %s)", age(d.NextChange.Sub(now)))
		}
		parts = append(parts, text)
	}
	if len(parts) == 0 {
		return "-"
	}
	return strings.Join(parts, "; ")
}
