package cli

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/queuemill/queuemill/internal/httpapi"
	"github.com/queuemill/queuemill/internal/httpapi/client"
	"github.com/queuemill/queuemill/internal/record"
)

const (
	describedBody = 4 << 10 // bytes of a body that a person is shown
	describedTail = 10      // lines of output
)

func (p *program) describeCommand() *cobra.Command {
	var confidential bool
	cmd := &cobra.Command{
		Use:   "describe JOB",
		Short: "Show one job: its message, attempts, reason and the end of its output",
		Long: `Show one job: its message, attempts, reason and the end of its output.
The begin of a job's name is enough where only one job has it.

The message, the output and the failure's details of a confidential job are
shown with --confidential only.`,
		Example:           "  queuemill describe ping-3f\n  queuemill describe ping-3f -o json | jq -r .message.body",
		Args:              argsNamed("JOB", 1, 1),
		ValidArgsFunction: p.completeJobs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := p.connect()
			if err != nil {
				return err
			}
			name, err := p.findJob(cmd, c, args[0])
			if err != nil {
				return err
			}
			j, err := c.Job(cmd.Context(), name, confidential)
			if err != nil {
				return err
			}
			return p.print(result{document: j, names: []string{j.Name}, text: func() error {
				tail := ""
				if !j.Confidential || confidential {
					tail = lastLines(cmd.Context(), c, &j)
				}
				_, err := io.WriteString(p.env.Stdout, describeJob(p.name(), &j, confidential, tail))
				return err
			}})
		},
	}
	cmd.Flags().BoolVar(&confidential, "confidential", false, "show what a confidential job keeps back")
	p.addFormatFlag(cmd)
	p.addServerFlags(cmd)
	return cmd
}

