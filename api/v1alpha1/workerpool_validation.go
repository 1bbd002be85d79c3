package v1alpha1

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/validation/field"
)

const (
	maxWorkers       = 10_000
	maxConcurrency   = 1000
	maxAnyBacklog    = 1_000_000
	maxCooldown      = 24 * time.Hour
	maxStepRows      = 100
	maxAdjustment    = 1_000_000
	leastInterval    = 10 * time.Millisecond
	mostInterval     = 10 * time.Minute
	leastVisibility  = 5 * time.Second
	mostVisibility   = 12 * time.Hour // SQS's own
	mostDrainTimeout = 12 * time.Hour
)

// Validate says all that is wrong, after SetDefaults.
func (p *WorkerPool) Validate() field.ErrorList {
	errs := validateObjectMeta(&p.ObjectMeta, KindWorkerPool)
	s, at := &p.Spec, field.NewPath("spec")
	errs = append(errs, validateQueue(&s.Queue, at.Child("queue"))...)
	errs = append(errs, validateRange(int64(s.MaxWorkers), 1, maxWorkers, at.Child("maxWorkers"))...)
	errs = append(errs, validateRange(int64(s.MinWorkers), 0, maxWorkers, at.Child("minWorkers"))...)
	if s.MinWorkers > s.MaxWorkers && s.MinWorkers <= maxWorkers {
		errs = append(errs, field.Invalid(at.Child("minWorkers"), s.MinWorkers, fmt.Sprintf("is over maxWorkers (%d)", s.MaxWorkers)))
	}
	errs = append(errs, s.validateScaling(at.Child("scaling"))...)
	errs = append(errs, s.Worker.validate(at.Child("worker"))...)
	errs = append(errs, s.validateMessage(at.Child("message"))...)
	return append(errs, s.validateWhere(at)...)
}

func (s *WorkerPoolSpec) validateScaling(at *field.Path) field.ErrorList {
	sc := &s.Scaling
	var errs field.ErrorList
	set := 0
	for _, is := range []bool{sc.BacklogPerWorker != 0, sc.Steps != nil, sc.TargetWait != nil} {
		if is {
			set++
		}
	}
	switch {
	case set == 0:
		errs = append(errs, field.Required(at, "say how many workers a backlog wants: exactly one of backlogPerWorker, steps and targetWait"))
	case set > 1:
		errs = append(errs, field.Forbidden(at, "exactly one of backlogPerWorker, steps and targetWait is wanted"))
	}
	if sc.BacklogPerWorker != 0 {
		errs = append(errs, validateRange(int64(sc.BacklogPerWorker), 1, maxAnyBacklog, at.Child("backlogPerWorker"))...)
	}
	errs = append(errs, validateDuration(sc.TargetWait, time.Second, 12*time.Hour, at.Child("targetWait"))...)
	errs = append(errs, validateDuration(sc.ScaleOutCooldown, 0, maxCooldown, at.Child("scaleOutCooldown"))...)
	errs = append(errs, validateDuration(sc.ScaleInCooldown, 0, maxCooldown, at.Child("scaleInCooldown"))...)
	errs = append(errs, validateDuration(sc.IdleAfter, 0, maxCooldown, at.Child("idleAfter"))...)
	errs = append(errs, validateDuration(sc.Interval, leastInterval, mostInterval, at.Child("interval"))...)
	errs = append(errs, validateRange(int64(sc.MaxScaleIn), 0, maxWorkers, at.Child("maxScaleIn"))...)
	if sc.IdleAfter != nil && s.MinWorkers > 0 {
		errs = append(errs, field.Forbidden(at.Child("idleAfter"), fmt.Sprintf("the pool never goes to zero while minWorkers is %d: make that 0, or take idleAfter away", s.MinWorkers)))
	}
	if sc.Steps != nil {
		errs = append(errs, sc.Steps.validate(at.Child("steps"))...)
	}
	return errs
}

