package cli

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/queuemill/queuemill/api/v1alpha1"
	"github.com/queuemill/queuemill/internal/cost"
	"github.com/queuemill/queuemill/internal/manifest"
	"github.com/queuemill/queuemill/internal/scale"
	"github.com/queuemill/queuemill/internal/simulate"
	"github.com/queuemill/queuemill/internal/simulate/chart"
)

// simulateFlags are the load and the world of a simulation.
type simulateFlags struct {
	files []string

	burst     int
	steady    string
	alternate string
	day       int
	arrivals  string
	span      time.Duration
	every     time.Duration
	even      bool

	service     string
	seed        uint64
	startUp     string
	sampleDelay time.Duration

	money costFlags
	chart string
}

func (p *program) simulateCommand() *cobra.Command {
	var f simulateFlags
	cmd := &cobra.Command{
		Use:   "simulate -f FILE… LOAD --service TIME",
		Short: "Show what a WorkerPool would do to a load, and what that costs",
		Long: `Show what a WorkerPool would do to a load, and what that costs: discrete events in
virtual time, decided by the very code that scales a pool. Nothing is started, and
no controller is needed. Several pools are compared on the same messages.

The load is one of --burst, --steady, --alternate, --day and --arrivals. Arrivals at
a rate are random (Poisson) and the same for the same --seed; with --even they are
evenly spaced. --arrivals reads a CSV with a time (seconds, 1m30s or an RFC 3339
date) and a number of messages in each row.

--service is how long a message takes: 2m, uniform:1m,3m, exp:2m (its mean),
lognormal:2m,10m (median and 95th percentile), or file:PATH with a measured
duration on each line.

--start-up is how long a worker takes from the decision until it receives:
  process  0.3 s   a process of this machine
  pod      5 s     a pod on a node with room (Kubernetes' own objective for 99 % of
                   pods, without pulling the image)
  fargate  60 s    53 to 62 s measured in April 2024 with an image of 413 MB
                   (elasticscale.com/blog/reduce-aws-fargate-pull-times-with-soci)
  node     90 s    a pod that needs a new node: 41 to 55 s until the node is ready
                   and 30 to 40 s for the image, measured in March 2026
                   (aws-samples/sample-multi-tenancy-openclaw-on-eks)
or a duration. Default: process for a pool with spec.process, else node.`,
		Example: `  queuemill simulate -f pool.yaml --burst 100 --service 2m
  queuemill simulate -f a.yaml -f b.yaml --alternate 2/m,20/m --every 30m --for 4h --service exp:2m
  queuemill simulate -f pool.yaml --day 1000000 --service 1s --start-up fargate -o json`,
		Args: argsNamed("", 0, 0),
		RunE: func(*cobra.Command, []string) error { return p.simulate(&f) },
	}
	fs := cmd.Flags()
	fs.StringArrayVarP(&f.files, "file", "f", nil, "`FILE` or folder of manifests with WorkerPools; may be repeated")
	fs.IntVar(&f.burst, "burst", 0, "load: `N` messages at once")
	fs.StringVar(&f.steady, "steady", "", "load: a `RATE` as 5/m, for --for")
	fs.StringVar(&f.alternate, "alternate", "", "load: `RATES` that take turns as 2/m,20/m, --every so long, for --for")
	fs.IntVar(&f.day, "day", 0, "load: `N` messages over a day with two peaks")
	fs.StringVar(&f.arrivals, "arrivals", "", "load: a `CSV` of arrivals")
	fs.DurationVar(&f.span, "for", time.Hour, "how long a rate goes on")
	fs.DurationVar(&f.every, "every", 10*time.Minute, "how long each of --alternate's rates holds")
	fs.BoolVar(&f.even, "even", false, "evenly spaced arrivals instead of random ones")
	fs.StringVar(&f.service, "service", "", "how long a message takes, a `TIME` or a distribution")
	fs.Uint64Var(&f.seed, "seed", 1, "`NUMBER` that all randomness comes from")
	fs.StringVar(&f.startUp, "start-up", "", "`TIME` a worker takes to start, or process, pod, fargate, node")
	fs.DurationVar(&f.sampleDelay, "sample-delay", 0, "how old the queue's counts are; 2m30s is about CloudWatch's")
	fs.StringVar(&f.chart, "chart", "", "write an HTML page, or a picture when its name ends in .svg, to this `FILE`: backlog, workers and waiting over time")
	f.money.register(cmd)
	p.addOutputFlags(cmd)
	return cmd
}

