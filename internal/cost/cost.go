package cost

import (
	_ "embed"
	"errors"
	"fmt"
	"strings"
	"time"

	"sigs.k8s.io/yaml"
)

//go:embed prices.yaml
var embedded []byte

// Prices are what capacity costs, at a date, in a region.
type Prices struct {
	Date               string     `json:"date"`
	Currency           string     `json:"currency"`
	Region             string     `json:"region"`
	Sources            []string   `json:"sources"`
	Capacity           []Capacity `json:"capacity"`
	RequestsPerMillion float64    `json:"requestsPerMillion"`
}

// Capacity is one way to run workers: priced by what a worker asks for, or as
// the share that takes of a machine.
type Capacity struct {
	Name           string  `json:"name"`
	Description    string  `json:"description"`
	PerVCPUHour    float64 `json:"perVCPUHour,omitempty"`
	PerGiBHour     float64 `json:"perGiBHour,omitempty"`
	PerHour        float64 `json:"perHour,omitempty"` // of a machine
	VCPU           float64 `json:"vcpu,omitempty"`    // it has
	MemoryGiB      float64 `json:"memoryGiB,omitempty"`
	MinimumSeconds float64 `json:"minimumSeconds,omitempty"` // charged for each start
	ClusterPerHour float64 `json:"clusterPerHour,omitempty"`
}

// Default are the prices that come with the program.
func Default() (*Prices, error) { return Parse("the prices that are built in", embedded) }

// Parse reads a price file. Unknown fields are errors: a typo would be a price of 0.
func Parse(name string, data []byte) (*Prices, error) {
	var p Prices
	if err := yaml.UnmarshalStrict(data, &p); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if p.Date == "" || p.Currency == "" {
		return nil, fmt.Errorf("%s: date and currency are missing: a price without them means little", name)
	}
	if len(p.Capacity) == 0 {
		return nil, fmt.Errorf("%s: no capacity in it", name)
	}
	if p.RequestsPerMillion < 0 {
		return nil, fmt.Errorf("%s: a negative price for requests", name)
	}
	for _, c := range p.Capacity {
		if err := c.check(); err != nil {
			return nil, fmt.Errorf("%s: capacity %q: %w", name, c.Name, err)
		}
	}
	return &p, nil
}

func (c Capacity) check() error {
	byUse, byMachine := c.PerVCPUHour > 0 || c.PerGiBHour > 0, c.PerHour > 0
	switch {
	case c.Name == "":
		return errors.New("it has no name")
	case byUse == byMachine:
		return errors.New("set either perVCPUHour and perGiBHour, or perHour with vcpu and memoryGiB")
	case byMachine && (c.VCPU <= 0 || c.MemoryGiB <= 0):
		return errors.New("perHour needs the machine's vcpu and memoryGiB")
	case min(c.PerVCPUHour, c.PerGiBHour, c.PerHour, c.VCPU, c.MemoryGiB, c.MinimumSeconds, c.ClusterPerHour) < 0:
		return errors.New("a negative number")
	}
	return nil
}

// Find is the capacity of a name; the error says which there are.
func (p *Prices) Find(name string) (Capacity, error) {
	names := make([]string, 0, len(p.Capacity))
	for _, c := range p.Capacity {
		if c.Name == name {
			return c, nil
		}
		names = append(names, c.Name)
	}
	return Capacity{}, fmt.Errorf("no price for %q: there are %s", name, strings.Join(names, ", "))
}

// Size is what one worker asks for.
type Size struct {
	VCPU      float64 `json:"vcpu"`
	MemoryGiB float64 `json:"memoryGiB"`
}

// Use is what was used, by simulation or count.
type Use struct {
	Workers       time.Duration // that all workers were there, together
	WorkersMinute time.Duration // the same, each worker a minute at least
	Span          time.Duration // that the pool was there
	Requests      int64         // to the queue
}

// WorkerHour is the price of one worker for an hour. A machine is shared by as
// many as fit, so that the scarcer of its two resources decides.
func (c Capacity) WorkerHour(s Size) float64 {
	if c.PerHour > 0 {
		return c.PerHour * max(s.VCPU/c.VCPU, s.MemoryGiB/c.MemoryGiB)
	}
	return c.PerVCPUHour*s.VCPU + c.PerGiBHour*s.MemoryGiB
}

// Of is the price of what was used.
func (p *Prices) Of(c Capacity, s Size, u Use) float64 {
	hours := u.Workers.Hours()
	if c.MinimumSeconds >= 60 {
		hours = max(hours, u.WorkersMinute.Hours())
	}
	return hours*c.WorkerHour(s) + u.Span.Hours()*c.ClusterPerHour + float64(u.Requests)/1e6*p.RequestsPerMillion
}
