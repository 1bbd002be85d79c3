package scale

import (
	"errors"
	"fmt"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/queuemill/queuemill/api/v1alpha1"
)

// What is left out of a spec means this, as the API documents it.
const (
	defaultMax             = 10
	defaultScaleInCooldown = 5 * time.Minute
	defaultInterval        = 2 * time.Second
)

// Policy is a spec's scaling with everything said; FromSpec makes one. Exactly one
// of BacklogPerWorker, Steps and TargetWait is set.
type Policy struct {
	Min, Max int // workers

	BacklogPerWorker int // messages, visible and in flight, that one worker is for

	Steps         []Step // in order, without a gap
	Adjustment    v1alpha1.AdjustmentType
	MinAdjustment int // workers, of a PercentChangeInCapacity

	TargetWait  time.Duration // a message shall wait at most
	Concurrency int           // messages one worker has in hand at once

	ScaleOutCooldown time.Duration
	ScaleInCooldown  time.Duration
	IdleAfter        *time.Duration // nil: the cooldown alone decides about zero
	MaxScaleIn       int            // workers that leave in one decision; 0: no limit

	Interval time.Duration // between two samples, as it is meant to be
}

// Step is one row of a table: Lower <= backlog < Upper.
type Step struct {
	Lower, Upper int64 // messages
	Adjustment   int   // workers, a change of workers, or a change in per cent
}

// FromSpec reads the policy of a pool's spec, which SetDefaults and Validate have
// seen. What Decide relies on is looked at once more; a nil duration means the
// API's default.
func FromSpec(spec *v1alpha1.WorkerPoolSpec) (Policy, error) {
	sc := &spec.Scaling
	p := Policy{
		Min:              spec.MinWorkers,
		Max:              spec.MaxWorkers,
		BacklogPerWorker: sc.BacklogPerWorker,
		TargetWait:       orElse(sc.TargetWait, 0),
		Concurrency:      max(spec.Worker.Concurrency, 1),
		ScaleOutCooldown: orElse(sc.ScaleOutCooldown, 0),
		ScaleInCooldown:  orElse(sc.ScaleInCooldown, defaultScaleInCooldown),
		MaxScaleIn:       sc.MaxScaleIn,
		Interval:         orElse(sc.Interval, defaultInterval),
	}
	if p.Max == 0 {
		p.Max = defaultMax
	}
	if p.Min < 0 || p.Max < 1 || p.Min > p.Max {
		return Policy{}, fmt.Errorf("spec: minWorkers %d and maxWorkers %d leave no number between them", p.Min, p.Max)
	}
	if sc.IdleAfter != nil {
		p.IdleAfter = &sc.IdleAfter.Duration
	}
	if one := countTrue(sc.BacklogPerWorker > 0, sc.Steps != nil, p.TargetWait > 0); one != 1 {
		return Policy{}, errors.New("spec.scaling: set exactly one of backlogPerWorker, steps and targetWait")
	}
	if sc.Steps != nil {
		if err := p.readSteps(sc.Steps); err != nil {
			return Policy{}, fmt.Errorf("spec.scaling.steps: %w", err)
		}
	}
	return p, nil
}

func (p *Policy) readSteps(t *v1alpha1.StepScaling) error {
	p.Adjustment = t.AdjustmentType
	if p.Adjustment == "" {
		p.Adjustment = v1alpha1.ExactCapacity
	}
	known := []v1alpha1.AdjustmentType{v1alpha1.ExactCapacity, v1alpha1.ChangeInCapacity, v1alpha1.PercentChangeInCapacity}
	if !slices.Contains(known, p.Adjustment) {
		return fmt.Errorf("adjustmentType %q is none of %q", p.Adjustment, known)
	}
	p.MinAdjustment = max(t.MinAdjustment, 1)
	if len(t.Steps) == 0 {
		return errors.New("a table needs at least one row")
	}
	for i, row := range t.Steps {
		step := Step{Upper: mostMessages + 1, Adjustment: row.Adjustment}
		if row.LowerBound != nil {
			step.Lower = *row.LowerBound
		}
		if row.UpperBound != nil {
			step.Upper = *row.UpperBound
		}
		if step.Upper <= step.Lower {
			return fmt.Errorf("row %d holds no number: lowerBound %d, upperBound %d", i+1, step.Lower, step.Upper)
		}
		if i > 0 {
			before := p.Steps[i-1]
			if step.Lower != before.Upper {
				return fmt.Errorf("row %d begins at %d and the one before ends at %d: rows leave no gap and do not overlap", i+1, step.Lower, before.Upper)
			}
			if step.Adjustment < before.Adjustment {
				return fmt.Errorf("row %d wants fewer workers (%d) than the one before (%d) for a larger backlog", i+1, step.Adjustment, before.Adjustment)
			}
		}
		p.Steps = append(p.Steps, step)
	}
	return nil
}

func orElse(d *metav1.Duration, otherwise time.Duration) time.Duration {
	if d == nil {
		return otherwise
	}
	return d.Duration
}

func countTrue(bs ...bool) int {
	n := 0
	for _, b := range bs {
		if b {
			n++
		}
	}
	return n
}
