package v1alpha1

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

const (
	// MaxWorkersLimit is the most that maxWorkers may be.
	MaxWorkersLimit = 10_000

	maxConcurrency = 1000
	maxPerWorker   = 1_000_000
	maxSteps       = 100
	maxCooldown    = 24 * time.Hour
	minInterval    = 10 * time.Millisecond
	maxInterval    = 10 * time.Minute
	minVisibility  = 5 * time.Second
	maxVisibility  = 12 * time.Hour // SQS's own
)

// SetDefaults fills what is left out, so that nobody else needs to know what is
// meant then. It may be called again.
func (p *WorkerPool) SetDefaults() {
	s := &p.Spec
	setDefault(&s.MaxWorkers, 10)
	setPointer(&s.Scaling.ScaleOutCooldown, duration(0))
	setPointer(&s.Scaling.ScaleInCooldown, duration(5*time.Minute))
	setPointer(&s.Scaling.Interval, duration(2*time.Second))
	if t := s.Scaling.Steps; t != nil {
		setDefault(&t.AdjustmentType, ExactCapacity)
		setDefault(&t.MinAdjustment, 1)
	}
	setDefault(&s.Worker.Concurrency, 1)
	setPointer(&s.Worker.Visibility, duration(time.Minute))
	if s.Process != nil {
		setPointer(&s.Worker.DrainTimeout, duration(30*time.Second))
	}
	s.Worker.Breaker.setDefaults()
	s.Message.Format = s.Message.Formats()
	if r := s.ScaleTargetRef; r != nil {
		setDefault(&r.APIVersion, "apps/v1")
		setDefault(&r.Kind, "Deployment")
	}
}

// Validate says all that is wrong, after SetDefaults. Whether message.schema is
// a JSON Schema is found by message.NewReader.
func (p *WorkerPool) Validate() field.ErrorList {
	errs := validateName(KindWorkerPool, p.Name, field.NewPath("metadata", "name"))
	if p.GenerateName != "" {
		errs = append(errs, field.Forbidden(field.NewPath("metadata", "generateName"), "a WorkerPool needs a name of its own"))
	}
	errs = append(errs, validateNamespace(p.Namespace)...)
	s, at := &p.Spec, field.NewPath("spec")
	errs = append(errs, validateQueue(&s.Queue, at.Child("queue"))...)
	errs = append(errs, validateRange(int64(s.MinWorkers), 0, MaxWorkersLimit, at.Child("minWorkers"))...)
	errs = append(errs, validateRange(int64(s.MaxWorkers), 1, MaxWorkersLimit, at.Child("maxWorkers"))...)
	if s.MinWorkers > s.MaxWorkers {
		errs = append(errs, field.Invalid(at.Child("minWorkers"), s.MinWorkers, fmt.Sprintf("is more than maxWorkers (%d)", s.MaxWorkers)))
	}
	errs = append(errs, s.Scaling.validate(s.MinWorkers, at.Child("scaling"))...)
	errs = append(errs, s.Worker.validate(at.Child("worker"))...)
	errs = append(errs, validateMessage(&s.Message, at.Child("message"))...)
	if s.Message.DeduplicationField != "" {
		errs = append(errs, field.Forbidden(at.Child("message", "deduplicationField"), "is a QueueJob's: a pool keeps no records by which a duplicate could be told"))
	}
	if s.Message.Confidential {
		errs = append(errs, field.Forbidden(at.Child("message", "confidential"), "is a QueueJob's: a pool writes no message down"))
	}
	return append(errs, s.validateWhere(at)...)
}

