package cli

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/queuemill/queuemill/internal/httpapi"
)

func (p *program) statusCommand() *cobra.Command {
	var watch bool
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show QueueJobs, WorkerPools and queues at a glance",

		SuggestFor: []string{"pool", "pools", "workerpool", "workerpools", "queuejobs", "queues", "get", "list", "ls", "ps"},
		Args:       argsNamed("", 0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := p.connect()
			if err != nil {
				return err
			}
			if watch {
				if p.format.format == "json" || p.format.format == "yaml" {
					return usagef("use -o jsonl", "-o %s is one document and --watch has no end", p.format.format)
				}
				return c.WatchStatus(cmd.Context(), p.showStatus)
			}
			s, err := c.Status(cmd.Context())
			if err != nil {
				return err
			}
			return p.print(p.statusResult(s))
		},
	}
	cmd.Flags().BoolVarP(&watch, "watch", "w", false, "go on, every second")
	p.addOutputFlags(cmd)
	p.addServerFlags(cmd)
	return cmd
}

// showStatus replaces what the terminal shows.
func (p *program) showStatus(s httpapi.Status) error {
	if p.human() && isTerminal(p.env.Stdout) {
		if _, err := io.WriteString(p.env.Stdout, "\x1b[H\x1b[2J"); err != nil {
			return err
		}
	}
	return p.print(p.statusResult(s))
}

func (p *program) statusResult(s httpapi.Status) result {
	r := result{document: s}
	for _, qj := range s.QueueJobs {
		r.names = append(r.names, qj.Name)
	}
	for i := range s.WorkerPools {
		r.names = append(r.names, poolPrefix+s.WorkerPools[i].Name)
	}
	r.text = func() error { return p.printStatus(s, p.format.format == "wide") }
	return r
}

func (p *program) printStatus(s httpapi.Status, wide bool) error {
	w, style := p.env.Stdout, p.tableStyle()
	if s.Draining {
		p.say("the controller is stopping: it receives nothing and lets jobs finish")
	}
	var tables []*table
	if len(s.QueueJobs) > 0 {
		tables = append(tables, p.queueJobsTable(s.QueueJobs, wide))
	}
	if len(s.WorkerPools) > 0 {
		tables = append(tables, p.poolsTable(s.WorkerPools, wide))
	}
	switch {
	case len(tables) > 0:
	case p.onCluster():
		p.say("no QueueJobs and no WorkerPools here: kubectl apply -f FILE makes one; -A looks into all namespaces")
	default:
		p.say("no QueueJobs and no WorkerPools: start the controller with queuemill up -f FILE")
	}
	if len(s.Queues) > 0 {
		tables = append(tables, queuesTable(s.Queues, wide))
	}
	for i, t := range tables {
		if i > 0 {
			if _, err := fmt.Fprintln(w); err != nil {
				return err
			}
		}
		if err := t.print(w, style); err != nil {
			return err
		}
	}
	return nil
}

func (p *program) queueJobsTable(all []httpapi.QueueJob, wide bool) *table {
	header := []string{"QUEUEJOB", "QUEUE", "QUEUED", "RUNNING", "SUCCEEDED", "FAILED", "INVALID", "LAST MESSAGE", "STATUS"}
	if wide {
		header = append(header, "MAX ACTIVE", "ACK", "DUPLICATES", "FILE")
	}
	if p.cluster.AllNamespaces {
		header = slices.Insert(header, 0, "NAMESPACE")
	}
	t := newTable("STATUS", header...)
	for _, qj := range all {
		n := qj.Jobs
		row := []string{
			qj.Name, qj.Queue, strconv.Itoa(n.Queued), strconv.Itoa(n.Running), strconv.Itoa(n.Succeeded),
			strconv.Itoa(n.Failed), strconv.Itoa(n.Invalid), since(qj.LastSeen), conditionText(&qj),
		}
		if wide {
			row = append(row, strconv.Itoa(qj.MaxActive), qj.Ack, strconv.FormatInt(qj.Duplicates, 10), orDash(qj.File))
		}
		if p.cluster.AllNamespaces {
			row = slices.Insert(row, 0, qj.Namespace)
		}
		t.add(row...)
	}
	return t
}

// conditionText is what is not as it should be, or Ready. Why it is not ready
// is said only where no other condition tells.
func conditionText(qj *httpapi.QueueJob) string {
	var wrong []string
	notReady := ""
	if qj.Suspended {
		wrong = append(wrong, "Suspended")
	}
	for _, c := range qj.Conditions {
		goodWhenTrue := c.Type == "SourceHealthy" || c.Type == "TemplateValid"
		switch {
		case c.Unknown:
			wrong = append(wrong, withMessage(c.Type+" unknown", c.Message))
		case c.Type == "Ready" && c.Reason == "NotSeen":
			wrong = append(wrong, c.Message)
		case c.Type == "Ready" && !c.Status:
			notReady = withMessage(cmp.Or(c.Reason, "not Ready"), c.Message)
		case c.Type == "Ready", c.Type == "Suspended":
		case goodWhenTrue && !c.Status:
			wrong = append(wrong, withMessage("not "+c.Type, c.Message))
		case !goodWhenTrue && c.Status:
			wrong = append(wrong, withMessage(c.Type, c.Message))
		}
	}
	switch {
	case len(wrong) > 0:
		return strings.Join(wrong, "; ")
	case notReady != "":
		return notReady
	}
	return "Ready"
}

func withMessage(what, message string) string {
	if message == "" {
		return what
	}
	return what + ": " + message
}

// readers are the QueueJobs, then the WorkerPools that read a queue.
func readers(q *httpapi.Queue) string {
	all := slices.Clone(q.QueueJobs)
	for _, name := range q.WorkerPools {
		all = append(all, poolPrefix+name)
	}
	return strings.Join(all, ", ")
}

func queuesTable(all []httpapi.Queue, wide bool) *table {
	header := []string{"QUEUE", "VISIBLE", "IN FLIGHT", "DELAYED", "OLDEST", "DEAD-LETTER QUEUE"}
	if wide {
		header = append(header, "READ BY", "FIFO", "URL")
	}
	t := newTable("DEAD-LETTER QUEUE", header...)
	for _, q := range all {
		oldest := "-"
		if q.OldestAgeSeconds > 0 {
			oldest = age(time.Duration(q.OldestAgeSeconds * float64(time.Second)))
		}
		row := []string{q.Name, strconv.Itoa(q.Visible), strconv.Itoa(q.InFlight), strconv.Itoa(q.Delayed), oldest, orDash(q.DeadLetterQueue)}
		if q.Error != "" {
			row = []string{q.Name, "?", "?", "?", "?", "error: " + q.Error}
		}
		if wide {
			row = append(row, orDash(readers(&q)), strconv.FormatBool(q.FIFO), orDash(q.URL))
		}
		t.add(row...)
	}
	return t
}
