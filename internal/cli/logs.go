package cli

import (
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/queuemill/queuemill/internal/httpapi"
	"github.com/queuemill/queuemill/internal/httpapi/client"
)

func (p *program) logsCommand() *cobra.Command {
	var (
		attempt int
		follow  bool
	)
	cmd := &cobra.Command{
		Use:   "logs JOB",
		Short: "Show what a job wrote",
		Long: `Show what a job wrote to stdout and stderr. The begin of a job's name is enough
where only one job has it.

On a terminal colours pass and all other control characters are made visible;
elsewhere the output is written byte by byte.`,
		Example:           "  queuemill logs ping-3f\n  queuemill logs -f ping-3f\n  queuemill logs ping-3f --attempt 1",
		Args:              argsNamed("JOB", 1, 1),
		ValidArgsFunction: p.completeJobs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if attempt < 0 {
				return usagef("attempts are counted from 1", "--attempt %d", attempt)
			}
			c, err := p.connect()
			if err != nil {
				return err
			}
			name, err := p.findJob(cmd, c, args[0])
			if err != nil {
				return err
			}
			if follow && attempt == 0 {
				if err := waitForOutput(cmd.Context(), c, name); err != nil {
					return err
				}
			}
			logs, err := c.Logs(cmd.Context(), name, attempt, follow)
			if err != nil {
				return p.keptLogs(cmd.Context(), c, name, attempt, err)
			}
			defer logs.Close()
			return p.copyLogs(c.Server(), logs)
		},
	}
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "go on until the attempt ends")
	cmd.Flags().IntVar(&attempt, "attempt", 0, "attempt `N`, from 1 (default: the latest)")
	p.addServerFlags(cmd)
	return cmd
}

// keptLogs writes what was kept of an attempt's output in a cluster, where the
// output itself went with the pod; without that, err stands.
func (p *program) keptLogs(ctx context.Context, c *client.Client, name string, attempt int, err error) error {
	if problem := (*httpapi.Problem)(nil); !errors.As(err, &problem) || problem.Status != http.StatusNotFound {
		return err
	}
	j, getErr := c.Job(ctx, name, false)
	if getErr != nil {
		return err
	}
	for _, a := range slices.Backward(j.Attempts) {
		if attempt != 0 && a.Number != attempt {
			continue
		}
		if a.LogTail == "" {
			break
		}
		p.say("note: the pod of attempt %d is gone; these are its last lines, kept when it failed", a.Number)
		return p.copyLogs(c.Server(), strings.NewReader(strings.TrimRight(a.LogTail, "\n")+"\n"))
	}
	return err
}

func (p *program) copyLogs(server string, logs io.Reader) error {
	out := p.env.Stdout
	if isTerminal(out) {
		t := &terminalWriter{w: out}
		defer func() { _ = t.Flush() }()
		out = t
	}
	if _, err := io.Copy(out, logs); err != nil {
		return &client.UnreachableError{Server: server, Err: err}
	}
	return nil
}

// waitForOutput returns when the job has an attempt, or never will.
func waitForOutput(ctx context.Context, c *client.Client, name string) error {
	err := c.Watch(ctx, httpapi.JobFilter{Prefix: name}, false, func(e httpapi.Event) error {
		if e.Job == nil || e.Job.Name != name {
			return nil
		}
		if e.Type == httpapi.EventDeleted || len(e.Job.Attempts) > 0 || e.Job.State.Finished() {
			return errStop
		}
		return nil
	})
	if errors.Is(err, errStop) {
		return nil
	}
	return err
}
