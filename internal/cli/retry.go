package cli

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/queuemill/queuemill/internal/httpapi"
	"github.com/queuemill/queuemill/internal/httpapi/client"
)

// retryBatch is how many jobs are asked for at once: few enough for progress
// to move.
const retryBatch = 100

func (p *program) retryCommand() *cobra.Command {
	var (
		filters filterFlags
		all     bool
		limit   int
		dryRun  bool
	)
	cmd := &cobra.Command{
		Use:     "retry {JOB… | --all}",
		Aliases: []string{"requeue"},
		Short:   "Run failed jobs again",
		Long: `Run failed jobs again: each gets a further attempt as soon as there is room, with
the same message, attributes and identity. Nothing is sent to the queue. An
invalid message is read anew, for instance under a mended schema.

With --all these are the failed and invalid jobs; --queuejob, --state, --reason
and --limit narrow them. The begin of a job's name is enough where only one job
has it.`,
		Example: `  queuemill retry ping-3f
  queuemill retry --all --queuejob ping --reason DeadlineExceeded --dry-run`,
		ValidArgsFunction: p.completeJobs(-1),
		RunE: func(cmd *cobra.Command, args []string) error {
			filter, err := filters.filter()
			if err != nil {
				return err
			}
			switch {
			case all && len(args) > 0:
				return usagef("leave one of them out", "retry takes jobs or --all, not both")
			case !all && len(args) == 0:
				return usagef("queuemill jobs --state failed,invalid lists them", "retry wants a JOB, or --all")
			case !all && (len(filter.States) > 0 || len(filter.Reasons) > 0 || filter.QueueJob != "" || limit != 0):
				return usagef("add --all", "--queuejob, --state, --reason and --limit want --all")
			case limit < 0:
				return usagef("", "--limit may not be negative")
			}
			c, err := p.connect()
			if err != nil {
				return err
			}
			names, err := p.jobsToRetry(cmd, c, args, filter, limit)
			if err != nil {
				return err
			}
			if dryRun {
				return p.printNames(httpapi.BulkResult{Jobs: names, DryRun: true}, "would run again")
			}
			done, err := p.retryAll(cmd.Context(), c, names)
			if printErr := p.printNames(done, "to be run again"); err == nil {
				err = printErr
			}
			return err
		},
	}
	cmd.Flags().BoolVar(&all, "all", false, "every failed or invalid job that the filters leave")
	p.addFilterFlags(cmd, &filters)
	cmd.Flags().StringVar(&filters.queueJob, "queuejob", "", "with --all: only jobs of this `QUEUEJOB`")
	_ = cmd.RegisterFlagCompletionFunc("queuejob", p.completeQueueJobs(-1))
	cmd.Flags().IntVar(&limit, "limit", 0, "with --all: at most `N`, the oldest first (0: all)")
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "only say which")
	p.addOutputFlags(cmd)
	p.addServerFlags(cmd)
	return cmd
}

func (p *program) jobsToRetry(cmd *cobra.Command, c *client.Client, args []string, f httpapi.JobFilter, limit int) ([]string, error) {
	names := []string{}
	if len(args) == 0 {
		if f.QueueJob != "" {
			if err := p.knownQueueJob(cmd.Context(), c, f.QueueJob); err != nil {
				return nil, err
			}
		}
		found, err := c.RetryMany(cmd.Context(), httpapi.RetryRequest{JobFilter: f, Limit: limit, DryRun: true})
		return found.Jobs, err
	}
	for _, arg := range args {
		name, err := p.findJob(cmd, c, arg)
		if err != nil {
			return nil, err
		}
		names = append(names, name)
	}
	return names, nil
}

// retryAll asks for all of names and tells on stderr which were refused.
func (p *program) retryAll(ctx context.Context, c *client.Client, names []string) (httpapi.BulkResult, error) {
	done := httpapi.BulkResult{Jobs: []string{}}
	progress := p.newProgress()
	for start := 0; start < len(names); start += retryBatch {
		part := names[start:min(start+retryBatch, len(names))]
		answer, err := c.RetryMany(ctx, httpapi.RetryRequest{Names: part})
		if err != nil {
			progress.done()
			p.say("%s asked for before the error; repeat the command for the others", count(len(done.Jobs), "job was", "jobs were"))
			return done, err
		}
		done.Jobs = append(done.Jobs, answer.Jobs...)
		done.Refused = append(done.Refused, answer.Refused...)
		progress.show("asked for %s of %s", thousands(start+len(part)), count(len(names), "job", "jobs"))
	}
	progress.done()
	if len(done.Refused) == 1 && len(names) == 1 {
		return done, done.Refused[0].Error
	}
	for _, r := range done.Refused {
		p.say("%s: %s", r.Job, r.Error.Error())
	}
	if len(done.Refused) > 0 {
		return done, failuref("", "%s refused", count(len(done.Refused), "job was", "jobs were"))
	}
	return done, nil
}

// printNames writes what was done to many jobs: a line each, and the sum on
// stderr for people.
func (p *program) printNames(b httpapi.BulkResult, what string) error {
	err := p.print(result{document: b, items: anys(b.Jobs), names: b.Jobs, text: p.lines(b.Jobs)})
	if p.human() {
		p.say("%s %s", count(len(b.Jobs), "job", "jobs"), what)
	}
	return err
}

// lines writes names, a line each.
func (p *program) lines(names []string) func() error {
	return func() error {
		var lines strings.Builder
		for _, name := range names {
			fmt.Fprintln(&lines, sanitize(name, oneLine))
		}
		_, err := io.WriteString(p.env.Stdout, lines.String())
		return err
	}
}

// say tells a person something beside the result.
func (p *program) say(format string, args ...any) {
	_, _ = fmt.Fprintf(p.env.Stderr, "%s\n", sanitize(p.asCalled(fmt.Sprintf(format, args...)), keepNewlines))
}
