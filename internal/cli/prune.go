package cli

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/queuemill/queuemill/internal/httpapi"
	"github.com/queuemill/queuemill/internal/record"
)

func (p *program) pruneCommand() *cobra.Command {
	var (
		states    []string
		olderThan time.Duration
		dryRun    bool
		yes       bool
	)
	cmd := &cobra.Command{
		Use:   "prune [QUEUEJOB]",
		Short: "Remove finished jobs and their output",
		Long: `Remove finished jobs and their output: succeeded ones unless --state says
otherwise. A job whose message the queue may still hold stays, and so does one
that finished within the QueueJob's deduplicationWindow. In a cluster the
controller is asked to remove them, and prune waits until it has.`,
		Example:           "  queuemill prune --dry-run\n  queuemill prune ping --state failed,invalid --older-than 24h --yes",
		Args:              argsNamed("QUEUEJOB", 0, 1),
		ValidArgsFunction: p.completeQueueJobs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			finished := []record.State{record.Succeeded, record.Failed, record.Invalid}
			picked, err := pick("finished state", states, finished)
			if err != nil {
				return err
			}
			if olderThan < 0 {
				return usagef("", "--older-than may not be negative")
			}
			r := httpapi.PruneRequest{States: picked, OlderThanSeconds: olderThan.Seconds()}
			if len(args) > 0 {
				r.QueueJob = args[0]
			}
			c, err := p.connect()
			if err != nil {
				return err
			}
			r.DryRun = true
			would, err := c.Prune(cmd.Context(), r)
			if err != nil {
				return err
			}
			if dryRun {
				return p.printPruned(would, "would be removed")
			}
			if len(would.Jobs) > 1 {
				if err := p.confirm(cmd.Context(), yes, fmt.Sprintf("remove %s", count(len(would.Jobs), "job", "jobs"))); err != nil {
					return err
				}
			}
			r.DryRun = false
			done, err := c.Prune(cmd.Context(), r)
			if err != nil {
				return err
			}
			return p.printPruned(done, "removed")
		},
	}
	cmd.Flags().StringSliceVar(&states, "state", nil, "remove jobs in these `STATES`: succeeded, failed, invalid (default succeeded)")
	_ = cmd.RegisterFlagCompletionFunc("state", fixed([]record.State{record.Succeeded, record.Failed, record.Invalid}))
	cmd.Flags().DurationVar(&olderThan, "older-than", 0, "only jobs that finished so long ago, like 24h")
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "only say which")
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	p.addOutputFlags(cmd)
	p.addServerFlags(cmd)
	return cmd
}

// printPruned writes what was removed, and for people what stays and why.
func (p *program) printPruned(r httpapi.PruneResult, what string) error {
	err := p.print(result{document: r, items: anys(r.Jobs), names: r.Jobs, text: p.lines(r.Jobs)})
	if !p.human() {
		return err
	}
	p.say("%s %s", count(len(r.Jobs), "job", "jobs"), what)
	if k := r.Kept; k != nil && k.InWindow > 0 {
		p.say("%s until %s: finished within the deduplicationWindow, in which a second delivery is recognised by them",
			count(k.InWindow, "job stays", "jobs stay"), k.WindowEndsAt.Local().Format(time.TimeOnly))
	}
	if k := r.Kept; k != nil && k.MaybeQueued > 0 {
		p.say("%s: the queue may deliver their message again, or they wait to be retried", count(k.MaybeQueued, "job stays", "jobs stay"))
	}
	return err
}
