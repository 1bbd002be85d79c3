package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/queuemill/queuemill/internal/httpapi"
)

func (p *program) deleteCommand() *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use:   "delete JOB…",
		Short: "End jobs if they run, and remove them and their output",
		Long: `End jobs if they run, and remove them and their output. Under ack: OnSuccess the
message of a job that was not finished goes back to the queue; under OnCreate it
is gone. The begin of a job's name is enough where only one job has it.`,
		Args:              argsNamed("JOB", 1, -1),
		ValidArgsFunction: p.completeJobs(-1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := p.connect()
			if err != nil {
				return err
			}
			var jobs []string
			for _, arg := range args {
				name, err := p.findJob(cmd, c, arg)
				if err != nil {
					return err
				}
				jobs = append(jobs, name)
			}
			if len(jobs) > 1 {
				if err := p.confirm(cmd.Context(), yes, fmt.Sprintf("delete %s", count(len(jobs), "job", "jobs"))); err != nil {
					return err
				}
			}
			done := httpapi.BulkResult{Jobs: []string{}}
			for _, name := range jobs {
				if err := c.Delete(cmd.Context(), name, ""); err != nil {
					p.say("%s deleted before the error", count(len(done.Jobs), "job was", "jobs were"))
					return err
				}
				done.Jobs = append(done.Jobs, name)
			}
			return p.printNames(done, "deleted")
		},
	}
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	p.addOutputFlags(cmd)
	p.addServerFlags(cmd)
	return cmd
}
