package scaling

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/queuemill/queuemill/internal/manifest"
	"github.com/queuemill/queuemill/internal/scale"
	"github.com/queuemill/queuemill/internal/simulate"
)

// trial is one load of one seed on the pool of a manifest.
type trial struct {
	name    string // of the load
	seed    uint64
	file    string // of the pool
	service time.Duration
	startUp time.Duration
	load    simulate.Load
}

func (c *trial) String() string { return fmt.Sprintf("%s, seed %d", c.name, c.seed) }

// phases draws arrivals as `queuemill simulate` does.
func phases(t *testing.T, seed uint64, phases ...simulate.Phase) simulate.Load {
	t.Helper()
	load, err := simulate.Phases("", phases, rand.New(rand.NewPCG(seed, 1)))
	if err != nil {
		t.Fatal(err)
	}
	return load
}

// trials are the lines of simulate.sh, in its order.
func trials(t *testing.T) []*trial {
	t.Helper()
	const slow, steady, fast = simulate.Rate(1), simulate.Rate(2.5), simulate.Rate(10) // a second
	const turn = 20 * time.Second
	var all []*trial
	for seed := uint64(1); seed <= 5; seed++ {
		for _, c := range []trial{
			{name: "burst", load: simulate.Burst(100)},
			{name: "steady", load: phases(t, seed, simulate.Phase{Rate: steady, For: 4 * time.Minute})},
			{name: "alternating", load: phases(t, seed, simulate.Phase{Rate: slow, For: turn}, simulate.Phase{Rate: fast, For: turn},
				simulate.Phase{Rate: slow, For: turn}, simulate.Phase{Rate: fast, For: turn})},
		} {
			c.seed, c.file, c.service, c.startUp = seed, "pool-30th.yaml", 4*time.Second, 300*time.Millisecond
			all = append(all, &c)
		}
	}
	return all
}

func (c *trial) policy(t *testing.T) scale.Policy {
	t.Helper()
	objects, _, err := manifest.Load(c.file)
	if err != nil {
		t.Fatal(err)
	}
	policy, err := scale.FromSpec(&objects[0].WorkerPool.Spec)
	if err != nil {
		t.Fatal(err)
	}
	return policy
}

func (c *trial) simulate(t *testing.T) *simulate.Result {
	t.Helper()
	r, err := simulate.Run(simulate.Options{
		Policy: c.policy(t), Load: c.load, Service: simulate.Constant(c.service), Seed: c.seed, StartUp: c.startUp,
	})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// figures are what is compared, as `queuemill simulate -o jsonl` prints them.
type figures struct {
	Load string `json:"load,omitempty"`
	Seed uint64 `json:"seed,omitempty"`

	StartUpSeconds float64 `json:"startUpSeconds,omitempty"`
	Wait           struct {
		P50 float64 `json:"p50"`
		P95 float64 `json:"p95"`
		P99 float64 `json:"p99"`
		Max float64 `json:"max"`
	} `json:"waitSeconds"`
	WorkerHours float64 `json:"workerHours"`
	MaxWorkers  int     `json:"maxWorkers"`
	Started     int     `json:"started,omitempty"`
	ScaleOuts   int     `json:"scaleOuts"`
	ScaleIns    int     `json:"scaleIns"`
	Seconds     float64 `json:"seconds"`
}

func figuresOf(r *simulate.Result) (f figures) {
	f.Wait.P50, f.Wait.P95, f.Wait.P99, f.Wait.Max = r.Wait(0.5).Seconds(), r.Wait(0.95).Seconds(), r.Wait(0.99).Seconds(), r.Wait(1).Seconds()
	f.WorkerHours = r.WorkerTime.Hours()
	f.MaxWorkers, f.Started, f.ScaleOuts, f.ScaleIns = r.MaxWorkers, r.Started, r.ScaleOuts, r.ScaleIns
	f.Seconds = r.Span.Seconds()
	return f
}

// predictions are what was written down before, one for each trial.
func predictions(t *testing.T, name string) []figures {
	t.Helper()
	file, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var all []figures
	for in := json.NewDecoder(bufio.NewReader(file)); ; {
		var f figures
		switch err := in.Decode(&f); {
		case errors.Is(err, io.EOF):
			return all
		case err != nil:
			t.Fatalf("%s: %v", name, err)
		}
		all = append(all, f)
	}
}

// The simulator says today what it said before the real runs.
func TestPredictionsStand(t *testing.T) {
	stands(t, "simulated.jsonl", trials(t))
	stands(t, "simulated-pods.jsonl", podTrials(t))
}

func stands(t *testing.T, name string, loads []*trial) {
	t.Helper()
	all := predictions(t, name)
	if len(all) != len(loads) {
		t.Fatalf("%d predictions for %d trials", len(all), len(loads))
	}
	for i, c := range loads {
		got := figuresOf(c.simulate(t))
		got.StartUpSeconds = c.startUp.Seconds()
		if got != all[i] {
			t.Errorf("%s: simulated %+v, was %+v", c, got, all[i])
		}
	}
}

// difference is how far b is from a: as a share of a, and whether that is within
// a tenth or one interval, whichever is larger.
func difference(a, b, interval float64) (share float64, within bool) {
	d := max(a-b, b-a)
	switch {
	case d == 0:
		return 0, true
	case a == 0:
		return 1, d <= interval
	}
	return d / a, d <= max(a/10, interval)
}

func sorted(waits map[string]time.Duration) []time.Duration {
	all := make([]time.Duration, 0, len(waits))
	for _, w := range waits {
		all = append(all, w)
	}
	slices.Sort(all)
	return all
}
