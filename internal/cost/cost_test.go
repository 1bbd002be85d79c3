package cost

import (
	"math"
	"strings"
	"testing"
	"time"
)

func TestCostByHand(t *testing.T) {
	p, err := Default()
	if err != nil {
		t.Fatal(err)
	}
	size := Size{VCPU: 0.5, MemoryGiB: 1}
	use := Use{Workers: 90 * time.Hour, WorkersMinute: 100 * time.Hour, Span: 24 * time.Hour, Requests: 43_200}
	requests := 43_200 / 1e6 * 0.40
	for name, want := range map[string]float64{
		"fargate":      100*(0.5*0.04048+0.004445) + requests, // a minute at least for each worker
		"fargate-spot": 100*(0.5*0.012144+0.0013335) + requests,
		"ec2":          90*0.096/4 + requests, // four fit by their CPU
		"eks":          90*0.096/4 + 24*0.10 + requests,
	} {
		c, err := p.Find(name)
		if err != nil {
			t.Fatal(err)
		}
		if got := p.Of(c, size, use); math.Abs(got-want) > 1e-9 {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
	if _, err := p.Find("lambda"); err == nil || !strings.Contains(err.Error(), "fargate, fargate-spot, ec2, eks") {
		t.Errorf("error %v, want what there is", err)
	}
}

func TestMemoryDecidesWhereItIsScarcer(t *testing.T) {
	c := Capacity{PerHour: 1, VCPU: 2, MemoryGiB: 8}
	if got := c.WorkerHour(Size{VCPU: 0.5, MemoryGiB: 8}); got != 1 {
		t.Errorf("a worker that fills the machine's memory costs %v of it", got)
	}
}

func TestBadPrices(t *testing.T) {
	head := "date: today\ncurrency: USD\n"
	for name, c := range map[string]struct{ in, want string }{
		"a typo":            {head + "capacity: [{name: a, perCPUHour: 1}]", "unknown field"},
		"no date":           {"currency: USD\ncapacity: [{name: a, perVCPUHour: 1}]", "date and currency"},
		"nothing":           {head, "no capacity"},
		"two ways":          {head + "capacity: [{name: a, perVCPUHour: 1, perHour: 1}]", "set either"},
		"no way":            {head + "capacity: [{name: a}]", "set either"},
		"a formless thing":  {head + "capacity: [{name: a, perHour: 1}]", "needs the machine's"},
		"negative":          {head + "capacity: [{name: a, perVCPUHour: 1, perGiBHour: -1}]", "negative"},
		"negative requests": {head + "requestsPerMillion: -1\ncapacity: [{name: a, perVCPUHour: 1}]", "negative"},
		"nameless":          {head + "capacity: [{perVCPUHour: 1}]", "no name"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := Parse("prices.yaml", []byte(c.in)); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %q in it", err, c.want)
			}
		})
	}
}
