package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/queuemill/queuemill/internal/httpapi"
)

func (p *program) suspendCommand() *cobra.Command {
	return p.suspendOrResume(&cobra.Command{
		Use:   "suspend QUEUEJOB…",
		Short: "Stop receiving messages; jobs that run go on",
		Long: `Stop receiving messages; jobs that run go on. It is remembered over a restart,
until resume or an edit of suspend in the manifest.`,
	}, true, "suspended")
}

func (p *program) resumeCommand() *cobra.Command {
	return p.suspendOrResume(&cobra.Command{
		Use:   "resume QUEUEJOB…",
		Short: "Receive messages again",
	}, false, "resumed")
}

func (p *program) suspendOrResume(cmd *cobra.Command, suspend bool, done string) *cobra.Command {
	cmd.Args = argsNamed("QUEUEJOB", 1, -1)
	cmd.ValidArgsFunction = p.completeQueueJobs(-1)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, err := p.connect()
		if err != nil {
			return err
		}
		changed := []httpapi.QueueJob{}
		for _, name := range args {
			qj, err := c.Suspend(cmd.Context(), name, suspend)
			if err != nil {
				return err
			}
			changed = append(changed, qj)
		}
		return p.print(result{
			document: httpapi.QueueJobList{QueueJobs: changed}, items: anys(changed), names: args,
			text: func() error {
				for _, qj := range changed {
					if _, err := fmt.Fprintf(p.env.Stdout, "%s %s\n", qj.Name, done); err != nil {
						return err
					}
				}
				return nil
			},
		})
	}
	p.addFormatFlag(cmd)
	p.addServerFlags(cmd)
	return cmd
}
