package simulate

import (
	"math"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/queuemill/queuemill/internal/scale"
)

func perWorker(n, least, most int) scale.Policy {
	return scale.Policy{
		Min: least, Max: most, BacklogPerWorker: n, Concurrency: 1,
		ScaleOutCooldown: time.Minute, ScaleInCooldown: 5 * time.Minute, Interval: 2 * time.Second,
	}
}

func run(t *testing.T, o Options) *Result {
	t.Helper()
	r, err := Run(o)
	if err != nil {
		t.Fatal(err)
	}
	if r.Done != len(o.Load.Arrivals) || len(r.Waits) != r.Done {
		t.Fatalf("%d arrived, %d began, %d finished", len(o.Load.Arrivals), len(r.Waits), r.Done)
	}
	return r
}

// A queue with one server, Poisson arrivals and exponential service is the one
// whose waiting time is known: its mean is load / (1 - load) service times.
func TestWaitsAsQueueingTheorySays(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	load, err := Phases("steady", []Phase{{Rate: 0.7, For: 400 * time.Hour}}, r)
	if err != nil {
		t.Fatal(err)
	}
	service, err := ParseService("exp:1s")
	if err != nil {
		t.Fatal(err)
	}
	got := run(t, Options{Policy: perWorker(1, 1, 1), Load: load, Service: service, Seed: 3, Fixed: 1})
	var sum time.Duration
	for _, w := range got.Waits {
		sum += w
	}
	mean := sum.Seconds() / float64(got.Done)
	if want := 0.7 / 0.3; math.Abs(mean-want) > 0.05*want {
		t.Errorf("mean wait %.3f service times, want %.3f", mean, want)
	}
	if u := got.Utilisation(); math.Abs(u-0.7) > 0.01 {
		t.Errorf("utilisation %.3f, want 0.7", u)
	}
}

// Four messages of a minute on two workers, by hand.
func TestABurstByHand(t *testing.T) {
	p := perWorker(2, 0, 10)
	p.ScaleInCooldown = 0
	got := run(t, Options{Policy: p, Load: Burst(4), Service: Constant(time.Minute), StartUp: 30 * time.Second})
	want := []time.Duration{30 * time.Second, 30 * time.Second, 90 * time.Second, 90 * time.Second}
	if !reflect.DeepEqual(got.Waits, want) {
		t.Errorf("waits %v, want %v", got.Waits, want)
	}
	if got.MaxWorkers != 2 || got.Started != 2 || got.ScaleOuts != 1 {
		t.Errorf("%d at most, %d started in %d scale-outs", got.MaxWorkers, got.Started, got.ScaleOuts)
	}
	// Asked for at 0, idle from 2m30s on, seen at the next sample.
	if d := got.WorkerTime; d < 5*time.Minute || d > 5*time.Minute+4*time.Second {
		t.Errorf("workers were there for %v together", d)
	}
	if got.Worked != 4*time.Minute {
		t.Errorf("%v of work", got.Worked)
	}
}

// The counts that CloudWatch has are minutes old; the same policy reacts so much
// later.
func TestOldCountsReactLate(t *testing.T) {
	o := Options{Policy: perWorker(5, 0, 10), Load: Burst(50), Service: Constant(time.Second)}
	soon := run(t, o)
	o.SampleDelay = 3 * time.Minute
	late := run(t, o)
	if soon.Wait(0) != 0 || late.Wait(0) != 3*time.Minute {
		t.Errorf("the first begins after %v and, with counts three minutes old, %v", soon.Wait(0), late.Wait(0))
	}
}

func TestTheSameSeedTheSameResult(t *testing.T) {
	service, err := ParseService("lognormal:2s,10s")
	if err != nil {
		t.Fatal(err)
	}
	one := func(seed uint64) *Result {
		load := Day(5000, rand.New(rand.NewPCG(seed, 0)))
		return run(t, Options{Policy: perWorker(5, 0, 20), Load: load, Service: service, Seed: seed, StartUp: time.Minute})
	}
	a, b, c := one(1), one(1), one(2)
	if !reflect.DeepEqual(a, b) {
		t.Error("the same seed gives another result")
	}
	if reflect.DeepEqual(a.Waits, c.Waits) {
		t.Error("another seed gives the same waits")
	}
}

