package v1alpha1

import (
	"fmt"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

const (
	maxRetries      = 1000
	maxRetryBackoff = 10 * time.Minute // what doubling stops at
	maxGracePeriod  = time.Hour
	maxTimeout      = 365 * 24 * time.Hour
)

var (
	minLogLimit = resource.MustParse("4Ki")
	maxLogLimit = resource.MustParse("10Gi")
)

func validateTemplate(s *QueueJobSpec, at *field.Path) field.ErrorList {
	switch {
	case s.Process != nil && s.Kubernetes != nil:
		return field.ErrorList{field.Forbidden(at.Child("kubernetes"), "process is set already; exactly one of process and kubernetes is wanted")}
	case s.Process != nil:
		return validateProcess(s, at.Child("process"))
	case s.Kubernetes != nil:
		return validateKubernetes(s, at.Child("kubernetes", "jobTemplate"))
	}
	return field.ErrorList{field.Required(at, "say where the job runs: exactly one of process and kubernetes is wanted")}
}

func validateProcess(s *QueueJobSpec, at *field.Path) field.ErrorList {
	p := s.Process
	errs := s.Message.validateProgram(p.Command, p.Args, p.Env, p.WorkingDir, at)
	errs = append(errs, validateDuration(p.Timeout, time.Millisecond, maxTimeout, at.Child("timeout"))...)
	errs = append(errs, validateDuration(p.TerminationGracePeriod, 0, maxGracePeriod, at.Child("terminationGracePeriod"))...)
	errs = append(errs, validateRange(int64(p.Retries), 0, maxRetries, at.Child("retries"))...)
	errs = append(errs, validateDuration(p.RetryBackoff, 0, maxRetryBackoff, at.Child("retryBackoff"))...)
	if l := p.LogLimit; l != nil && (l.Cmp(minLogLimit) < 0 || l.Cmp(maxLogLimit) > 0) {
		errs = append(errs, field.Invalid(at.Child("logLimit"), l.String(), "must be 4Ki to 10Gi"))
	}
	if longest, ok := p.longest(); ok && s.Ack == AckOnSuccess && longest > MaxHeld && len(errs) == 0 {
		with := ""
		if p.Retries > 0 {
			with = fmt.Sprintf("with %d retries and the waits between them a job may take %s; ", p.Retries, Human(longest))
		}
		errs = append(errs, field.Invalid(at.Child("timeout"), Human(p.Timeout.Duration), fmt.Sprintf(
			"%sunder ack: OnSuccess %s is the most, since SQS holds a message for 12h: shorten it, or use ack: OnCreate", with, Human(MaxHeld))))
	}
	return errs
}

// validateProgram looks at what is run on this machine.
func (m *MessageSpec) validateProgram(command, args []string, envs []EnvVar, workingDir string, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	switch {
	case len(command) == 0 || command[0] == "":
		errs = append(errs, field.Required(at.Child("command"), "name the program, as in [ping, -c, \"1\"]"))
	default:
		tainted := m.tainted(envs)
		if name := firstReference(command[0], tainted); name != "" {
			errs = append(errs, field.Invalid(at.Child("command").Index(0), command[0], "a message must not choose the program: "+name+" comes from it"))
		}
	}
	errs = append(errs, validateArguments(command, at.Child("command"))...)
	errs = append(errs, validateArguments(args, at.Child("args"))...)
	seen := map[string]bool{}
	for i, env := range envs {
		at := at.Child("env").Index(i)
		switch {
		case env.Name == "":
			errs = append(errs, field.Required(at.Child("name"), "name the environment variable"))
		case strings.ContainsAny(env.Name, "=\x00"):
			errs = append(errs, field.Invalid(at.Child("name"), env.Name, "a variable's name has no ="))
		case strings.HasPrefix(env.Name, "QUEUEMILL_"):
			errs = append(errs, field.Invalid(at.Child("name"), env.Name, "QUEUEMILL_ is for the variables that Queuemill sets"))
		case seen[env.Name]:
			errs = append(errs, field.Duplicate(at.Child("name"), env.Name))
		}
		seen[env.Name] = true
		if strings.ContainsRune(env.Value, 0) {
			errs = append(errs, field.Invalid(at.Child("value"), env.Value, "no environment variable can hold a NUL"))
		}
	}
	errs = append(errs, m.validateLoaders(envs, at.Child("env"))...)
	if strings.ContainsRune(workingDir, 0) {
		errs = append(errs, field.Invalid(at.Child("workingDir"), workingDir, "no path can hold a NUL"))
	}
	return errs
}

func validateArguments(args []string, at *field.Path) (errs field.ErrorList) {
	for i, arg := range args {
		if strings.ContainsRune(arg, 0) {
			errs = append(errs, field.Invalid(at.Index(i), arg, "no argument can hold a NUL"))
		}
	}
	return errs
}

// longest is how long a job may take with all its attempts, false where they
// have no end.
func (p *ProcessTemplate) longest() (time.Duration, bool) {
	if p.Timeout == nil {
		return 0, false
	}
	attempt := p.Timeout.Duration
	if p.TerminationGracePeriod != nil && p.Retries > 0 {
		attempt += p.TerminationGracePeriod.Duration
	}
	total := attempt
	var wait time.Duration
	if p.RetryBackoff != nil {
		wait = p.RetryBackoff.Duration
	}
	for range min(p.Retries, maxRetries) {
		if total > maxTimeout { // long enough to be refused; no overflow
			break
		}
		total += wait + attempt
		wait = min(2*wait, maxRetryBackoff)
	}
	return total, true
}
