package cli

import (
	"fmt"
	"math"
	"time"

	"github.com/queuemill/queuemill/internal/cost"
	"github.com/queuemill/queuemill/internal/simulate"
)

// simulation is what `simulate -o json` prints.
type simulation struct {
	Load   simulatedLoad   `json:"load"`
	Prices priceNote       `json:"prices"`
	Pools  []simulatedPool `json:"pools"`
}

type simulatedLoad struct {
	Name               string  `json:"name"`
	Messages           int     `json:"messages"`
	Seconds            float64 `json:"seconds"` // the load lasts
	Service            string  `json:"service"`
	Seed               uint64  `json:"seed"`
	SampleDelaySeconds float64 `json:"sampleDelaySeconds"`
}

type priceNote struct {
	Date     string    `json:"date"`
	Region   string    `json:"region,omitempty"`
	Currency string    `json:"currency"`
	Capacity string    `json:"capacity"`
	Size     cost.Size `json:"worker"`
}

type simulatedPool struct {
	Name           string  `json:"name"`
	File           string  `json:"file"`
	StartUpSeconds float64 `json:"startUpSeconds"`
	outcome
	AlwaysOn outcome       `json:"alwaysOn"` // as many as MaxWorkers, all the time
	Changes  []changeEntry `json:"changes"`
}

type outcome struct {
	Wait        waits   `json:"waitSeconds"`
	WorkerHours float64 `json:"workerHours"`
	Utilisation float64 `json:"utilisation"`
	MaxWorkers  int     `json:"maxWorkers"`
	Started     int     `json:"started"`
	ScaleOuts   int     `json:"scaleOuts"`
	ScaleIns    int     `json:"scaleIns"`
	Seconds     float64 `json:"seconds"` // from the first message until the pool is at rest
	Cost        float64 `json:"cost"`
}

type waits struct {
	P50 float64 `json:"p50"`
	P95 float64 `json:"p95"`
	P99 float64 `json:"p99"`
	Max float64 `json:"max"`
}

type changeEntry struct {
	AtSeconds float64 `json:"atSeconds"`
	From      int     `json:"from"`
	To        int     `json:"to"`
	Reason    string  `json:"reason"`
}

func newOutcome(r *simulate.Result, price float64) outcome {
	return outcome{
		Wait: waits{
			P50: r.Wait(0.5).Seconds(), P95: r.Wait(0.95).Seconds(),
			P99: r.Wait(0.99).Seconds(), Max: r.Wait(1).Seconds(),
		},
		WorkerHours: r.WorkerTime.Hours(), Utilisation: r.Utilisation(), MaxWorkers: r.MaxWorkers,
		Started: r.Started, ScaleOuts: r.ScaleOuts, ScaleIns: r.ScaleIns, Seconds: r.Span.Seconds(),
		Cost: math.Round(price*1e6) / 1e6,
	}
}

func newChanges(all []simulate.Change) []changeEntry {
	list := make([]changeEntry, 0, len(all))
	for _, c := range all {
		list = append(list, changeEntry{c.At.Seconds(), c.From, c.To, c.Reason})
	}
	return list
}

func (p *program) printSimulation(s *simulation) error {
	names := make([]string, 0, len(s.Pools))
	for _, pool := range s.Pools {
		names = append(names, pool.Name)
	}
	return p.print(result{document: s, items: anys(s.Pools), names: names, text: func() error { return p.describeSimulation(s) }})
}

func (p *program) describeSimulation(s *simulation) error {
	delay := ""
	if s.Load.SampleDelaySeconds > 0 {
		delay = fmt.Sprintf(", counts %s old", inSeconds(s.Load.SampleDelaySeconds))
	}
	if _, err := fmt.Fprintf(p.env.Stdout, "%s: %d messages of %s each, seed %d%s\n\n",
		sanitize(s.Load.Name, oneLine), s.Load.Messages, sanitize(s.Load.Service, oneLine), s.Load.Seed, delay); err != nil {
		return err
	}
	t := newTable("POOL", "POOL", "P50", "P95", "P99", "MAX", "WORKERS", "HOURS", "USED", "OUT/IN", "COST")
	for _, pool := range s.Pools {
		t.add(pool.row(pool.Name, s.Prices.Currency)...)
		t.add(pool.AlwaysOn.row(fmt.Sprintf("  always %d", pool.AlwaysOn.MaxWorkers), s.Prices.Currency)...)
	}
	if err := t.print(p.env.Stdout, p.tableStyle()); err != nil {
		return err
	}
	if p.format.format == "wide" {
		for _, pool := range s.Pools {
			if err := p.describeChanges(&pool); err != nil {
				return err
			}
		}
	}
	_, err := fmt.Fprintf(p.env.Stdout, `
P50 to MAX: how long messages waited. HOURS: that all workers were there, starting and
idle ones too, USED of it on messages. COST: %s of %g vCPU and %g GiB each, prices of
%s %s, and the requests that look at the queue; not those of the workers.
`, s.Prices.Capacity, s.Prices.Size.VCPU, s.Prices.Size.MemoryGiB, s.Prices.Region, s.Prices.Date)
	return err
}

func (p *program) describeChanges(pool *simulatedPool) error {
	if _, err := fmt.Fprintf(p.env.Stdout, "\n%s\n", sanitize(pool.Name, oneLine)); err != nil {
		return err
	}
	t := newTable("WHY", "AT", "FROM", "TO", "WHY")
	for _, c := range pool.Changes {
		t.add(inSeconds(c.AtSeconds), fmt.Sprint(c.From), fmt.Sprint(c.To), c.Reason)
	}
	return t.print(p.env.Stdout, p.tableStyle())
}

func (o *outcome) row(name, currency string) []string {
	return []string{
		name, inSeconds(o.Wait.P50), inSeconds(o.Wait.P95), inSeconds(o.Wait.P99), inSeconds(o.Wait.Max),
		fmt.Sprint(o.MaxWorkers), fmt.Sprintf("%.2f", o.WorkerHours), fmt.Sprintf("%.0f %%", 100*o.Utilisation),
		fmt.Sprintf("%d/%d", o.ScaleOuts, o.ScaleIns), fmt.Sprintf("%.3f %s", o.Cost, currency),
	}
}

// inSeconds is for reading: to the second from ten seconds on.
func inSeconds(f float64) string {
	d := time.Duration(f * float64(time.Second))
	if d >= 10*time.Second {
		return d.Round(time.Second).String()
	}
	return d.Round(10 * time.Millisecond).String()
}