func (s *Scaling) validate(least int, at *field.Path) field.ErrorList {
	var set []string
	for name, is := range map[string]bool{"backlogPerWorker": s.BacklogPerWorker != 0, "steps": s.Steps != nil, "targetWait": s.TargetWait != nil} {
		if is {
			set = append(set, name)
		}
	}
	slices.Sort(set)
	var errs field.ErrorList
	switch {
	case len(set) == 0:
		errs = append(errs, field.Required(at, "say how many workers a backlog wants: exactly one of backlogPerWorker, steps and targetWait is wanted"))
	case len(set) > 1:
		errs = append(errs, field.Forbidden(at.Child(set[1]), set[0]+" is set already; exactly one of backlogPerWorker, steps and targetWait is wanted"))
	}
	if s.BacklogPerWorker != 0 {
		errs = append(errs, validateRange(int64(s.BacklogPerWorker), 1, maxPerWorker, at.Child("backlogPerWorker"))...)
	}
	if s.Steps != nil {
		errs = append(errs, s.Steps.validate(at.Child("steps"))...)
	}
	errs = append(errs, validateDuration(s.TargetWait, time.Second, maxVisibility, at.Child("targetWait"))...)
	errs = append(errs, validateDuration(s.ScaleOutCooldown, 0, maxCooldown, at.Child("scaleOutCooldown"))...)
	errs = append(errs, validateDuration(s.ScaleInCooldown, 0, maxCooldown, at.Child("scaleInCooldown"))...)
	errs = append(errs, validateDuration(s.IdleAfter, 0, maxCooldown, at.Child("idleAfter"))...)
	if s.IdleAfter != nil && least > 0 {
		errs = append(errs, field.Forbidden(at.Child("idleAfter"), fmt.Sprintf("says when the pool goes to zero, and minWorkers is %d: take one of them away", least)))
	}
	errs = append(errs, validateRange(int64(s.MaxScaleIn), 0, MaxWorkersLimit, at.Child("maxScaleIn"))...)
	return append(errs, validateDuration(s.Interval, minInterval, maxInterval, at.Child("interval"))...)
}

// validate holds a table to what lets a larger backlog never want fewer workers.
func (t *StepScaling) validate(at *field.Path) field.ErrorList {
	errs := validateOneOf(t.AdjustmentType, at.Child("adjustmentType"), ExactCapacity, ChangeInCapacity, PercentChangeInCapacity)
	errs = append(errs, validateRange(int64(t.MinAdjustment), 1, MaxWorkersLimit, at.Child("minAdjustment"))...)
	at = at.Child("steps")
	switch {
	case len(t.Steps) == 0:
		return append(errs, field.Required(at, "a table has rows, as in {lowerBound: 1, upperBound: 6, adjustment: 1}"))
	case len(t.Steps) > maxSteps:
		return append(errs, field.TooMany(at, len(t.Steps), maxSteps))
	}
	for i := range t.Steps {
		errs = append(errs, t.validateRow(i, at.Index(i))...)
	}
	return errs
}

func (t *StepScaling) validateRow(i int, at *field.Path) (errs field.ErrorList) {
	row := &t.Steps[i]
	lower := int64(0)
	if row.LowerBound != nil {
		lower = *row.LowerBound
	}
	switch {
	case lower < 0:
		errs = append(errs, field.Invalid(at.Child("lowerBound"), lower, "a backlog is 0 or more"))
	case row.UpperBound != nil && *row.UpperBound <= lower:
		errs = append(errs, field.Invalid(at.Child("upperBound"), *row.UpperBound, fmt.Sprintf("the row holds no backlog: it begins at %d", lower)))
	}
	if t.AdjustmentType == ExactCapacity && (row.Adjustment < 0 || row.Adjustment > MaxWorkersLimit) {
		errs = append(errs, field.Invalid(at.Child("adjustment"), row.Adjustment, fmt.Sprintf("is a number of workers, 0 to %d", MaxWorkersLimit)))
	}
	if i == 0 {
		return errs
	}
	switch before := &t.Steps[i-1]; {
	case before.UpperBound == nil:
		errs = append(errs, field.Invalid(at.Child("lowerBound"), lower, "the row before has no upperBound, so nothing comes behind it"))
	case row.LowerBound == nil:
		errs = append(errs, field.Required(at.Child("lowerBound"), fmt.Sprintf("only the first row may do without; it begins where the one before ends, at %d", *before.UpperBound)))
	case lower != *before.UpperBound:
		errs = append(errs, field.Invalid(at.Child("lowerBound"), lower, fmt.Sprintf("the row before ends at %d: rows leave no gap and do not overlap", *before.UpperBound)))
	case row.Adjustment < before.Adjustment:
		errs = append(errs, field.Invalid(at.Child("adjustment"), row.Adjustment, fmt.Sprintf("is less than the row before has (%d): a larger backlog never wants fewer workers", before.Adjustment)))
	}
	return errs
}

