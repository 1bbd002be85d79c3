package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/queuemill/queuemill/internal/httpapi"
	"github.com/queuemill/queuemill/internal/httpapi/client"
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
that finished within the QueueJob's deduplicationWindow.`,
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
			if len(would.Jobs) == 0 {
				p.sayWhatStays(cmd.Context(), c, r)
			}
			if dryRun {
				return p.printNames(would, "would be removed")
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
			return p.printNames(done, "removed")
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

// sayWhatStays explains why nothing is to be removed although jobs finished.
func (p *program) sayWhatStays(ctx context.Context, c *client.Client, r httpapi.PruneRequest) {
	states := r.States
	if len(states) == 0 {
		states = []record.State{record.Succeeded}
	}
	stay, err := c.Jobs(ctx, httpapi.JobFilter{QueueJob: r.QueueJob, States: states}, 0, "")
	if err != nil || len(stay.Jobs) == 0 || !p.human() {
		return
	}
	p.say("%s: too young for --older-than or the deduplicationWindow, or the message may be in the queue still",
		count(len(stay.Jobs), "job stays", "jobs stay"))
}
