// Command bench measures what Queuemill promises and prints a table: each row a
// ratio or a figure with its conditions, the bound, and whether it is met.
//
//	make bench            all rows, some eight minutes
//	make bench ROW=sdk    the rows whose name begins with sdk
//
// The server under test is the real binary in a process of its own, its data on
// disk and fsynced. What is compared takes turns in short rounds, so that a
// noisy neighbour hits both sides; the figures are medians.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// settings are the command line.
type settings struct {
	binary string        // of queuemill
	dir    string        // of the data, removed at the end
	rounds int           // of each side
	round  time.Duration // of one round
	idle   time.Duration // of the idle rows

	waiting int  // messages in the queue that is full
	verbose bool // rounds on stderr
}

// group is some rows that are measured together.
type group struct {
	name    string
	measure func(ctx context.Context, b *bench) error
}

var groups = []group{
	{"sdk-send", func(ctx context.Context, b *bench) error { return b.sends(ctx, "sdk-send", sdk{}, 1, 85) }},
	{"sdk-batch", func(ctx context.Context, b *bench) error { return b.sends(ctx, "sdk-batch", sdk{}, 10, 85) }},
	{"sdk-cycle", func(ctx context.Context, b *bench) error { return b.cycles(ctx, "sdk-cycle", sdk{}, 20_000) }},
	{"lean-send", func(ctx context.Context, b *bench) error { return b.sends(ctx, "lean-send", lean{}, 1, 50) }},
	{"lean-batch", func(ctx context.Context, b *bench) error { return b.sends(ctx, "lean-batch", lean{}, 10, 50) }},
	{"lean-cycle", func(ctx context.Context, b *bench) error { return b.cycles(ctx, "lean-cycle", lean{}, 60_000) }},
	{"pickup", func(ctx context.Context, b *bench) error { return b.pickup(ctx) }},
	{"million", func(ctx context.Context, b *bench) error { return b.million(ctx) }},
	{"pool-worker", func(ctx context.Context, b *bench) error { return b.poolWorker(ctx) }},
	{"pool-burst", func(ctx context.Context, b *bench) error { return b.poolBurst(ctx) }},
	{"simulate-day", func(ctx context.Context, b *bench) error { return b.simulateDay(ctx) }},
	{"jobs", func(ctx context.Context, b *bench) error { return b.jobs(ctx) }},
	{"kube-latency", func(ctx context.Context, b *bench) error { return b.kubeLatency(ctx) }},
	{"kube-burst", func(ctx context.Context, b *bench) error { return b.kubeBurst(ctx) }},
	{"kube-fair", func(ctx context.Context, b *bench) error { return b.kubeFair(ctx) }},
	{"kube-memory", func(ctx context.Context, b *bench) error { return b.kubeMemory(ctx) }},
	{"kube-passed", func(ctx context.Context, b *bench) error { return b.kubePassed(ctx) }},
	{"kube-failover", func(ctx context.Context, b *bench) error { return b.kubeFailover(ctx) }},
	{"idle", func(ctx context.Context, b *bench) error { return b.idle(ctx) }},
}

func main() {
	if len(os.Args) > 1 && os.Args[1] == doNothingArg {
		if err := doNothing(); err != nil {
			fmt.Fprintln(os.Stderr, "bench: do-nothing server:", err)
			os.Exit(1)
		}
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	var s settings
	var row string
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.StringVar(&row, "row", "", "measure the rows whose name begins so, separated by commas")
	flags.StringVar(&s.binary, "binary", "bin/queuemill", "the queuemill under test")
	flags.StringVar(&s.dir, "dir", "", "where the data goes; default: a temporary directory")
	flags.IntVar(&s.rounds, "rounds", 5, "rounds of each side")
	flags.DurationVar(&s.round, "round", 2*time.Second, "length of a round")
	flags.DurationVar(&s.idle, "idle", time.Minute, "length of the idle row")
	flags.IntVar(&s.waiting, "waiting", 1_000_000, "messages in the rows that end in -million")
	flags.BoolVar(&s.verbose, "v", false, "say on stderr what each round took")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if _, err := os.Stat(s.binary); err != nil {
		return fmt.Errorf("%w; `make build` builds it", err)
	}
	var err error
	if s.binary, err = filepath.Abs(s.binary); err != nil {
		return err
	}
	dir, err := os.MkdirTemp(s.dir, "queuemill-bench-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	s.dir = dir

	b := &bench{settings: s}
	defer b.close()
	any := false
	for _, g := range groups {
		if !selected(row, g.name) {
			continue
		}
		any = true
		fmt.Fprintf(os.Stderr, "measuring %s\n", g.name)
		if err := g.measure(ctx, b); err != nil {
			return fmt.Errorf("%s: %w", g.name, err)
		}
	}
	if !any {
		return fmt.Errorf("no row begins with %q", row)
	}
	fmt.Printf("\n%s, %d CPUs, %s/%s, data on disk with fsync, client and server on this machine.\n", runtime.Version(), runtime.NumCPU(), runtime.GOOS, runtime.GOARCH)
	fmt.Printf("Medians of %d rounds of %v each, the sides taking turns.\n\n", s.rounds, s.round)
	b.table.print(os.Stdout)
	return nil
}

func selected(rows, name string) bool {
	for row := range strings.SplitSeq(rows, ",") {
		if strings.HasPrefix(name, row) {
			return true
		}
	}
	return false
}