// Never is a busy worker taken away, and in the end the pool is at its least.
func TestTheEndIsCounted(t *testing.T) {
	got := run(t, Options{Policy: perWorker(5, 1, 10), Load: Burst(100), Service: Constant(2 * time.Minute), StartUp: 10 * time.Second})
	last := got.Points[len(got.Points)-1]
	if last.Workers != 1 || last.Desired != 1 || last.Waiting+last.Running > 0 {
		t.Errorf("the run ends with %+v", last)
	}
	if got.MaxWorkers != 10 {
		t.Errorf("%d workers at most", got.MaxWorkers)
	}
}

func TestAMillionMessagesADay(t *testing.T) {
	load := Day(1_000_000, rand.New(rand.NewPCG(1, 1)))
	service, err := ParseService("exp:1s")
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	got := run(t, Options{Policy: perWorker(5, 0, 100), Load: load, Service: service, Seed: 1, StartUp: 45 * time.Second})
	t.Logf("%v for %d messages on up to %d workers; p95 %v", time.Since(began), got.Done, got.MaxWorkers, got.Wait(0.95))
}

func TestReadCSV(t *testing.T) {
	for name, c := range map[string]struct {
		in   string
		want []time.Duration
		err  string
	}{
		"seconds":            {"0\n1.5,2\n", []time.Duration{0, 1500 * time.Millisecond, 1500 * time.Millisecond}, ""},
		"a header":           {"time,count\n1m,1\n30s,1\n", []time.Duration{30 * time.Second, time.Minute}, ""},
		"dates":              {"# exported\n2026-03-04T12:00:00Z\n2026-03-04T12:00:05Z,1\n", []time.Duration{0, 5 * time.Second}, ""},
		"nothing":            {"time,count\n", nil, "no arrivals"},
		"no time":            {"0\nsoon\n", nil, `load:2: "soon" is no time`},
		"no count":           {"0,some\n", nil, `load:1: "some" is no number`},
		"before the first":   {"2026-03-04T12:00:05Z\n2026-03-04T12:00:00Z\n", nil, "load:2: "},
		"more than there is": {"0,2000000000\n", nil, "load:1: more than"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := ReadCSV("load", strings.NewReader(c.in))
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Errorf("error %v, want %q in it", err, c.err)
				}
				return
			}
			if err != nil || !reflect.DeepEqual(got.Arrivals, c.want) {
				t.Errorf("%v, %v; want %v", got.Arrivals, err, c.want)
			}
		})
	}
}

func TestServiceTimes(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 5))
	for in, want := range map[string]time.Duration{ // means
		"2m": 2 * time.Minute, "exp:10s": 10 * time.Second, "uniform:1s,3s": 2 * time.Second, "lognormal:1s,1s": time.Second,
	} {
		service, err := ParseService(in)
		if err != nil {
			t.Fatal(err)
		}
		var sum time.Duration
		for range 20_000 {
			sum += service(r)
		}
		if mean := sum / 20_000; math.Abs(float64(mean-want)) > 0.03*float64(want) {
			t.Errorf("%s: mean %v, want %v", in, mean, want)
		}
	}
	for _, in := range []string{"", "soon", "exp:1s,2s", "uniform:3s,1s", "lognormal:0s,1s", "-1s", "gauss:1s"} {
		if _, err := ParseService(in); err == nil {
			t.Errorf("%q is taken for a service time", in)
		}
	}
	recorded, err := Recorded("jobs.txt", strings.NewReader("# measured\n2\n2s\n"))
	if err != nil || recorded(r) != 2*time.Second {
		t.Errorf("recorded: %v", err)
	}
}

func TestADayHasTwoPeaks(t *testing.T) {
	for name, r := range map[string]*rand.Rand{"even": nil, "random": rand.New(rand.NewPCG(1, 1))} {
		t.Run(name, func(t *testing.T) {
			var hour [24]int
			for _, at := range Day(100_000, r).Arrivals {
				hour[int(at.Hours())]++
			}
			if !(hour[10] > 2*hour[3] && hour[10] > hour[14] && hour[19] > hour[10] && hour[19] > hour[23]) {
				t.Errorf("messages an hour: %v", hour)
			}
		})
	}
}