// validate holds a table to what makes it one: rows in order, no gap, no
// overlap, and never fewer workers for more messages.
func (t *StepScaling) validate(at *field.Path) field.ErrorList {
	errs := validateOneOf(t.AdjustmentType, at.Child("adjustmentType"), ExactCapacity, ChangeInCapacity, PercentChangeInCapacity)
	errs = append(errs, validateRange(int64(t.MinAdjustment), 1, maxWorkers, at.Child("minAdjustment"))...)
	at = at.Child("steps")
	if n := len(t.Steps); n == 0 || n > maxStepRows {
		return append(errs, field.Invalid(at, n, fmt.Sprintf("a table has 1 to %d rows", maxStepRows)))
	}
	for i := range t.Steps {
		row, at := &t.Steps[i], at.Index(i)
		lower := int64(0)
		if row.LowerBound != nil {
			lower = *row.LowerBound
		}
		least := int64(-maxAdjustment)
		if t.AdjustmentType == ExactCapacity {
			least = 0
		}
		errs = append(errs, validateRange(int64(row.Adjustment), least, maxAdjustment, at.Child("adjustment"))...)
		if lower < 0 {
			errs = append(errs, field.Invalid(at.Child("lowerBound"), lower, "a backlog is never negative"))
		}
		if row.UpperBound != nil && *row.UpperBound <= lower {
			errs = append(errs, field.Invalid(at.Child("upperBound"), *row.UpperBound, fmt.Sprintf("must be over lowerBound (%d): the row is lowerBound <= backlog < upperBound", lower)))
		}
		if i == 0 {
			continue
		}
		before := &t.Steps[i-1]
		if before.UpperBound == nil {
			errs = append(errs, field.Required(at.Child("lowerBound"), "the row before has no upperBound: only the last may go without"))
		} else if lower != *before.UpperBound {
			errs = append(errs, field.Invalid(at.Child("lowerBound"), lower, fmt.Sprintf("the row before ends at %d: rows leave no gap and do not overlap", *before.UpperBound)))
		}
		if row.Adjustment < before.Adjustment {
			errs = append(errs, field.Invalid(at.Child("adjustment"), row.Adjustment, fmt.Sprintf("is under that of the row before (%d): a larger backlog never wants fewer workers", before.Adjustment)))
		}
	}
	return errs
}

func (w *WorkerSpec) validate(at *field.Path) field.ErrorList {
	errs := validateRange(int64(w.Concurrency), 1, maxConcurrency, at.Child("concurrency"))
	errs = append(errs, validateDuration(w.Timeout, time.Millisecond, MaxHeld, at.Child("timeout"))...)
	errs = append(errs, validateDuration(w.DrainTimeout, 0, mostDrainTimeout, at.Child("drainTimeout"))...)
	errs = append(errs, validateDuration(w.Visibility, leastVisibility, mostVisibility, at.Child("visibility"))...)
	if w.HTTP != nil {
		if u, err := url.Parse(w.HTTP.URL); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			errs = append(errs, field.Invalid(at.Child("http", "url"), w.HTTP.URL, "a server's URL looks like http://127.0.0.1:8080/work"))
		}
	}
	return append(errs, validateBreaker(w.Breaker, at.Child("breaker"))...)
}

func (s *WorkerPoolSpec) validateMessage(at *field.Path) field.ErrorList {
	m := &s.Message
	errs := validateMessage(m, at)
	if m.DeduplicationField != "" {
		errs = append(errs, field.Forbidden(at.Child("deduplicationField"), "a QueueJob's alone: a worker keeps no records to tell duplicates by"))
	}
	if m.Confidential {
		errs = append(errs, field.Forbidden(at.Child("confidential"), "a QueueJob's alone: a worker keeps no messages"))
	}
	return errs
}

