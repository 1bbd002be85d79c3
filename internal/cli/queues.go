package cli

import (
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/queuemill/queuemill/internal/httpapi"
)

func (p *program) peekCommand() *cobra.Command {
	var limit int
	cmd := &cobra.Command{
		Use:   "peek QUEUE",
		Short: "Show the next messages of a queue",
		Long: `Show the next messages of a queue without taking them. On a queue of SQS itself
the look counts as a receive: it raises receive counts, and with a redrive
policy it can move messages to the dead-letter queue.`,
		Args:              argsNamed("QUEUE", 1, 1),
		ValidArgsFunction: p.completeQueue(),
		RunE: func(cmd *cobra.Command, args []string) error {
			if limit < 1 || limit > 100 {
				return usagef("", "--limit is %d; it is a number from 1 to 100", limit)
			}
			c, err := p.connect()
			if err != nil {
				return err
			}
			found, err := c.Peek(cmd.Context(), args[0], limit)
			if err != nil {
				return err
			}
			if found.CountsAsReceive {
				p.say("note: this look counted as a receive of %s", count(len(found.Messages), "message", "messages"))
			}
			if len(found.Messages) == 0 && p.human() {
				p.say("no visible messages")
				return nil
			}
			return p.print(peekResult(found))
		},
	}
	cmd.Flags().IntVar(&limit, "limit", 10, "at most `N`, 1 to 100")
	p.addOutputFlags(cmd)
	p.addServerFlags(cmd)
	return cmd
}

func peekResult(found httpapi.PeekResult) result {
	r := result{document: found, items: anys(found.Messages)}
	for _, m := range found.Messages {
		r.names = append(r.names, m.ID)
	}
	r.table = func(wide bool) *table {
		header := []string{"MESSAGE", "SENT", "RECEIVED", "SIZE", "BODY"}
		if wide {
			header = []string{"MESSAGE", "SENT", "RECEIVED", "SIZE", "GROUP", "BODY"}
		}
		t := newTable("BODY", header...)
		for _, m := range found.Messages {
			row := []string{m.ID, since(m.SentAt), strconv.Itoa(m.ReceiveCount), size(int64(len(m.Body)))}
			if wide {
				row = append(row, orDash(m.GroupID))
			}
			t.add(append(row, truncate(m.Body, 200))...)
		}
		return t
	}
	return r
}

func (p *program) purgeCommand() *cobra.Command {
	var yes, dryRun bool
	cmd := &cobra.Command{
		Use:               "purge QUEUE",
		Short:             "Drop every message of a queue",
		Long:              "Drop every message of a queue, those in flight too. Jobs are not touched.",
		Args:              argsNamed("QUEUE", 1, 1),
		ValidArgsFunction: p.completeQueue(),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := p.connect()
			if err != nil {
				return err
			}
			q, err := c.Queue(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			total := q.Visible + q.InFlight + q.Delayed
			if dryRun {
				return p.printPurged(httpapi.PurgeResult{Purged: total}, q.Name, "would be dropped from")
			}
			if total > 1 {
				if err := p.confirm(cmd.Context(), yes, fmt.Sprintf("drop %s of %s", count(total, "message", "messages"), q.Name)); err != nil {
					return err
				}
			}
			done, err := c.Purge(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return p.printPurged(done, q.Name, "dropped from")
		},
	}
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "only say how many")
	p.addFormatFlag(cmd)
	p.addServerFlags(cmd)
	return cmd
}

func (p *program) printPurged(r httpapi.PurgeResult, queue, what string) error {
	return p.print(result{document: r, names: []string{queue}, text: func() error {
		_, err := fmt.Fprintf(p.env.Stdout, "%s %s %s\n", count(r.Purged, "message", "messages"), what, sanitize(queue, oneLine))
		return err
	}})
}

func (p *program) redriveCommand() *cobra.Command {
	var (
		limit  int
		dryRun bool
	)
	cmd := &cobra.Command{
		Use:               "redrive QUEUE",
		Short:             "Move a dead-letter queue's messages back to where they came from",
		Args:              argsNamed("QUEUE", 1, 1),
		ValidArgsFunction: p.completeQueue(),
		RunE: func(cmd *cobra.Command, args []string) error {
			if limit < 0 {
				return usagef("", "--limit may not be negative")
			}
			c, err := p.connect()
			if err != nil {
				return err
			}
			var done httpapi.RedriveResult
			what := "moved back from"
			if dryRun {
				q, err := c.Queue(cmd.Context(), args[0])
				if err != nil {
					return err
				}
				what = "would be moved back from"
				if done.Moved = q.Visible; limit > 0 {
					done.Moved = min(done.Moved, limit)
				}
			} else if done, err = c.Redrive(cmd.Context(), args[0], limit); err != nil {
				return err
			}
			return p.print(result{document: done, names: args, text: func() error {
				_, err := fmt.Fprintf(p.env.Stdout, "%s %s %s\n", count(done.Moved, "message", "messages"), what, sanitize(args[0], oneLine))
				return err
			}})
		},
	}
	cmd.Flags().IntVar(&limit, "limit", 0, "at most `N` messages (0: all)")
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "only say how many")
	p.addFormatFlag(cmd)
	p.addServerFlags(cmd)
	return cmd
}
