package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/queuemill/queuemill/internal/httpapi"
	"github.com/queuemill/queuemill/internal/httpapi/client"
	"github.com/queuemill/queuemill/internal/record"
)

// errStop ends a watch from within.
var errStop = errors.New("stop")

// watchJobs prints what there is, then each change. JSON and YAML are one
// document, so they are written when the watch ends by itself.
func (p *program) watchJobs(ctx context.Context, c *client.Client, f httpapi.JobFilter, untilIdle bool) error {
	lines := p.human() || p.format.format == "jsonl" || p.format.format == "name"
	if !lines && !untilIdle {
		return usagef("use -o jsonl", "-o %s is one document and --watch has no end", p.format.format)
	}
	w := &jobWatch{program: p, lines: lines, latest: map[string]httpapi.Job{}}
	err := c.Watch(ctx, f, untilIdle, w.handle)
	if flushErr := w.flush(); flushErr != nil {
		return flushErr
	}
	switch {
	case errors.Is(err, errStop):
	case err != nil:
		return err
	case untilIdle:
		return failuref("is it being stopped?", "%s ended the watch before it was idle", c.Server())
	default:
		return failuref("is it being stopped?", "%s ended the watch", c.Server())
	}
	if !lines {
		if err := p.print(p.jobsResult(w.list())); err != nil {
			return err
		}
	}
	for _, j := range w.latest {
		if j.State == record.Failed || j.State == record.Invalid {
			return errJobsFailed
		}
	}
	return nil
}

// jobWatch is what a watch has seen.
type jobWatch struct {
	program *program
	lines   bool
	order   []string
	latest  map[string]httpapi.Job
	first   []httpapi.Job // listed, not printed yet
	columns *columns
}

func (w *jobWatch) handle(e httpapi.Event) error {
	switch e.Type {
	case httpapi.EventIdle:
		return errStop
	case httpapi.EventSynced:
		return w.flush()
	case httpapi.EventDeleted:
		delete(w.latest, e.Job.Name)
		return nil
	}
	last, seen := w.latest[e.Job.Name]
	if !seen {
		w.order = append(w.order, e.Job.Name)
	}
	w.latest[e.Job.Name] = *e.Job
	if seen && sameToPeople(&last, e.Job) {
		return nil
	}
	w.first = append(w.first, *e.Job)
	if e.Type == httpapi.EventListed {
		return nil
	}
	return w.flush()
}

// sameToPeople tells a change that no column shows.
func sameToPeople(a, b *httpapi.Job) bool {
	return a.UID == b.UID && a.State == b.State && a.LastAttempt() == b.LastAttempt()
}

// nameWidth is that of the longest name at hand; later ones are of the same
// QueueJobs, mostly.
func nameWidth(jobs []httpapi.Job) int {
	width := 24
	for _, j := range jobs {
		width = max(width, len(j.Name))
	}
	return width
}

// jobWidths are those of a table that grows.
func (p *program) jobWidths(jobs []httpapi.Job) []int {
	widths := []int{nameWidth(jobs), 9, 14, 4, 7, 8, 4, 36, 0}
	if p.cluster.AllNamespaces {
		width := 9
		for _, j := range jobs {
			width = max(width, len(j.Namespace))
		}
		widths = slices.Insert(widths, 0, width)
	}
	return widths
}

// flush prints what is held back.
func (w *jobWatch) flush() error {
	if !w.lines {
		w.first = nil
		return nil
	}
	p := w.program
	wide := p.format.format == "wide"
	for i := range w.first {
		j := &w.first[i]
		var err error
		switch p.format.format {
		case "jsonl":
			err = printJSON(p.env.Stdout, j, "")
		case "name":
			_, err = fmt.Fprintln(p.env.Stdout, j.Name)
		default:
			if w.columns == nil {
				w.columns = newColumns(p.jobsTable(wide), p.jobWidths(w.first))
				if !p.format.noHeaders {
					err = w.columns.write(p.env.Stdout, w.columns.table.header, false)
				}
			}
			if err == nil {
				err = w.columns.write(p.env.Stdout, p.jobRow(j, wide), colours(p.env.Stdout))
			}
		}
		if err != nil {
			return err
		}
	}
	w.first = nil
	return nil
}

func (w *jobWatch) list() []httpapi.Job {
	jobs := []httpapi.Job{}
	for _, name := range w.order {
		if j, ok := w.latest[name]; ok {
			jobs = append(jobs, j)
		}
	}
	return jobs
}
