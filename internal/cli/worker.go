package cli

import (
	"context"
	"errors"
	"os"
	"strings"
	"sync/atomic"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/queuemill/queuemill/internal/app"
	"github.com/queuemill/queuemill/internal/httpapi/client"
	"github.com/queuemill/queuemill/internal/queue"
	"github.com/queuemill/queuemill/internal/worker/flags"
)

func (p *program) workerCommand() *cobra.Command {
	f := flags.Defaults()
	cmd := &cobra.Command{
		Use:   "worker -q QUEUE [--http URL] [--] COMMAND…",
		Short: "Run a command for each message of a queue",
		Long: `Run a command for each message of a queue, on this machine or in a container, as
long as it lives; a WorkerPool starts as many of these as its queue needs.

COMMAND has the message on its standard input and in $QUEUEMILL_MESSAGE_FILE, and
its ID, attempt, attributes and fields in its environment; $(NAME) in its
arguments is expanded from that. Its exit code says what becomes of the message:

  0       done: it is deleted
  3       rejected: to the dead-letter queue at once, with the reason
  4       not now: given back, to be delivered again later
  other   failed: given back, to be delivered again in 2, 4, 8 … seconds

What it writes to $QUEUEMILL_RESULT_FILE is the reason, or with 4 the delay (90s).

With --http the message is posted to a server instead, with the headers of AWS
Elastic Beanstalk's worker daemon: 2xx is done, 400, 409 and 422 rejected, 429 and
503 not now (Retry-After is the delay), anything else failed. A COMMAND is the
server then: started once, waited for, and started again should it end.

A queue's URL says where it is. A name alone is that of a queue of queuemill up:
the controller at --server is asked for it, as by the other verbs. With --region
it is looked up at AWS, with --endpoint (or AWS_ENDPOINT_URL_SQS) there.
Credentials are found as by AWS's own tools.

SIGTERM (or Ctrl-C) receives no more and lets what runs finish; after
--drain-timeout, or at a second Ctrl-C, it is ended and given back, so that another
worker has it at once. If the worker itself is killed its commands end too, and
their messages come back after --visibility.`,
		Example: `  queuemill worker -q thumbnails -- ./thumbnail.sh
  queuemill worker -q https://sqs.eu-west-1.amazonaws.com/123456789012/mails -c 16 --http http://127.0.0.1:8000/mail -- gunicorn app
  queuemill worker -q orders --field ID=order.id --exit-when-empty -- process-order '$(ID)'`,
		RunE: func(cmd *cobra.Command, args []string) error {
			f.Command = args
			return p.worker(cmd.Context(), cmd.CommandPath(), f)
		},
	}
	fs := cmd.Flags()
	fs.SetInterspersed(false) // what stands behind COMMAND is its own
	f.Register(fs)
	p.addControllerFlags(cmd)
	complete := func(name string, list completer) { _ = cmd.RegisterFlagCompletionFunc(name, list) }
	queues := p.completeQueue()
	complete("queue", func(cmd *cobra.Command, _ []string, prefix string) ([]string, cobra.ShellCompDirective) {
		return queues(cmd, nil, prefix)
	})
	complete("format", fixed([]string{"json", "text", "sns", "s3Event"}))
	complete("log-format", cobra.FixedCompletions([]string{"text", "json"}, cobra.ShellCompDirectiveNoFileComp))
	complete("log-level", cobra.FixedCompletions([]string{"debug", "info", "warn", "error"}, cobra.ShellCompDirectiveNoFileComp))
	fs.VisitAll(func(flag *pflag.Flag) { // the others' values are nothing that files are called
		switch flag.Name {
		case "message", "working-dir", "temp-dir", "token-file", "control":
		default:
			_ = cmd.RegisterFlagCompletionFunc(flag.Name, cobra.NoFileCompletions) // keeps what is there
		}
	})
	return cmd
}

// worker runs one between its signals and a person.
func (p *program) worker(ctx context.Context, path string, f flags.Flags) error {
	o := app.WorkerOptions{Token: os.Getenv(flags.TokenEnv), ID: os.Getenv(flags.IDEnv), Held: os.Getenv(flags.HeldEnv) != ""}
	for _, name := range []string{flags.TokenEnv, flags.IDEnv, flags.HeldEnv} { // no command is given them
		if err := os.Unsetenv(name); err != nil {
			return err
		}
	}
	if err := f.Unhide(); err != nil {
		return err
	}
	if err := f.Check(); err != nil {
		return usagef(path+" --help shows how", "%v", err)
	}
	log, err := newLogger(p.env.Stderr, f.LogFormat, f.LogLevel, isTerminal(p.env.Stderr))
	if err != nil {
		return err
	}
	if f.Pool != "" {
		log = log.With("workerpool", f.Pool)
	}
	if err := p.findQueue(ctx, &f); err != nil {
		return err
	}
	interrupts := make(chan os.Signal, 4)
	o.Flags, o.Logger, o.Interrupts, o.Say = f, log, interrupts, p.say
	var caught atomic.Int32
	ended := make(chan struct{})
	defer close(ended)
	go func() {
		for n := 0; ; n++ {
			select {
			case sig := <-p.env.Signals:
				if n > 0 && sig == syscall.SIGTERM {
					// Whoever manages processes may send it again, a kubelet that was
					// restarted, say: the time to finish is still running.
					continue
				}
				if s, ok := sig.(syscall.Signal); ok && n > 0 {
					caught.Store(int32(s))
				}
				interrupts <- sig
			case <-ended:
				return
			}
		}
	}()
	err = app.Worker(ctx, o)
	if sig := caught.Load(); err == nil && sig != 0 {
		p.caught.Store(sig) // the second one: work was ended
	}
	if errors.Is(err, queue.ErrNotFound) {
		return notFoundf("make the queue, or name another with --queue", "%v", err)
	}
	return err
}

// findQueue makes a URL of a queue's name where that is the controller's to know.
func (p *program) findQueue(ctx context.Context, f *flags.Flags) error {
	if strings.Contains(f.QueueURL, "://") || f.Region != "" && f.Endpoint == "" {
		return nil
	}
	for _, name := range []string{"AWS_ENDPOINT_URL_SQS", "AWS_ENDPOINT_URL"} {
		if f.Endpoint == "" {
			f.Endpoint = os.Getenv(name)
		}
	}
	if f.Endpoint != "" {
		return nil
	}
	c, err := p.connect()
	if err != nil {
		return err
	}
	q, err := c.Queue(ctx, f.QueueURL)
	var away *client.UnreachableError
	if errors.As(err, &away) {
		return failuref("start queuemill up, or name its controller with --server; for a queue elsewhere give its URL, or for one at AWS --region",
			"where the queue %s is the controller at %s should know, and it does not answer", f.QueueURL, c.Server())
	}
	if err != nil {
		return err
	}
	f.QueueURL = q.URL
	return nil
}
