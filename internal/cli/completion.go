package cli

import (
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/queuemill/queuemill/internal/clusterapi"
	"github.com/queuemill/queuemill/internal/httpapi"
	"github.com/queuemill/queuemill/internal/httpapi/client"
)

func (p *program) completionCommand() *cobra.Command {
	shells := []string{"bash", "zsh", "fish"}
	return &cobra.Command{
		Use:   "completion {bash | zsh | fish}",
		Short: "Write a shell's completion script",
		Long: `Write a shell's completion script. Names of jobs, QueueJobs and queues are
completed from the running controller.`,
		Example: `  source <(queuemill completion bash)
  queuemill completion zsh > "${fpath[1]}/_queuemill"
  queuemill completion fish > ~/.config/fish/completions/queuemill.fish`,
		Args:              argsNamed("shell: bash, zsh or fish", 1, 1),
		ValidArgsFunction: cobra.FixedCompletions(shells, cobra.ShellCompDirectiveNoFileComp),
		RunE: func(cmd *cobra.Command, args []string) error {
			root, w := cmd.Root(), p.env.Stdout
			switch args[0] {
			case "bash":
				return root.GenBashCompletionV2(w, true)
			case "zsh":
				return root.GenZshCompletion(w)
			case "fish":
				return root.GenFishCompletion(w, true)
			}
			return usagef("there are bash, zsh, fish", "there is no completion for %q", args[0])
		},
	}
}

// A person is waiting for the shell; a cluster may be far away.
const (
	completionTimeout        = 500 * time.Millisecond
	clusterCompletionTimeout = 3 * time.Second
)

// completionContext ends when the person has waited long enough.
func (p *program) completionContext(cmd *cobra.Command) (context.Context, context.CancelFunc) {
	wait := completionTimeout
	if p.onCluster() {
		wait = clusterCompletionTimeout
	}
	return context.WithTimeout(context.WithoutCancel(contextOf(cmd)), wait)
}

type completer = func(cmd *cobra.Command, args []string, toComplete string) ([]string, cobra.ShellCompDirective)

// complete offers what list finds, until there are most arguments (-1: any
// number). A controller that does not answer offers nothing.
func (p *program) complete(most int, list func(ctx context.Context, c *client.Client, prefix string) ([]string, error)) completer {
	return func(cmd *cobra.Command, args []string, toComplete string) ([]string, cobra.ShellCompDirective) {
		if most >= 0 && len(args) >= most {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		ctx, cancel := p.completionContext(cmd)
		defer cancel()
		c, err := p.connect()
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		names, err := list(ctx, c, toComplete)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		var offered []string
		for _, name := range names {
			if bare, _, _ := strings.Cut(name, "\t"); strings.HasPrefix(bare, toComplete) {
				offered = append(offered, name)
			}
		}
		return offered, cobra.ShellCompDirectiveNoFileComp
	}
}

func contextOf(cmd *cobra.Command) context.Context {
	if ctx := cmd.Context(); ctx != nil {
		return ctx
	}
	return context.Background()
}

func (p *program) completeJobs(most int) completer {
	return p.complete(most, func(ctx context.Context, c *client.Client, prefix string) ([]string, error) {
		page, err := c.Jobs(ctx, httpapi.JobFilter{Prefix: prefix}, 200, "")
		var names []string
		for _, j := range page.Jobs {
			names = append(names, j.Name+"\t"+string(j.State))
		}
		return names, err
	})
}

func (p *program) completeQueueJobs(most int) completer {
	return p.complete(most, func(ctx context.Context, c *client.Client, _ string) ([]string, error) {
		all, err := c.QueueJobs(ctx)
		var names []string
		for _, qj := range all {
			names = append(names, qj.Name)
		}
		return names, err
	})
}

func (p *program) completeQueueJobsAndPools(most int) completer {
	return p.complete(most, func(ctx context.Context, c *client.Client, prefix string) ([]string, error) {
		return (&directory{client: c}).offers(ctx, prefix)
	})
}

func (p *program) completeQueue() completer {
	return p.complete(1, func(ctx context.Context, c *client.Client, _ string) ([]string, error) {
		all, err := c.Queues(ctx)
		var names []string
		for _, q := range all {
			names = append(names, q.Name)
		}
		return names, err
	})
}

// completeContexts offers those of the kubeconfig.
func completeContexts(f *clusterapi.Flags) completer {
	return func(_ *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
		return clusterapi.Contexts(*f), cobra.ShellCompDirectiveNoFileComp
	}
}

// completeNamespaces offers those of the cluster, where the caller may list
// them.
func (p *program) completeNamespaces() completer {
	return func(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
		ctx, cancel := p.completionContext(cmd)
		defer cancel()
		backend, err := p.openCluster()
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return backend.Namespaces(ctx), cobra.ShellCompDirectiveNoFileComp
	}
}

// fixed completes the last of a comma-separated list of names.
func fixed[T ~string](all []T) completer {
	return func(_ *cobra.Command, _ []string, toComplete string) ([]string, cobra.ShellCompDirective) {
		before := ""
		if i := strings.LastIndexByte(toComplete, ','); i >= 0 {
			before = toComplete[:i+1]
		}
		var offered []string
		for _, v := range all {
			offered = append(offered, before+string(v))
		}
		return offered, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
	}
}
