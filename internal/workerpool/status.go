package workerpool

import (
	"cmp"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/queuemill/queuemill/api/v1alpha1"
	"github.com/queuemill/queuemill/internal/scale"
)

// codeSuspended stands beside scale's own codes: nothing was decided.
const codeSuspended scale.Code = "suspended"

// Status is a Pool at one moment.
type Status struct {
	Desired   int
	Suspended bool
	Workers   v1alpha1.WorkerCounts
	Queue     *v1alpha1.QueueCounts     // nil: it did not tell yet
	Decision  *v1alpha1.ScalingDecision // the present one; nil: none yet
	Code      scale.Code                // of Decision
	State     scale.State               // what the next controller is given
	Source    error                     // why the queue does not tell its numbers; nil: it does
	Trouble   string                    // why workers don't start or can't work, in words
	Refused   *RefusedError             // why the target's number is left alone; nil: it is not
	Contested string                    // who else writes the target's number; empty: nobody
}

// Status tells how the pool does.
func (p *Pool) Status() Status {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.status
	s.Suspended, s.State = p.suspended, p.state
	s.Trouble = p.complaint
	for _, what := range []string{removing, lettingGo, setting, starting, looking} { // the last counts most
		s.Trouble = cmp.Or(p.troubles[what], s.Trouble)
	}
	if s.Decision != nil {
		s.Decision = s.Decision.DeepCopy()
	}
	return s
}

// decided notes a decision; its time is that of the first one of its kind. p.mu
// is held.
func (p *Pool) decided(at time.Time, d scale.Decision) {
	first := metav1.NewMicroTime(at)
	if last := p.status.Decision; last != nil && last.Desired == d.Desired && p.status.Code == d.Code {
		first = last.Time
	}
	p.status.Desired, p.status.Code = d.Desired, d.Code
	p.status.Decision = &v1alpha1.ScalingDecision{Desired: d.Desired, Reason: d.Reason, Time: first}
	if !d.NextChange.IsZero() {
		next := metav1.NewMicroTime(d.NextChange)
		p.status.Decision.NextChange = &next
	}
	p.o.Metrics.decided(p.pool, d.Code)
}