func (p *program) simulate(f *simulateFlags) error {
	pools, err := loadPools(f.files)
	if err != nil {
		return err
	}
	load, err := f.load()
	if err != nil {
		return err
	}
	service, err := f.serviceTime()
	if err != nil {
		return err
	}
	prices, capacity, size, err := f.money.read()
	if err != nil {
		return err
	}
	s := simulation{
		Load:   simulatedLoad{Name: load.Name, Messages: len(load.Arrivals), Seconds: load.Span.Seconds(), Service: f.service, Seed: f.seed, SampleDelaySeconds: f.sampleDelay.Seconds()},
		Prices: priceNote{Date: prices.Date, Region: prices.Region, Currency: prices.Currency, Capacity: capacity.Name, Size: size},
	}
	var runs []chart.Series
	for _, pool := range pools {
		startUp, err := f.startUpOf(pool.spec)
		if err != nil {
			return err
		}
		o := simulate.Options{Policy: pool.policy, Load: load, Service: service, Seed: f.seed, StartUp: startUp, SampleDelay: f.sampleDelay}
		r, err := simulate.Run(o)
		if err != nil {
			return err
		}
		runs = append(runs, chart.Series{Name: pool.name, Result: r})
		o.Fixed = max(r.MaxWorkers, 1)
		fixed, err := simulate.Run(o)
		if err != nil {
			return err
		}
		fixed.WorkerTime = r.Span * time.Duration(o.Fixed) // paid for as long as the pool is looked at
		fixed.Billed, fixed.Span = fixed.WorkerTime, r.Span
		price := func(r *simulate.Result, requests int64) float64 {
			return prices.Of(capacity, size, cost.Use{Workers: r.WorkerTime, WorkersMinute: r.Billed, Span: r.Span, Requests: requests})
		}
		s.Pools = append(s.Pools, simulatedPool{
			Name: pool.name, File: pool.file, StartUpSeconds: startUp.Seconds(),
			outcome:  newOutcome(r, price(r, int64(len(r.Points)))),
			AlwaysOn: newOutcome(fixed, price(fixed, 0)),
			Changes:  newChanges(r.Changes),
		})
	}
	if f.chart != "" {
		if err := writeChart(f.chart, load.Name+", "+f.service+" each", runs); err != nil {
			return err
		}
	}
	return p.printSimulation(&s)
}

func writeChart(path, title string, runs []chart.Series) error {
	var page bytes.Buffer
	draw := chart.HTML
	if strings.EqualFold(filepath.Ext(path), ".svg") {
		draw = chart.SVG
	}
	if err := draw(&page, title, runs); err != nil {
		return err
	}
	if err := os.WriteFile(path, page.Bytes(), 0o644); err != nil {
		return fmt.Errorf("write the chart: %w", err)
	}
	return nil
}

// poolPolicy is a pool that is to be simulated.
type poolPolicy struct {
	name, file string
	spec       *v1alpha1.WorkerPoolSpec
	policy     scale.Policy
}

// loadPools reads files one by one: two of them may have pools of the same name,
// which is what a comparison of two policies looks like.
func loadPools(files []string) ([]poolPolicy, error) {
	if len(files) == 0 {
		return nil, usagef("name a manifest with a WorkerPool: queuemill simulate -f pool.yaml", "there is no policy to simulate")
	}
	var pools []poolPolicy
	for _, file := range files {
		objects, _, err := manifest.Load(file)
		if err != nil {
			return nil, err
		}
		for _, o := range objects {
			if o.WorkerPool == nil {
				continue
			}
			policy, err := scale.FromSpec(&o.WorkerPool.Spec)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", o.File, err)
			}
			pools = append(pools, poolPolicy{name: o.WorkerPool.Name, file: o.File, spec: &o.WorkerPool.Spec, policy: policy})
		}
	}
	if len(pools) == 0 {
		return nil, usagef("a QueueJob has no number of workers to simulate", "no WorkerPool in %s", strings.Join(files, ", "))
	}
	tellApart(pools)
	return pools, nil
}