func (w *WorkerSpec) validate(at *field.Path) field.ErrorList {
	errs := validateRange(int64(w.Concurrency), 1, maxConcurrency, at.Child("concurrency"))
	errs = append(errs, validateDuration(w.Timeout, time.Millisecond, MaxHeld, at.Child("timeout"))...)
	errs = append(errs, validateDuration(w.DrainTimeout, 0, maxVisibility, at.Child("drainTimeout"))...)
	errs = append(errs, validateDuration(w.Visibility, minVisibility, maxVisibility, at.Child("visibility"))...)
	if w.HTTP != nil {
		at := at.Child("http", "url")
		u, err := url.Parse(w.HTTP.URL)
		switch {
		case w.HTTP.URL == "":
			errs = append(errs, field.Required(at, "say where messages are posted to, as in http://127.0.0.1:8000/"))
		case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
			errs = append(errs, field.Forbidden(at, "is no URL of a server, as in http://127.0.0.1:8000/"))
		case u.User != nil:
			errs = append(errs, field.Forbidden(at, "holds no credentials: everybody who sees the pool would see them"))
		}
	}
	return append(errs, validateBreaker(w.Breaker, at.Child("breaker"))...)
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
		return s.validateKubernetes(at.Child("kubernetes"))
	}
	return s.ScaleTargetRef.validate(at.Child("scaleTargetRef"))
}

func (s *WorkerPoolSpec) validateProcess(at *field.Path) field.ErrorList {
	p := s.Process
	if len(p.Command) == 0 && s.Worker.HTTP != nil { // the server is somebody else's
		if len(p.Args) > 0 {
			return field.ErrorList{field.Required(at.Child("command"), "args need a command")}
		}
		return nil
	}
	return s.Message.validateProgram(p.Command, p.Args, p.Env, p.WorkingDir, at)
}

// podTemplate is what is looked at in a PodTemplateSpec.
type podTemplate struct {
	Metadata objectMeta `json:"metadata"`
	Spec     struct {
		RestartPolicy                 string           `json:"restartPolicy"`
		TerminationGracePeriodSeconds *int64           `json:"terminationGracePeriodSeconds"`
		InitContainers                []namedContainer `json:"initContainers"`
		Containers                    []namedContainer `json:"containers"`
	} `json:"spec"`
}

type namedContainer struct {
	Name string `json:"name"`
	container
}

func (s *WorkerPoolSpec) validateKubernetes(at *field.Path) field.ErrorList {
	k := s.Kubernetes
	if len(k.Template.Raw) == 0 {
		return field.ErrorList{field.Required(at.Child("template"), "give a PodTemplateSpec")}
	}
	var t podTemplate
	err := json.Unmarshal(k.Template.Raw, &t)
	if wrong := (*json.UnmarshalTypeError)(nil); errors.As(err, &wrong) && wrong.Field != "" {
		return field.ErrorList{field.Forbidden(at.Child("template", wrong.Field), "a "+wrong.Value+" does not stand here in a PodTemplateSpec")}
	} else if err != nil {
		return field.ErrorList{field.Forbidden(at.Child("template"), "is not a PodTemplateSpec: "+err.Error())}
	}
	errs := t.Metadata.validate(at.Child("template", "metadata"), "the pods' names and namespace come from their WorkerPool")
	spec := at.Child("template", "spec")
	if p := t.Spec.RestartPolicy; p != "" && p != "Always" {
		errs = append(errs, field.NotSupported(spec.Child("restartPolicy"), p, []string{"Always"}))
	}
	if d, grace := s.Worker.DrainTimeout, t.Spec.TerminationGracePeriodSeconds; d != nil && grace != nil && d.Duration > time.Duration(*grace)*time.Second {
		errs = append(errs, field.Invalid(spec.Child("terminationGracePeriodSeconds"), *grace,
			fmt.Sprintf("is less than worker.drainTimeout (%s): the pod would be killed before", Human(d.Duration))))
	}
	i := 0
	if k.Container != "" {
		i = slices.IndexFunc(t.Spec.Containers, func(c namedContainer) bool { return c.Name == k.Container })
	}
	switch {
	case len(t.Spec.Containers) == 0:
		errs = append(errs, field.Required(spec.Child("containers"), "a pod needs a container"))
	case i < 0:
		errs = append(errs, field.Invalid(at.Child("container"), k.Container, "the template has no container of that name"))
	case len(t.Spec.Containers[i].Command) == 0:
		errs = append(errs, field.Required(spec.Child("containers").Index(i).Child("command"),
			"must be explicit: the worker is put before it, and what the image would run can't be seen from here"))
	}
	errs = append(errs, s.Message.validateContainers(bare(t.Spec.InitContainers), spec.Child("initContainers"))...)
	return append(errs, s.Message.validateContainers(bare(t.Spec.Containers), spec.Child("containers"))...)
}

