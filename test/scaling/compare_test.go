package scaling

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/queuemill/queuemill/internal/simulate"
	"github.com/queuemill/queuemill/internal/simulate/chart"
	"github.com/queuemill/queuemill/test/mill"
)

var (
	realTime = flag.Bool("real", false, "run all loads of all seeds in real time and print how far the simulator was off")
	beside   = flag.Int("beside", 3, "how many of them run side by side")
	reports  = flag.String("reports", "", "folder that the charts and the figures are written to")
	only     = flag.String("only", "", "of -real, only the trials whose name begins like this: burst, steady, alternating")
	seeds    = flag.Uint64("seeds", 5, "of -real, the first so many seeds")
)

func build(t *testing.T) string {
	t.Helper()
	binary, err := mill.Build(t.TempDir(), "./cmd/queuemill", false)
	if err != nil {
		t.Fatal(err)
	}
	return binary
}

// A burst that is small and short goes the same way through the simulator and
// through the real pool: as many workers, as many changes of their number.
func TestARealPoolDoesWhatWasSimulated(t *testing.T) {
	c := &trial{name: "burst", seed: 1, file: "pool-small.yaml", service: 2 * time.Second, startUp: 300 * time.Millisecond, load: simulate.Burst(20)}
	want := c.simulate(t)
	got := c.run(t, newLaptop(t, build(t), c))
	if got.Done != want.Done || got.MaxWorkers != want.MaxWorkers || got.ScaleOuts != want.ScaleOuts {
		t.Errorf("%d messages by at most %d workers in %d scale-outs; simulated %d by %d in %d",
			got.Done, got.MaxWorkers, got.ScaleOuts, want.Done, want.MaxWorkers, want.ScaleOuts)
	}
	if first := got.Changes[0]; first.To != want.Changes[0].To {
		t.Errorf("first to %d workers, simulated %d", first.To, want.Changes[0].To)
	}
}

// TestCompare is what `make compare` runs. It fails on a message that is lost, and
// not on a difference in time, which it reports.
func TestCompare(t *testing.T) {
	if !*realTime {
		return // TestARealPoolDoesWhatWasSimulated is its small sister
	}
	binary := build(t)
	predicted := predictions(t, "simulated.jsonl")
	all := trials(t)
	measured := make([]*simulate.Result, len(all))
	var running sync.WaitGroup
	room := make(chan struct{}, *beside)
	for i, c := range all {
		if !strings.HasPrefix(c.name, *only) || c.seed > *seeds {
			continue
		}
		running.Go(func() {
			room <- struct{}{}
			defer func() { <-room }()
			t.Run(c.String(), func(t *testing.T) {
				measured[i] = c.run(t, newLaptop(t, binary, c))
				t.Logf("%s", line(predicted[i], figuresOf(measured[i])))
			})
		})
	}
	running.Wait()
	report(t, "real.jsonl", all, predicted, measured)
}

func line(want, got figures) string {
	return fmt.Sprintf("p50 %.2f s (simulated %.2f), p95 %.2f s (%.2f), worker hours %.4f (%.4f), scale-outs %d (%d), -ins %d (%d)",
		got.Wait.P50, want.Wait.P50, got.Wait.P95, want.Wait.P95, got.WorkerHours, want.WorkerHours, got.ScaleOuts, want.ScaleOuts, got.ScaleIns, want.ScaleIns)
}

// report prints a table, the worst difference of each figure, and writes charts and
// a file of figures.
func report(t *testing.T, name string, all []*trial, predicted []figures, measured []*simulate.Result) {
	t.Helper()
	var table strings.Builder
	w := tabwriter.NewWriter(&table, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "LOAD\tSEED\tP50 SIMULATED\tREAL\tP95 SIMULATED\tREAL\tHOURS SIMULATED\tREAL\tWORST\tWITHIN")
	var lines strings.Builder
	worst, missed := 0.0, 0
	for i, c := range all {
		if measured[i] == nil {
			continue
		}
		a, b := predicted[i], figuresOf(measured[i])
		b.Load, b.Seed = c.name, c.seed
		interval := c.policy(t).Interval
		share, within := 0.0, true
		for _, pair := range [][3]float64{
			{a.Wait.P50, b.Wait.P50, interval.Seconds()},
			{a.Wait.P95, b.Wait.P95, interval.Seconds()},
			{a.WorkerHours, b.WorkerHours, interval.Hours()},
		} {
			s, ok := difference(pair[0], pair[1], pair[2])
			share, within = max(share, s), within && ok
		}
		worst = max(worst, share)
		if !within {
			missed++
		}
		fmt.Fprintf(w, "%s\t%d\t%.2f\t%.2f\t%.2f\t%.2f\t%.4f\t%.4f\t%.1f %%\t%v\n",
			c.name, c.seed, a.Wait.P50, b.Wait.P50, a.Wait.P95, b.Wait.P95, a.WorkerHours, b.WorkerHours, 100*share, within)
		text, err := json.Marshal(b)
		if err != nil {
			t.Fatal(err)
		}
		lines.Write(append(text, '\n'))
	}
	_ = w.Flush()
	t.Logf("\n%sthe worst difference is %.1f %%; %d are further apart than a tenth or one interval\n", table.String(), 100*worst, missed)
	if *reports == "" {
		return
	}
	if err := os.WriteFile(filepath.Join(*reports, name), []byte(lines.String()), 0o644); err != nil {
		t.Error(err)
	}
	for i, c := range all {
		if measured[i] == nil || c.seed != 1 {
			continue
		}
		draw(t, c, measured[i])
	}
}

func draw(t *testing.T, c *trial, measured *simulate.Result) {
	t.Helper()
	out, err := os.Create(filepath.Join(*reports, c.name+".svg"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	err = chart.SVG(out, c.String(), []chart.Series{{Name: "simulated", Result: c.simulate(t)}, {Name: "real", Result: measured}})
	if err != nil {
		t.Error(err)
	}
}
