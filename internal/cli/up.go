package cli

import (
	"bufio"
	"cmp"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/queuemill/queuemill/internal/app"
	"github.com/queuemill/queuemill/internal/httpapi"
	"github.com/queuemill/queuemill/internal/sqsserver"
)

// upFlags are what app.UpOptions has no type for.
type upFlags struct {
	tokenFile, credentialsFile string
	logFormat, logLevel        string
}

func (p *program) upCommand() *cobra.Command {
	var (
		o app.UpOptions
		f upFlags
	)
	cmd := &cobra.Command{
		Use:   "up [-f FILE…]",
		Short: "Run everything on this machine: queue, SQS endpoint, controller, HTTP API",
		Long: `Run everything on this machine: a durable queue with an SQS endpoint, the
controller that turns messages into jobs, and the HTTP API that the other verbs
speak to. Without -f it is the queue alone. Edits of the files are followed.

The first Ctrl-C (or SIGTERM) stops receiving and lets jobs finish; the exit code
is 0 then. The second one ends the jobs, which run again at the next start; the
exit code is 130 (143) then. With --until-idle it ends by itself when queues are
empty and jobs finished, with exit code 3 when some of them failed.

Both servers listen on loopback. Elsewhere the HTTP API wants a token, from
--token-file or QUEUEMILL_TOKEN, and the SQS endpoint wants keys, from
--sqs-credentials-file (as in ~/.aws/credentials) or QUEUEMILL_SQS_ACCESS_KEY_ID
and QUEUEMILL_SQS_SECRET_ACCESS_KEY.`,
		Example: `  queuemill up -f queuemill.yaml
  queuemill up -f manifests/ --data /var/lib/queuemill --until-idle`,
		Args: argsNamed("", 0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			line := p.newProgress()
			if err := p.completeUp(&o, &f, line); err != nil {
				return err
			}
			return p.up(cmd.Context(), o, line)
		},
	}
	flags := cmd.Flags()
	flags.StringArrayVarP(&o.Files, "file", "f", nil, "`FILE` or folder of manifests; may be repeated")
	flags.StringVar(&o.Data, "data", ".queuemill", "`FOLDER` of everything that is kept; made when missing")
	flags.StringVar(&o.SQSListen, "sqs-listen", "127.0.0.1:9324", "`HOST:PORT` of the SQS endpoint; port 0: any")
	flags.StringVar(&o.Listen, "listen", "127.0.0.1:8080", "`HOST:PORT` of the HTTP API; port 0: any")
	flags.StringVar(&o.Region, "region", "us-east-1", "`REGION` of queues that name none")
	flags.BoolVar(&o.UntilIdle, "until-idle", false, "end when queues are empty and jobs finished")
	flags.StringVar(&f.tokenFile, "token-file", "", "`FILE` with the token that the HTTP API wants (default: the token in $QUEUEMILL_TOKEN)")
	flags.StringVar(&f.credentialsFile, "sqs-credentials-file", "", "`FILE` with the keys that the SQS endpoint takes")
	flags.StringArrayVar(&o.AllowedHosts, "allowed-host", nil, "further `NAME` of this machine that callers may use; may be repeated")
	flags.StringVar(&f.logFormat, "log-format", "text", "`FORMAT`: text or json")
	flags.StringVar(&f.logLevel, "log-level", "info", "`LEVEL`: debug, info, warn or error")
	_ = cmd.RegisterFlagCompletionFunc("log-format", cobra.FixedCompletions([]string{"text", "json"}, cobra.ShellCompDirectiveNoFileComp))
	_ = cmd.RegisterFlagCompletionFunc("log-level", cobra.FixedCompletions([]string{"debug", "info", "warn", "error"}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

// completeUp reads what flags only point at.
func (p *program) completeUp(o *app.UpOptions, f *upFlags, line *progress) (err error) {
	if o.Logger, err = newLogger(line.above(p.env.Stderr), f.logFormat, f.logLevel, isTerminal(p.env.Stderr)); err != nil {
		return err
	}
	if o.Token, err = readToken(f.tokenFile); err != nil {
		return err
	}
	o.Credentials, err = readCredentials(f.credentialsFile)
	o.Version = p.env.Version
	return err
}

// newLogger logs to w. On a terminal a text line has the time of day only.
func newLogger(w io.Writer, format, level string, terminal bool) (*slog.Logger, error) {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		return nil, usagef("there are debug, info, warn, error", "there is no log level %q", level)
	}
	options := &slog.HandlerOptions{Level: l}
	switch format {
	case "text":
		if terminal {
			options.ReplaceAttr = timeOfDay
		}
		return slog.New(slog.NewTextHandler(w, options)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(w, options)), nil
	}
	return nil, usagef("there are text, json", "there is no log format %q", format)
}

func timeOfDay(groups []string, a slog.Attr) slog.Attr {
	if len(groups) == 0 && a.Key == slog.TimeKey && a.Value.Kind() == slog.KindTime {
		return slog.String(a.Key, a.Value.Time().Format(time.TimeOnly))
	}
	return a
}

// up runs the app between its signals and a person.
func (p *program) up(ctx context.Context, o app.UpOptions, line *progress) error {
	leanMemory()
	interrupts := make(chan os.Signal, 4)
	o.Interrupts = interrupts
	var last atomic.Value
	ended := make(chan struct{})
	defer close(ended)
	go func() {
		for {
			select {
			case sig := <-p.env.Signals:
				last.Store(sig)
				interrupts <- sig
			case <-ended:
				return
			}
		}
	}()
	reload := make(chan os.Signal, 1)
	signal.Notify(reload, syscall.SIGHUP)
	defer signal.Stop(reload)
	o.Reload = reload

	o.Say = func(format string, args ...any) { line.done(); p.say(format, args...) }
	o.Ready = func(e app.Endpoints) { p.banner(&o, e) }
	o.Progress = func(s httpapi.Status) { showWork(line, s) }

	outcome, err := app.Up(ctx, o)
	line.done()
	if err != nil {
		return err
	}
	if outcome.Interrupted {
		if sig, ok := last.Load().(syscall.Signal); ok {
			p.caught.Store(int32(sig))
		}
		return nil
	}
	if outcome.Idle {
		return p.sumUp(&o, outcome)
	}
	return nil
}

// sumUp ends an --until-idle with what became of the jobs.
func (p *program) sumUp(o *app.UpOptions, outcome app.Outcome) error {
	text := thousands(outcome.Succeeded) + " succeeded, " + thousands(outcome.Failed) + " failed"
	if outcome.Invalid > 0 {
		text += ", " + thousands(outcome.Invalid) + " invalid"
	}
	p.say("%s", text)
	for _, held := range outcome.Held {
		p.say("%s", held)
	}
	if outcome.Failed+outcome.Invalid == 0 {
		return nil
	}
	p.say("hint: they are kept in %s; start without --until-idle, then: queuemill jobs --state failed,invalid; queuemill retry --all", o.Data)
	return errJobsFailed
}

// banner says where things listen and what to try next.
func (p *program) banner(o *app.UpOptions, e app.Endpoints) {
	w := bufio.NewWriter(p.env.Stdout)
	defer func() { _ = w.Flush() }() // nobody reads it: no reason to stop
	fmt.Fprintf(w, "queuemill %s is up, its data in %s\n\n", o.Version, o.Data)
	fmt.Fprintf(w, "  SQS endpoint   %s\n  HTTP API       %s\n", e.SQS, e.API)
	for _, qj := range e.QueueJobs {
		fmt.Fprintf(w, "  QueueJob       %s reads the queue %s\n", qj.Name, qj.Queue)
	}
	for i := range e.WorkerPools {
		fmt.Fprintf(w, "  WorkerPool     %s reads the queue %s, with up to %s\n", e.WorkerPools[i].Name, e.WorkerPools[i].Queue, count(e.WorkerPools[i].MaxWorkers, "worker", "workers"))
	}
	for _, name := range e.Suspended {
		fmt.Fprintf(w, "\n%s was suspended before the restart and still is: queuemill resume %s%s\n", name, name, serverArg(e.API))
	}
	queue := "NAME"
	create := " --create"
	switch {
	case len(e.QueueJobs) > 0:
		queue, create = e.QueueJobs[0].Queue, ""
	case len(e.WorkerPools) > 0:
		queue, create = e.WorkerPools[0].Queue, ""
	}
	if !o.UntilIdle {
		arg := serverArg(e.API)
		fmt.Fprintf(w, "\nTry next, in another terminal:\n\n")
		fmt.Fprintf(w, "  queuemill send %s%s%s '%s'\n", queue, create, arg, strings.ReplaceAll(e.Example, "'", `'\\''`))
		if len(e.QueueJobs) > 0 {
			fmt.Fprintf(w, "  queuemill jobs --watch%s\n", arg)
		}
		fmt.Fprintf(w, "  queuemill status%s\n", arg)
	}
	fmt.Fprintln(w)
}

// serverArg is the flag that other verbs need to find the controller.
func serverArg(url string) string {
	if url == serverURL("") {
		return ""
	}
	return " --server " + url
}

// showWork is one line of how far an --until-idle is.
func showWork(line *progress, s httpapi.Status) {
	var jobs httpapi.Counts
	waiting := 0
	for _, qj := range s.QueueJobs {
		jobs.Queued += qj.Jobs.Queued
		jobs.Running += qj.Jobs.Running
		jobs.Succeeded += qj.Jobs.Succeeded
		jobs.Failed += qj.Jobs.Failed + qj.Jobs.Invalid
	}
	for _, q := range s.Queues {
		if len(q.QueueJobs)+len(q.WorkerPools) > 0 {
			waiting += q.Visible + q.Delayed
		}
	}
	line.show("%s waiting, %s queued, %s running, %s succeeded, %s failed",
		thousands(waiting), thousands(jobs.Queued), thousands(jobs.Running), thousands(jobs.Succeeded), thousands(jobs.Failed))
}

// readCredentials reads keys from a file as ~/.aws/credentials has them, all
// profiles, or one from the environment.
func readCredentials(file string) ([]sqsserver.Credential, error) {
	if file == "" {
		c := sqsserver.Credential{
			AccessKeyID: os.Getenv("QUEUEMILL_SQS_ACCESS_KEY_ID"), SecretAccessKey: os.Getenv("QUEUEMILL_SQS_SECRET_ACCESS_KEY"),
		}
		switch {
		case c.AccessKeyID == "" && c.SecretAccessKey == "":
			return nil, nil
		case c.AccessKeyID == "" || c.SecretAccessKey == "":
			return nil, failuref("set both or none", "one of QUEUEMILL_SQS_ACCESS_KEY_ID and QUEUEMILL_SQS_SECRET_ACCESS_KEY is not set")
		}
		return []sqsserver.Credential{c}, nil
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read the SQS credentials: %w", err)
	}
	return parseCredentials(file, string(data))
}

func parseCredentials(file, text string) ([]sqsserver.Credential, error) {
	var all []sqsserver.Credential
	var c sqsserver.Credential
	n := 0
	for line := range strings.Lines(text + "\n[end]\n") {
		n++
		line = strings.TrimSpace(line)
		key, value, isPair := strings.Cut(line, "=")
		value = strings.TrimSpace(value)
		switch key = strings.ToLower(strings.TrimSpace(key)); {
		case line == "" || line[0] == '#' || line[0] == ';':
		case line[0] == '[':
			if c != (sqsserver.Credential{}) {
				if cmp.Or(c.AccessKeyID, c.SessionToken) == "" || c.SecretAccessKey == "" {
					return nil, failuref("write aws_access_key_id = … and aws_secret_access_key = …", "%s: the keys before line %d are not complete", file, n)
				}
				all, c = append(all, c), sqsserver.Credential{}
			}
		case !isPair:
			return nil, failuref("write aws_access_key_id = … and aws_secret_access_key = …", "%s:%d: not KEY = VALUE", file, n)
		case key == "aws_access_key_id":
			c.AccessKeyID = value
		case key == "aws_secret_access_key":
			c.SecretAccessKey = value
		case key == "aws_session_token":
			c.SessionToken = value
		}
	}
	if len(all) == 0 {
		return nil, failuref("write aws_access_key_id = … and aws_secret_access_key = …", "%s has no keys", file)
	}
	return all, nil
}