func bare(named []namedContainer) []container {
	all := make([]container, len(named))
	for i := range named {
		all[i] = named[i].container
	}
	return all
}

func (r *ScaleTargetRef) validate(at *field.Path) (errs field.ErrorList) {
	errs = append(errs, validateOneOf(r.APIVersion, at.Child("apiVersion"), "apps/v1")...)
	errs = append(errs, validateOneOf(r.Kind, at.Child("kind"), "Deployment")...)
	if r.Name == "" {
		return append(errs, field.Required(at.Child("name"), "name the Deployment"))
	}
	if why := validation.IsDNS1123Subdomain(r.Name); len(why) > 0 {
		errs = append(errs, field.Invalid(at.Child("name"), r.Name, why[0]))
	}
	return errs
}

// Warnings says what is allowed and probably not meant, after Validate found
// nothing wrong.
func (p *WorkerPool) Warnings() []Warning {
	s, at := &p.Spec, field.NewPath("spec")
	w := &warner{message: &s.Message}
	w.interpreters(at.Child("message", "env"))
	if t := s.Process; t != nil && len(t.Command) > 0 {
		w.arguments(t.Command, t.Args, t.Env, at.Child("process"))
		if program := t.Command[0]; t.WorkingDir == "" && strings.Contains(program, "/") && !strings.HasPrefix(program, "/") {
			w.add(at.Child("process", "command").Index(0),
				"%s is looked for in a scratch directory of each run, which begins empty; set workingDir (. is the manifest's folder)", program)
		}
	}
	if s.Process != nil && len(s.Process.Command) > 0 && s.Worker.HTTP != nil && s.MaxWorkers > 1 {
		w.add(at.Child("maxWorkers"), "each worker starts the server of worker.http, and on one machine all of them want its port: make it 1 and raise worker.concurrency")
	}
	if k := s.Kubernetes; k != nil {
		var t podTemplate
		if json.Unmarshal(k.Template.Raw, &t) == nil {
			for i, c := range t.Spec.Containers {
				w.arguments(c.Command, c.Args, c.Env, at.Child("kubernetes", "template", "spec", "containers").Index(i))
			}
		}
	}
	if first := s.Scaling.Steps; first != nil && first.Steps[0].LowerBound != nil && *first.Steps[0].LowerBound > 0 && first.AdjustmentType == ExactCapacity && s.MinWorkers == 0 {
		w.add(at.Child("scaling", "steps", "steps").Index(0).Child("lowerBound"), "no row says what a backlog below %d wants: the number stays as it is then, and never goes to zero", *first.Steps[0].LowerBound)
	}
	if wait, every := s.Scaling.TargetWait, s.Scaling.Interval; wait != nil && every != nil && wait.Duration < 2*every.Duration {
		w.add(at.Child("scaling", "targetWait"), "is less than two looks at the queue (interval %s): nothing can react that soon", Human(every.Duration))
	}
	return w.found
}

func validateBreaker(b *Breaker, at *field.Path) field.ErrorList {
	if b == nil {
		return nil
	}
	errs := validateRange(int64(b.Failures), 1, maxHistory, at.Child("failures"))
	errs = append(errs, validateDuration(&b.Within, time.Second, maxBreakerTime, at.Child("within"))...)
	return append(errs, validateDuration(&b.Pause, time.Second, maxBreakerTime, at.Child("pause"))...)
}
