package flags

import (
	"slices"

	"github.com/queuemill/queuemill/api/v1alpha1"
)

// FromPool are the flags of a worker of p, which has its defaults (SetDefaults)
// and is valid. A fleet adds what is its own: Control, ExitWhenAlone, TempDir,
// and in Kubernetes the Command, which stands in the pod's template.
func FromPool(p *v1alpha1.WorkerPool, queueURL string) Flags {
	w := &p.Spec.Worker
	f := Defaults()
	f.Pool, f.QueueURL, f.Message, f.Breaker = p.Name, queueURL, p.Spec.Message, w.Breaker
	if sqs := p.Spec.Queue.SQS; sqs != nil {
		f.Region, f.RoleARN = sqs.Region, sqs.RoleARN
		if f.QueueURL == "" {
			f.QueueURL = sqs.URL
		}
		if f.QueueURL == "" {
			f.QueueURL = sqs.Name
		}
	}
	if w.Concurrency > 0 {
		f.Concurrency = w.Concurrency
	}
	if w.Timeout != nil {
		f.Timeout = w.Timeout.Duration
	}
	if w.DrainTimeout != nil {
		f.DrainTimeout = w.DrainTimeout.Duration
	}
	if w.Visibility != nil {
		f.Visibility = w.Visibility.Duration
	}
	if w.HTTP != nil {
		f.HTTP = w.HTTP.URL
	}
	if t := p.Spec.Process; t != nil {
		f.Command = slices.Concat(t.Command, t.Args)
		f.Env = t.Env
		f.CleanEnv = true
		f.WorkingDir, f.OwnDir = t.WorkingDir, t.WorkingDir == ""
	}
	return f
}
