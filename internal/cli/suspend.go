package cli

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

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

A name that a QueueJob and a WorkerPool both have is the QueueJob's: write
workerpool/NAME for the other.`,
	}, true, "suspended")
}

func (p *program) resumeCommand() *cobra.Command {
	return p.suspendOrResume(&cobra.Command{
		Use:   "resume QUEUEJOB… | WORKERPOOL…",
		Short: "Receive messages again",
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
		changed := suspension{QueueJobs: []httpapi.QueueJob{}}
		var items []any
		for _, name := range args {
			item, err := changed.add(cmd.Context(), c, name, suspend)
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

// add suspends or resumes what name means: a QueueJob, else a WorkerPool, unless
// it says which.
func (s *suspension) add(ctx context.Context, c *client.Client, name string, suspend bool) (any, error) {
	name, isQueueJob := strings.CutPrefix(name, queueJobPrefix)
	name, isPool := strings.CutPrefix(name, poolPrefix)
	var none error
	if !isPool {
		qj, err := c.Suspend(ctx, name, suspend)
		if err == nil {
			s.QueueJobs = append(s.QueueJobs, qj)
			return qj, nil
		}
		if isQueueJob || !isNotFound(err) {
			return nil, err
		}
		none = err
	}
	wp, err := c.SuspendPool(ctx, name, suspend)
	if err == nil {
		s.WorkerPools = append(s.WorkerPools, wp)
		return wp, nil
	}
	if none != nil && isNotFound(err) && !suggests(err) {
		return nil, none
	}
	return nil, err
}

func isNotFound(err error) bool {
	var problem *httpapi.Problem
	return errors.As(err, &problem) && problem.Status == http.StatusNotFound
}

// suggests tells whether an error says what was probably meant.
func suggests(err error) bool {
	var problem *httpapi.Problem
	return errors.As(err, &problem) && strings.HasPrefix(problem.Hint, "did you mean")
}