// lastLines is the end of the latest attempt's output; a job that has none, or
// whose output can't be read, is described without.
func lastLines(ctx context.Context, c *client.Client, j *httpapi.Job) string {
	if len(j.Attempts) == 0 {
		return ""
	}
	logs, err := c.Logs(ctx, j.Name, 0, false)
	if err != nil {
		return ""
	}
	defer logs.Close()
	var tail tailBuffer
	if _, err := io.Copy(&tail, logs); err != nil {
		return ""
	}
	lines := strings.Split(strings.TrimRight(tail.String(), "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-describedTail):], "\n")
}

// tailBuffer keeps the last part of what is written.
type tailBuffer struct{ data []byte }

func (t *tailBuffer) Write(b []byte) (int, error) {
	t.data = append(t.data, b...)
	if extra := len(t.data) - describedBody; extra > describedBody {
		t.data = bytes.Clone(t.data[extra:])
	}
	return len(b), nil
}

func (t *tailBuffer) String() string {
	return strings.ToValidUTF8(string(t.data[max(0, len(t.data)-describedBody):]), "")
}

// description is lines of "Key:   value".
type description struct{ strings.Builder }

func (d *description) line(key, format string, args ...any) {
	fmt.Fprintf(d, "%-12s %s\n", key+":", sanitize(fmt.Sprintf(format, args...), oneLine))
}

// block writes text of several lines, indented.
func (d *description) block(title, text string) {
	fmt.Fprintf(d, "\n%s:\n", title)
	for line := range strings.SplitSeq(sanitize(text, keepNewlines), "\n") {
		fmt.Fprintf(d, "  %s\n", line)
	}
}

// describeJob is j for people; program is what they call for more.
func describeJob(program string, j *httpapi.Job, confidential bool, tail string) string {
	var d description
	d.line("Job", "%s", j.Name)
	if j.Namespace != "" {
		d.line("Namespace", "%s", j.Namespace)
	}
	d.line("QueueJob", "%s", j.QueueJob)
	d.line("State", "%s", stateText(j))
	if j.Cause != nil {
		d.line("Reason", "%s", j.Cause.Reason)
		if j.Cause.Detail != "" {
			d.line("Detail", "%s", j.Cause.Detail)
		}
	}
	d.line("Created", "%s", moment(j.CreatedAt))
	if !j.FinishedAt.IsZero() {
		d.line("Finished", "%s", moment(j.FinishedAt))
	}
	d.line("Message", "%s, %s, sent %s", j.Message.ID, size(int64(j.Message.Size)), moment(j.Message.SentAt))
	if j.Message.GroupID != "" {
		d.line("Group", "%s", j.Message.GroupID)
	}
	d.line("Idempotency", "%s", j.IdempotencyKey)
	if j.TemplateHash != "" {
		d.line("Template", "%s", j.TemplateHash)
	}
	if len(j.Attempts) > 0 {
		fmt.Fprintf(&d, "\nAttempts:\n")
		_ = attemptsTable(j).print(indented{&d}, tableStyle{})
		describeEvents(&d, j)
	}
	if j.Confidential && !confidential {
		fmt.Fprintf(&d, "\nThe message and the output are confidential; --confidential shows them.\n")
	} else {
		describeMessage(&d, j)
	}
	switch gathered := gatheredTail(j); {
	case tail != "":
		d.block(fmt.Sprintf("Output (its last lines; all of it: %s logs %s)", program, j.Name), tail)
	case gathered != "" && (!j.Confidential || confidential):
		d.block("Output (its last lines, kept when it failed; its pod is gone)", gathered)
	}
	if j.State == record.Failed || j.State == record.Invalid {
		fmt.Fprintf(&d, "\nRun it again: %s retry %s\n", program, j.Name)
	}
	return d.String()
}

// describeEvents tells what the engine said of the latest attempt that has
// something said of it.
func describeEvents(d *description, j *httpapi.Job) {
	for _, a := range slices.Backward(j.Attempts) {
		if len(a.Events) > 0 {
			d.block(fmt.Sprintf("Events of attempt %d", a.Number), strings.Join(a.Events, "\n"))
			return
		}
	}
}

// gatheredTail is what was kept of the latest attempt's output.
func gatheredTail(j *httpapi.Job) string {
	if len(j.Attempts) == 0 {
		return ""
	}
	return strings.TrimRight(j.Attempts[len(j.Attempts)-1].LogTail, "\n")
}

func describeMessage(d *description, j *httpapi.Job) {
	body := j.Message.Body
	title := "Body"
	if body == "" && j.Message.Size > 0 {
		fmt.Fprintf(d, "\nThe body is in a Secret that you may not read.\n")
		return
	}
	if len(body) > describedBody {
		body = strings.ToValidUTF8(body[:describedBody], "")
		title = fmt.Sprintf("Body (its first %s of %s; all of it: -o json)", size(describedBody), size(int64(j.Message.Size)))
	}
	d.block(title, body)
	if len(j.Message.Attributes) == 0 {
		return
	}
	fmt.Fprintf(d, "\nAttributes:\n")
	for _, name := range slices.Sorted(maps.Keys(j.Message.Attributes)) {
		a := j.Message.Attributes[name]
		value := a.StringValue
		if a.BinaryValue != nil {
			value = fmt.Sprintf("%x", a.BinaryValue)
		}
		fmt.Fprintf(d, "  %s\n", sanitize(fmt.Sprintf("%s (%s) = %s", name, a.DataType, value), oneLine))
	}
}

func stateText(j *httpapi.Job) string {
	if j.RetryRequested {
		return string(j.State) + ", to be run again as soon as there is room"
	}
	return string(j.State)
}

func attemptsTable(j *httpapi.Job) *table {
	pods := slices.ContainsFunc(j.Attempts, func(a record.Attempt) bool { return a.Job != "" })
	header := []string{"NUMBER", "STARTED", "DURATION", "EXIT", "REASON", "PEAK MEMORY", "OUTPUT", "DETAIL"}
	if pods {
		header = []string{"NUMBER", "STARTED", "DURATION", "EXIT", "REASON", "POD"}
		if len(j.Attempts) > 1 { // that of a single one is above
			header = append(header, "DETAIL")
		}
	}
	t := newTable("", header...)
	for i := range j.Attempts {
		a := &j.Attempts[i]
		why, detail, ran, peak := "", "", "-", "-"
		if a.Cause != nil {
			why, detail = string(a.Cause.Reason), a.Cause.Detail
		}
		switch {
		case a.StartedAt.IsZero():
		case a.FinishedAt.IsZero():
			ran = took(time.Since(a.StartedAt))
		default:
			ran = took(a.FinishedAt.Sub(a.StartedAt))
		}
		if a.PeakMemory > 0 {
			peak = size(a.PeakMemory)
		}
		row := []string{fmt.Sprint(a.Number), moment(a.StartedAt), ran, orDash(exitText(a)), orDash(why)}
		if pods {
			row[1] = since(a.StartedAt) + " ago"
			row = append(row, orDash(a.Pod), orDash(detail))[:len(header)]
		} else {
			row = append(row, peak, size(a.LogSize), orDash(detail))
		}
		t.add(row...)
	}
	return t
}

// moment is a time for people: when, and how long ago.
func moment(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return fmt.Sprintf("%s (%s ago)", t.Local().Format("2006-01-02 15:04:05"), since(t))
}

// indented puts two blanks before each line of a whole table.
type indented struct{ w io.Writer }

func (i indented) Write(b []byte) (int, error) {
	for line := range strings.Lines(string(b)) {
		if _, err := io.WriteString(i.w, "  "+line); err != nil {
			return 0, err
		}
	}
	return len(b), nil
}