// tellApart calls pools of the same name by their files.
func tellApart(pools []poolPolicy) {
	times := map[string]int{}
	for _, pool := range pools {
		times[pool.name]++
	}
	for i, pool := range pools {
		if times[pool.name] > 1 {
			pools[i].name = strings.TrimSuffix(filepath.Base(pool.file), filepath.Ext(pool.file))
		}
	}
}

// load is the one that was asked for.
func (f *simulateFlags) load() (simulate.Load, error) {
	var r *rand.Rand
	if !f.even {
		r = rand.New(rand.NewPCG(f.seed, 1))
	}
	asked := 0
	for _, yes := range []bool{f.burst != 0, f.steady != "", f.alternate != "", f.day != 0, f.arrivals != ""} {
		if yes {
			asked++
		}
	}
	const hint = "choose one of --burst 100, --steady 5/m, --alternate 2/m,20/m, --day 1000000 and --arrivals load.csv"
	const most = 50_000_000
	switch {
	case asked != 1:
		return simulate.Load{}, usagef(hint, "a simulation needs exactly one load")
	case f.burst < 0 || f.burst > most || f.day < 0 || f.day > most:
		return simulate.Load{}, usagef(hint, "a load has 1 to %d messages", most)
	case f.span <= 0 || f.every <= 0:
		return simulate.Load{}, usagef(hint, "--for and --every are longer than nothing")
	case f.burst > 0:
		return simulate.Burst(f.burst), nil
	case f.day > 0:
		return simulate.Day(f.day, r), nil
	case f.arrivals != "":
		file, err := os.Open(f.arrivals)
		if err != nil {
			return simulate.Load{}, fmt.Errorf("read arrivals: %w", err)
		}
		defer func() { _ = file.Close() }()
		return simulate.ReadCSV(f.arrivals, file)
	}
	rates := strings.Split(f.steady+f.alternate, ",")
	if f.steady != "" {
		f.every = f.span
	}
	var phases []simulate.Phase
	for at := time.Duration(0); at < f.span; at += f.every {
		rate, err := simulate.ParseRate(rates[len(phases)%len(rates)])
		if err != nil {
			return simulate.Load{}, usagef(hint, "%v", err)
		}
		phases = append(phases, simulate.Phase{Rate: rate, For: min(f.every, f.span-at)})
	}
	name := "steady " + f.steady
	if f.alternate != "" {
		name = fmt.Sprintf("alternating %s every %v", f.alternate, f.every)
	}
	return simulate.Phases(name, phases, r)
}

func (f *simulateFlags) serviceTime() (simulate.Service, error) {
	const hint = "say how long a message takes: --service 2m, exp:2m, uniform:1m,3m, lognormal:2m,10m or file:durations.txt"
	if f.service == "" {
		return nil, usagef(hint, "a simulation needs a service time")
	}
	if path, ok := strings.CutPrefix(f.service, "file:"); ok {
		file, err := os.Open(path)
		if err != nil {
			return nil, fmt.Errorf("read durations: %w", err)
		}
		defer func() { _ = file.Close() }()
		return simulate.Recorded(path, file)
	}
	service, err := simulate.ParseService(f.service)
	if err != nil {
		return nil, usagef(hint, "%v", err)
	}
	return service, nil
}

// startUps are what a worker's start takes, each with its source in the help.
var startUps = map[string]time.Duration{
	"process": 300 * time.Millisecond,
	"pod":     5 * time.Second,
	"fargate": time.Minute,
	"node":    90 * time.Second,
}

func (f *simulateFlags) startUpOf(spec *v1alpha1.WorkerPoolSpec) (time.Duration, error) {
	if d, ok := startUps[f.startUp]; ok {
		return d, nil
	}
	switch d, err := time.ParseDuration(f.startUp); {
	case f.startUp == "" && spec.Process != nil:
		return startUps["process"], nil
	case f.startUp == "":
		return startUps["node"], nil
	case err != nil || d < 0:
		return 0, usagef("write --start-up 45s, or process, pod, fargate or node", "%q is no start-up time", f.startUp)
	default:
		return d, nil
	}
}
