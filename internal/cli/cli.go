// Package cli is the command line: one file per verb, and what they share.
//
// What a verb finds goes to stdout, what it has to say about it to stderr, so
// that stdout can be piped. Verbs but up and validate speak to a running
// controller through its HTTP API.
package cli

import (
	"context"
	"io"
	"os"
	"strings"
	"sync/atomic"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/queuemill/queuemill/internal/clusterapi"
)

// Env is the process around the command line.
type Env struct {
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	Signals        <-chan os.Signal // SIGINT and SIGTERM
	Version        string

	// Name is what the program was called as (os.Args[0]); see plugin.
	Name string
}

// Exit codes.
const (
	exitDone       = 0
	exitError      = 1
	exitUsage      = 2
	exitJobsFailed = 3
	exitTimeout    = 4
	exitNotFound   = 5
	exitSignal     = 128 // plus the signal's number
)

// program is one run of the command line.
type program struct {
	env    Env
	server serverFlags
	// cluster are the flags that choose one; plugin tells that kubectl called.
	cluster clusterapi.Flags
	plugin  bool
	format  outputFlags
	cancel  context.CancelFunc
	caught  atomic.Int32 // the signal that ended the run, 0: none
}

// Main runs the command line and returns the exit code.
func Main(args []string, env Env) int {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	p := &program{env: env, cancel: cancel}
	p.plugin, args = calledAs(env.Name, args)
	root := p.root()
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if sig := p.caught.Load(); sig != 0 {
		return exitSignal + int(sig)
	}
	return p.report(suggestCommand(root, args, err))
}

func (p *program) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "queuemill",
		Short: "Queue messages in, finished jobs out",
		Long: `Queuemill turns each message of a queue into one run of your command, sees it
through, and keeps what failed where you can see it, fix it and run it again.

Start everything on this machine with queuemill up -f FILE, then use the other
verbs beside it. They speak to the controller at --server, or to the cluster that
--kubeconfig, --context, --namespace or --all-namespaces chooses.`,
		SilenceErrors: true,
		SilenceUsage:  true,
		PersistentPreRun: func(cmd *cobra.Command, _ []string) {
			switch cmd.Name() {
			case "up", "controller", "worker": // they end in order
			default:
				p.cancelOnSignal()
			}
		},
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true},
	}
	if p.plugin {
		root.Annotations = map[string]string{cobra.CommandDisplayNameAnnotation: pluginName}
		root.Long = pluginLong
	}
	cobra.EnableCommandSorting = false // help shows them in the order below
	root.SetOut(p.env.Stdout)
	root.SetErr(p.env.Stderr)
	root.SetIn(p.env.Stdin)
	root.SetFlagErrorFunc(flagError)
	root.SetHelpCommand(&cobra.Command{Use: "help [COMMAND]", Short: "Help about a command", Hidden: true, RunE: func(cmd *cobra.Command, args []string) error {
		target, rest, err := cmd.Root().Find(args)
		if err != nil || len(rest) > 0 {
			return unknownCommand(cmd.Root(), strings.Join(args, " "))
		}
		return target.Help()
	}})
	root.AddGroup(
		&cobra.Group{ID: "run", Title: "Run:"},
		&cobra.Group{ID: "jobs", Title: "Jobs:"},
		&cobra.Group{ID: "queues", Title: "Queues:"},
		&cobra.Group{ID: "other", Title: "Other:"},
	)
	add := func(group string, verbs ...*cobra.Command) {
		for _, v := range verbs {
			v.GroupID, v.Long, v.Example = group, p.asCalled(v.Long), p.asCalled(v.Example)
			root.AddCommand(v)
		}
	}
	up := p.upCommand()
	up.Hidden = p.plugin // it needs no cluster
	root.SetHelpCommandGroupID("other")
	add("run", up, p.controllerCommand(), p.workerCommand(), p.statusCommand(), p.suspendCommand(), p.resumeCommand(), p.validateCommand(),
		p.simulateCommand(), p.costCommand())
	add("jobs", p.jobsCommand(), p.describeCommand(), p.logsCommand(), p.retryCommand(), p.pruneCommand(), p.deleteCommand())
	add("queues", p.sendCommand(), p.peekCommand(), p.redriveCommand(), p.purgeCommand())
	add("other", p.doctorCommand(), p.versionCommand(), p.completionCommand(), p.copySelfCommand())
	return root
}

// cancelOnSignal ends the verb at the first signal.
func (p *program) cancelOnSignal() {
	go func() {
		if sig, ok := (<-p.env.Signals).(syscall.Signal); ok {
			p.caught.Store(int32(sig))
			p.cancel()
		}
	}()
}
