package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/queuemill/queuemill/internal/httpapi"
	"github.com/queuemill/queuemill/internal/httpapi/client"
)

func (p *program) suspendCommand() *cobra.Command {
	return p.suspendOrResume(&cobra.Command{
		Use:   "suspend QUEUEJOB… | WORKERPOOL…",
		Short: "Stop receiving messages; jobs that run go on",
		Long: `Stop receiving messages. Jobs that run go on; the workers of a WorkerPool leave,
each when it is idle. It is remembered over a restart, until resume or an edit of
suspend in the manifest.

Of a name that a QueueJob and a WorkerPool both have, say which is meant:
queuejob/NAME or workerpool/NAME.`,
		Example: "  queuemill suspend ping\n  queuemill suspend workerpool/thumbnails",
	}, true, "suspended")
}

func (p *program) resumeCommand() *cobra.Command {
	return p.suspendOrResume(&cobra.Command{
		Use:     "resume QUEUEJOB… | WORKERPOOL…",
		Short:   "Receive messages again",
		Example: "  queuemill resume ping\n  queuemill resume workerpool/thumbnails",
	}, false, "resumed")
}

// suspension is what suspend and resume print.
type suspension struct {
	QueueJobs   []httpapi.QueueJob   `json:"queueJobs"`
	WorkerPools []httpapi.WorkerPool `json:"workerPools,omitempty"`
}

func (p *program) suspendOrResume(cmd *cobra.Command, suspend bool, done string) *cobra.Command {
	cmd.Args = argsNamed("QUEUEJOB or WORKERPOOL", 1, -1)
	cmd.ValidArgsFunction = p.completeQueueJobsAndPools(-1)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, err := p.connect()
		if err != nil {
			return err
		}
		meant := make([]object, len(args)) // all of them before the first is touched
		known := directory{client: c}
		for i, name := range args {
			if meant[i], err = known.find(cmd.Context(), name); err != nil {
				return err
			}
		}
		changed := suspension{QueueJobs: []httpapi.QueueJob{}}
		var items []any
		for _, o := range meant {
			item, err := changed.add(cmd.Context(), c, o, suspend)
			if err != nil {
				return err
			}
			items = append(items, item)
		}
		return p.print(result{
			document: changed, items: items, names: args,
			text: func() error {
				for _, name := range args {
					if _, err := fmt.Fprintf(p.env.Stdout, "%s %s\n", name, done); err != nil {
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

// add suspends or resumes one, and keeps how it is then.
func (s *suspension) add(ctx context.Context, c *client.Client, o object, suspend bool) (any, error) {
	if o.pool {
		wp, err := c.SuspendPool(ctx, o.name, suspend)
		s.WorkerPools = append(s.WorkerPools, wp)
		return wp, err
	}
	qj, err := c.Suspend(ctx, o.name, suspend)
	s.QueueJobs = append(s.QueueJobs, qj)
	return qj, err
}
