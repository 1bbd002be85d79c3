package process

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"path/filepath"
	"time"

	"github.com/queuemill/queuemill/api/v1alpha1"
)

// Defaults of a template's fields.
const (
	defaultGrace    = 30 * time.Second
	defaultBackoff  = 10 * time.Second
	maxBackoff      = 10 * time.Minute
	defaultLogLimit = 10 << 20 // bytes
)

// template is a ProcessTemplate with its defaults filled in.
type template struct {
	key     string // hash of the template
	encoded []byte // as JSON
	saved   bool   // it is in the store; guarded by Executor.mu

	spec     *v1alpha1.ProcessTemplate
	dir      string // empty: the scratch directory
	timeout  time.Duration
	grace    time.Duration
	backoff  time.Duration
	logLimit int64
}

func newTemplate(spec *v1alpha1.ProcessTemplate) (*template, error) {
	if len(spec.Command) == 0 {
		return nil, fmt.Errorf("the template has no command")
	}
	encoded, err := json.Marshal(spec)
	if err != nil {
		return nil, fmt.Errorf("encode the template: %w", err)
	}
	sum := sha256.Sum256(encoded)
	t := &template{
		key: hex.EncodeToString(sum[:8]), encoded: encoded, spec: spec,
		grace: defaultGrace, backoff: defaultBackoff, logLimit: defaultLogLimit,
	}
	if spec.WorkingDir != "" {
		if t.dir, err = filepath.Abs(spec.WorkingDir); err != nil {
			return nil, fmt.Errorf("working directory %s: %w", spec.WorkingDir, err)
		}
	}
	if spec.Timeout != nil {
		t.timeout = spec.Timeout.Duration
	}
	if spec.TerminationGracePeriod != nil {
		t.grace = spec.TerminationGracePeriod.Duration
	}
	if spec.RetryBackoff != nil {
		t.backoff = spec.RetryBackoff.Duration
	}
	if spec.LogLimit != nil {
		t.logLimit = spec.LogLimit.Value()
	}
	return t, nil
}

// wait is the time before the retry that follows the failures-th failure.
func (t *template) wait(failures int) time.Duration {
	wait := t.backoff
	for ; failures > 1 && wait < maxBackoff; failures-- {
		wait *= 2
	}
	return min(wait, maxBackoff)
}

// template is the compiled form of a spec's section. Templates are few and
// jobs many: it is kept by the spec's pointer.
func (e *Executor) template(spec *v1alpha1.QueueJobSpec) (*template, error) {
	if spec == nil || spec.Process == nil {
		return nil, fmt.Errorf("the QueueJob has no process template")
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if t := e.bySpec[spec]; t != nil {
		return t, nil
	}
	t, err := newTemplate(spec.Process)
	if err != nil {
		return nil, err
	}
	if same := e.templates[t.key]; same != nil {
		t = same
	}
	if len(e.bySpec) >= maxSpecs {
		clear(e.bySpec)
	}
	e.templates[t.key], e.bySpec[spec] = t, t
	return t, nil
}

// maxSpecs bounds what template keeps.
const maxSpecs = 256
