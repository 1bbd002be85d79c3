package cli

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/queuemill/queuemill/internal/doctor"
)

func (p *program) doctorCommand() *cobra.Command {
	var queues bool
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Look for what will not work, and say what to do",
		Long: `Look for what will not work, and say of each thing what to do. Nothing is changed.
The exit code is 1 when there is a problem.

In a cluster that is: the version of Kubernetes and of the CRDs, your rights and
the controller's, whether a controller leads, clocks, and for each QueueJob and
WorkerPool what its conditions say. Of a QueueJob also whether its deadline fits
its acknowledgement; of a WorkerPool whether its workers answer, and how long they
hold a message. With --queues the queues are asked too, with your own AWS
credentials: whether there is a dead-letter queue that keeps messages longer than
the queue itself, and whether maxReceiveCount leaves room for a restart.

Beside queuemill up it is the controller at --server, its QueueJobs, WorkerPools
and queues.`,
		Example: "  queuemill doctor\n  kubectl queuemill doctor -n team-a --queues",
		Args:    argsNamed("", 0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			report, err := p.examine(cmd.Context(), queues)
			if err != nil {
				return err
			}
			names := make([]string, len(report.Checks))
			for i, c := range report.Checks {
				names[i] = c.Name
			}
			if err := p.print(result{document: report, items: anys(report.Checks), names: names, text: func() error {
				return p.printReport(report)
			}}); err != nil {
				return err
			}
			if report.Problems() > 0 {
				return &failure{code: exitError} // what it is was shown
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&queues, "queues", false, "in a cluster: look at the queues too, with your own credentials")
	p.addFormatFlag(cmd)
	p.addServerFlags(cmd)
	return cmd
}

func (p *program) examine(ctx context.Context, queues bool) (*doctor.Report, error) {
	if p.onCluster() {
		backend, err := p.openCluster()
		if err != nil {
			return nil, err
		}
		return doctor.Cluster(ctx, backend, doctor.ClusterOptions{Queues: queues})
	}
	c, err := p.connect()
	if err != nil {
		return nil, err
	}
	return doctor.Server(ctx, c, p.env.Version)
}

// levelColours are SGR codes.
var levelColours = map[doctor.Level]string{doctor.OK: "32", doctor.Warning: "33", doctor.Problem: "31", doctor.Unknown: "36"}

func (p *program) printReport(r *doctor.Report) error {
	var b strings.Builder
	width, colour := terminalWidth(p.env.Stdout), colours(p.env.Stdout)
	for _, c := range r.Checks {
		level := fmt.Sprintf("%-8s", c.Level)
		if colour {
			level = "\x1b[" + levelColours[c.Level] + "m" + level + "\x1b[0m"
		}
		what := c.Name
		if c.About != "" {
			what += " of " + c.About
		}
		const indent = 9
		fmt.Fprintf(&b, "%s %s\n", level, wrap(sanitize(p.asCalled(what+": "+c.Message), oneLine), width, indent))
		if c.Hint != "" && c.Level != doctor.OK {
			fmt.Fprintf(&b, "%*s%s\n", indent, "", wrap("→ "+sanitize(p.asCalled(c.Hint), oneLine), width, indent+2))
		}
	}
	if problems, warnings := r.Problems(), r.Warnings(); problems+warnings > 0 {
		fmt.Fprintf(&b, "\n%s, %s\n", count(problems, "problem", "problems"), count(warnings, "warning", "warnings"))
	} else {
		fmt.Fprintf(&b, "\nall is well\n")
	}
	_, err := io.WriteString(p.env.Stdout, b.String())
	return err
}

// wrap breaks text at blanks so that lines that begin behind indent blanks end
// before width (0: never).
func wrap(text string, width, indent int) string {
	if width < indent+20 {
		return text
	}
	var b strings.Builder
	used := indent
	for i, word := range strings.Fields(text) {
		size := len([]rune(word))
		switch {
		case i == 0:
		case used+1+size > width:
			b.WriteString("\n" + strings.Repeat(" ", indent))
			used = indent
		default:
			b.WriteByte(' ')
			used++
		}
		b.WriteString(word)
		used += size
	}
	return b.String()
}