// validateWhere looks at where the workers run.
func (s *WorkerPoolSpec) validateWhere(at *field.Path) field.ErrorList {
	var set []string
	for _, where := range []struct {
		name string
		is   bool
	}{{"process", s.Process != nil}, {"kubernetes", s.Kubernetes != nil}, {"scaleTargetRef", s.ScaleTargetRef != nil}} {
		if where.is {
			set = append(set, where.name)
		}
	}
	switch {
	case len(set) == 0:
		return field.ErrorList{field.Required(at, "say where the workers run: exactly one of process, kubernetes and scaleTargetRef is wanted")}
	case len(set) > 1:
		return field.ErrorList{field.Forbidden(at.Child(set[1]), set[0]+" is set already; exactly one of process, kubernetes and scaleTargetRef is wanted")}
	case s.Process != nil:
		return s.validateProcess(at.Child("process"))
	case s.Kubernetes != nil:
		return s.Kubernetes.validate(at.Child("kubernetes"))
	}
	return s.ScaleTargetRef.validate(at.Child("scaleTargetRef"))
}

func (s *WorkerPoolSpec) validateProcess(at *field.Path) field.ErrorList {
	p := s.Process
	if len(p.Command) == 0 && s.Worker.HTTP != nil && len(p.Args) == 0 {
		return nil // a server of somebody else
	}
	// A worker's process is a job's: the same rules, by the same words.
	job := &QueueJobSpec{Message: s.Message, Process: &ProcessTemplate{Command: p.Command, Args: p.Args, Env: p.Env, WorkingDir: p.WorkingDir}}
	job.Ack = AckOnCreate
	limit := minLogLimit
	job.Process.LogLimit = &limit
	return validateProcess(job, at)
}

// validate looks at what would break a promise of ours. The rest is for the API
// server to judge.
func (k *WorkerKubernetes) validate(at *field.Path) field.ErrorList {
	const what = "a PodTemplateSpec"
	t := at.Child("template")
	if len(k.Template.Raw) == 0 {
		return field.ErrorList{field.Required(t, "give "+what)}
	}
	var pod struct {
		Metadata objectMeta `json:"metadata"`
		Spec     struct {
			RestartPolicy string `json:"restartPolicy"`
			Containers    []struct {
				Name    string   `json:"name"`
				Command []string `json:"command"`
			} `json:"containers"`
		} `json:"spec"`
	}
	if err := json.Unmarshal(k.Template.Raw, &pod); err != nil {
		return field.ErrorList{field.Forbidden(t, "is not "+what+": "+err.Error())}
	}
	errs := pod.Metadata.validate(t.Child("metadata"), "a worker's name and namespace come from its pool")
	t = t.Child("spec")
	if p := pod.Spec.RestartPolicy; p != "" && p != "Always" {
		errs = append(errs, field.NotSupported(t.Child("restartPolicy"), p, []string{"Always"}))
	}
	t = t.Child("containers")
	if len(pod.Spec.Containers) == 0 {
		return append(errs, field.Required(t, "a worker needs a container"))
	}
	main := -1
	for i, c := range pod.Spec.Containers {
		if k.Container == "" && i == 0 || k.Container != "" && c.Name == k.Container {
			main = i
		}
	}
	switch {
	case main < 0:
		errs = append(errs, field.Invalid(at.Child("container"), k.Container, "no container of the template has this name"))
	case len(pod.Spec.Containers[main].Command) == 0:
		errs = append(errs, field.Required(t.Index(main).Child("command"), "the worker is put before it, and an image's own entry point can't be seen from here"))
	}
	return errs
}

func (r *ScaleTargetRef) validate(at *field.Path) field.ErrorList {
	errs := validateOneOf(r.APIVersion, at.Child("apiVersion"), "apps/v1")
	errs = append(errs, validateOneOf(r.Kind, at.Child("kind"), "Deployment")...)
	if strings.TrimSpace(r.Name) == "" {
		errs = append(errs, field.Required(at.Child("name"), "name the Deployment"))
	}
	return errs
}
