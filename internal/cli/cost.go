package cli

import (
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/queuemill/queuemill/internal/cost"
)

// costFlags say what a worker asks for and what that costs.
type costFlags struct {
	prices, capacity, cpu, memory string
}

func (f *costFlags) register(cmd *cobra.Command) {
	fs := cmd.Flags()
	fs.StringVar(&f.prices, "prices", "", "price `FILE`; without it those of us-east-1 that are built in")
	fs.StringVar(&f.capacity, "capacity", "fargate", "which `PRICE` of the file: fargate, fargate-spot, ec2, eks")
	fs.StringVar(&f.cpu, "cpu", "500m", "what one worker asks for, in `CPUs`")
	fs.StringVar(&f.memory, "memory", "1Gi", "what one worker asks for, in `BYTES`")
}

func (f *costFlags) read() (*cost.Prices, cost.Capacity, cost.Size, error) {
	none := func(err error) (*cost.Prices, cost.Capacity, cost.Size, error) {
		return nil, cost.Capacity{}, cost.Size{}, err
	}
	cpu, err := resource.ParseQuantity(f.cpu)
	if err != nil || cpu.Sign() <= 0 {
		return none(usagef("write --cpu 500m or --cpu 2", "%q is no number of CPUs", f.cpu))
	}
	memory, err := resource.ParseQuantity(f.memory)
	if err != nil || memory.Sign() <= 0 {
		return none(usagef("write --memory 512Mi or --memory 2Gi", "%q is no size of memory", f.memory))
	}
	size := cost.Size{VCPU: cpu.AsApproximateFloat64(), MemoryGiB: memory.AsApproximateFloat64() / (1 << 30)}
	prices, err := cost.Default()
	if f.prices != "" {
		data, readErr := os.ReadFile(f.prices)
		if readErr != nil {
			return none(fmt.Errorf("read prices: %w", readErr))
		}
		prices, err = cost.Parse(f.prices, data)
	}
	if err != nil {
		return none(err)
	}
	capacity, err := prices.Find(f.capacity)
	if err != nil {
		return none(usagef("--capacity names one of the price file", "%v", err))
	}
	return prices, capacity, size, nil
}

// costs is what `cost -o json` prints.
type costs struct {
	Prices   *cost.Prices `json:"prices"`
	Size     cost.Size    `json:"worker"`
	Hours    float64      `json:"workerHours"`
	Capacity []costEntry  `json:"capacity"`
}

type costEntry struct {
	Name       string  `json:"name"`
	What       string  `json:"description"`
	WorkerHour float64 `json:"workerHour"`
	Hours      float64 `json:"workerHours"` // the price of all of them
	AlwaysOn   float64 `json:"alwaysOnMonth"`
}

// hoursOfMonth is what AWS counts a month as.
const hoursOfMonth = 730

func (p *program) costCommand() *cobra.Command {
	var f costFlags
	var hours float64
	cmd := &cobra.Command{
		Use:   "cost",
		Short: "Show what a worker costs where, with the prices' date",
		Long: `Show what a worker of a size costs where it can run: an hour, the hours you name
(queuemill simulate counts them) and a month always on. The prices are a file:
print the built-in one with -o yaml, and hand your own to --prices.`,
		Example: "  queuemill cost --cpu 250m --memory 512Mi --hours 41.5",
		Args:    argsNamed("", 0, 0),
		RunE: func(*cobra.Command, []string) error {
			prices, _, size, err := f.read()
			if err != nil {
				return err
			}
			if !(hours >= 0) {
				return usagef("write --hours 41.5", "%v is no number of hours", hours)
			}
			c := costs{Prices: prices, Size: size, Hours: hours}
			for _, one := range prices.Capacity {
				used := cost.Use{Workers: time.Duration(hours * float64(time.Hour))}
				month := cost.Use{Workers: hoursOfMonth * time.Hour, Span: hoursOfMonth * time.Hour}
				c.Capacity = append(c.Capacity, costEntry{
					one.Name, one.Description, one.WorkerHour(size), prices.Of(one, size, used), prices.Of(one, size, month),
				})
			}
			return p.printCosts(&c)
		},
	}
	cmd.Flags().Float64Var(&hours, "hours", 1, "how many hours of a worker, `NUMBER`")
	f.register(cmd)
	_ = cmd.Flags().MarkHidden("capacity") // it shows all of them
	p.addOutputFlags(cmd)
	return cmd
}

func (p *program) printCosts(c *costs) error {
	var names []string
	for _, one := range c.Capacity {
		names = append(names, one.Name)
	}
	return p.print(result{document: c, items: anys(c.Capacity), names: names, table: func(bool) *table {
		header := []string{"NAME", "AN HOUR"}
		if c.Hours != 1 {
			header = append(header, fmt.Sprintf("%g HOURS", c.Hours))
		}
		t := newTable("WHAT", append(header, "A MONTH", "WHAT")...)
		for _, one := range c.Capacity {
			money := func(f float64) string { return fmt.Sprintf("%.4g %s", f, c.Prices.Currency) }
			row := []string{one.Name, money(one.WorkerHour)}
			if c.Hours != 1 {
				row = append(row, money(one.Hours))
			}
			t.add(append(row, money(one.AlwaysOn), one.What+", "+c.Prices.Region+" "+c.Prices.Date)...)
		}
		return t
	}})
}
