package v1alpha1

import "time"

// SetDefaults fills what is left out, so that nobody else needs to know what is
// meant then. It may be called again. A drainTimeout in Kubernetes stays out: it
// follows the pod's terminationGracePeriodSeconds.
func (p *WorkerPool) SetDefaults() {
	s := &p.Spec
	setDefault(&s.MaxWorkers, 10)
	sc := &s.Scaling
	setPointer(&sc.ScaleOutCooldown, duration(0))
	setPointer(&sc.ScaleInCooldown, duration(5*time.Minute))
	setPointer(&sc.Interval, duration(2*time.Second))
	if t := sc.Steps; t != nil {
		setDefault(&t.AdjustmentType, ExactCapacity)
		setDefault(&t.MinAdjustment, 1)
	}
	w := &s.Worker
	setDefault(&w.Concurrency, 1)
	setPointer(&w.Visibility, duration(time.Minute))
	if s.Process != nil {
		setPointer(&w.DrainTimeout, duration(30*time.Second))
	}
	w.Breaker.setDefaults()
	s.Message.Format = s.Message.Formats()
	if t := s.ScaleTargetRef; t != nil {
		setDefault(&t.APIVersion, "apps/v1")
		setDefault(&t.Kind, "Deployment")
	}
}

func (b *Breaker) setDefaults() {
	if b == nil {
		return
	}
	setDefault(&b.Failures, 20)
	setDefault(&b.Within, duration(5*time.Minute))
	setDefault(&b.Pause, duration(time.Minute))
}
