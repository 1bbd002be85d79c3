// Command cluster runs a real Kubernetes on this machine until it is told to
// stop: `make cluster-up` and `make cluster-down`. It also builds the programs
// beforehand, for `make test`.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/queuemill/queuemill/test/cluster"
)

const usage = `usage: cluster up [-nodes N]   start it, or find it running; the last line is its kubeconfig's path
       cluster down           stop it and remove all of it
       cluster build [-nodes N]   build its programs, unless they are there
`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintf(os.Stderr, "cluster: %v\n", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) == 0 {
		return fmt.Errorf("which command?\n%s", usage)
	}
	flags := flag.NewFlagSet(args[0], flag.ContinueOnError)
	flags.Usage = func() { fmt.Fprint(os.Stderr, usage) }
	nodes := flags.Int("nodes", 0, "kubelets with a containerd each, 0 to 2; they need root")
	if err := flags.Parse(args[1:]); err != nil {
		return err
	}
	if args[0] == "build" {
		return cluster.Build(ctx, *nodes, os.Stderr)
	}
	h, err := findHome()
	if err != nil {
		return err
	}
	switch args[0] {
	case "up":
		return up(ctx, h, *nodes)
	case "down":
		return down(ctx, h)
	case serveCommand:
		return serve(ctx, h, *nodes)
	}
	return fmt.Errorf("there is no command %q\n%s", args[0], usage)
}
