package v1alpha1

import (
	"time"

	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// SetDefaults fills what is left out, so that nobody else needs to know what is
// meant then. It may be called again.
func (q *QueueJob) SetDefaults() {
	s := &q.Spec
	setDefault(&s.MaxActive, 10)
	setDefault(&s.Ack, AckOnCreate)
	setDefault(&s.DeletionPolicy, DeletionOrphan)
	setPointer(&s.SuccessfulJobsHistoryLimit, 100)
	setPointer(&s.FailedJobsHistoryLimit, 1000)
	setPointer(&s.DeduplicationWindow, duration(5*time.Minute))
	s.Message.Format = s.Message.Formats()
	s.Breaker.setDefaults()
	if p := s.Process; p != nil {
		setPointer(&p.TerminationGracePeriod, duration(30*time.Second))
		setPointer(&p.RetryBackoff, duration(10*time.Second))
		setPointer(&p.LogLimit, resource.MustParse("10Mi"))
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

func duration(d time.Duration) metav1.Duration { return metav1.Duration{Duration: d} }

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

func setPointer[T any](field **T, value T) {
	if *field == nil {
		*field = &value
	}
}
