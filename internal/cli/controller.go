package cli

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/queuemill/queuemill/internal/app"
)

func (p *program) controllerCommand() *cobra.Command {
	var (
		o                   app.ControllerOptions
		logFormat, logLevel string
		tokenFile           string
	)
	cmd := &cobra.Command{
		Use:   "controller [-f FILE…]",
		Short: "Run the controller of a cluster: QueueJobs become Jobs, WorkerPools pods",
		Long: `Run the controller of a cluster: for each QueueJob there it makes a Job of every
message, and for each WorkerPool as many pods as its backlog wants, which takes
--worker-image. It finds the cluster as kubectl does, and in a pod the pod's own.

With --namespace it serves these namespaces alone and needs no right outside
them. Without, it serves all, and --config names the allow-list, which says which
queues each namespace may read:

  allow:
  - namespaces: [team-a, "team-b-*"]
    queues: ["https://sqs.eu-west-1.amazonaws.com/123456789012/team-*"]
    roleARNs: []       # that they may assume for it

Edits of that file are followed. With --leader-elect one of several replicas
works, and another one takes over within seconds.

With -f the QueueJobs come from files, edits of which are followed, and no custom
resource is needed: the manifests' namespace, else the context's, is served, and
--listen answers the other verbs as queuemill up does. WorkerPools are not run
from files: apply them, or run those with spec.process by queuemill up.

SIGTERM (or Ctrl-C) stops receiving, gives back what has no Job yet, and ends
with exit code 0; Jobs go on.`,
		Example: `  queuemill controller --config allow.yaml
  queuemill controller --namespace team-a
  queuemill controller -f queuemill.yaml`,
		Args: argsNamed("", 0, 0),
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if o.Logger, err = newLogger(p.env.Stderr, logFormat, logLevel, isTerminal(p.env.Stderr)); err != nil {
				return err
			}
			if len(o.Files) > 0 && (o.LeaderElect || o.Allow != "") {
				return usagef("leave them out, or apply the manifests to the cluster and leave -f out", "--leader-elect and --config are for custom resources, not for -f")
			}
			if o.Token, err = readToken(tokenFile); err != nil {
				return err
			}
			o.Version = p.env.Version
			return p.controller(cmd.Context(), o)
		},
	}
	flags := cmd.Flags()
	flags.StringArrayVarP(&o.Files, "file", "f", nil, "`FILE` or folder of manifests, instead of custom resources; may be repeated")
	flags.StringVar(&o.Kubeconfig, "kubeconfig", "", "`FILE` that says how to reach the cluster (default: as kubectl)")
	flags.StringVar(&o.Context, "context", "", "`NAME` of the context in it")
	flags.StringArrayVarP(&o.Namespaces, "namespace", "n", nil, "serve this `NAMESPACE` alone; may be repeated")
	flags.StringVar(&o.Allow, "config", "", "`FILE` with the allow-list")
	flags.StringVar(&o.WorkerImage, "worker-image", "", "`REFERENCE` of this program's image, which is put into the pods of WorkerPools; without it none are served")
	flags.BoolVar(&o.LeaderElect, "leader-elect", false, "one of several replicas: work only while holding the lease")
	flags.StringVar(&o.Listen, "listen", "127.0.0.1:8080", "`HOST:PORT` of /metrics, /healthz and /readyz; port 0: any")
	flags.StringVar(&tokenFile, "token-file", "", "with -f: `FILE` with the token that the HTTP API wants (default: the token in $QUEUEMILL_TOKEN)")
	flags.StringVar(&logFormat, "log-format", "text", "`FORMAT`: text or json")
	flags.StringVar(&logLevel, "log-level", "info", "`LEVEL`: debug, info, warn or error")
	_ = cmd.RegisterFlagCompletionFunc("log-format", cobra.FixedCompletions([]string{"text", "json"}, cobra.ShellCompDirectiveNoFileComp))
	_ = cmd.RegisterFlagCompletionFunc("log-level", cobra.FixedCompletions([]string{"debug", "info", "warn", "error"}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

// controller runs until a signal and then ends in order; a second signal does
// not wait for that.
func (p *program) controller(ctx context.Context, o app.ControllerOptions) error {
	leanMemory()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	o.Ready = func(url string) {
		what := "metrics and probes"
		if len(o.Files) > 0 {
			what = "HTTP API"
		}
		p.say("queuemill %s: %s at %s", o.Version, what, url)
	}
	reload := make(chan os.Signal, 1)
	signal.Notify(reload, syscall.SIGHUP)
	defer signal.Stop(reload)
	o.Reload = reload
	ended := make(chan error, 1)
	go func() { ended <- app.Controller(ctx, o) }()
	select {
	case err := <-ended:
		return err
	case <-p.env.Signals:
		cancel()
	}
	select {
	case err := <-ended:
		return err
	case sig := <-p.env.Signals:
		if s, ok := sig.(syscall.Signal); ok {
			p.caught.Store(int32(s))
		}
		return nil
	}
}
