package v1alpha1

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Warning is something that is allowed and probably not meant.
type Warning struct {
	Field string // spec.process.args[2]
	Text  string
}

// Warnings says what is allowed and probably not meant, after Validate found
// nothing wrong.
func (q *QueueJob) Warnings() []Warning {
	w := &warner{message: &q.Spec.Message, spec: &q.Spec}
	at := field.NewPath("spec")
	w.interpreters(at.Child("message", "env"))
	switch {
	case q.Spec.Process != nil:
		w.process(q.Spec.Process, at.Child("process"))
	case q.Spec.Kubernetes != nil:
		w.kubernetes(q.Spec.Kubernetes, at.Child("kubernetes", "jobTemplate"))
	}
	return w.found
}

// interpreterVariables are variables through which a value becomes a program.
var interpreterVariables = []string{
	"BASH_ENV", "ENV", "IFS", "PS4", "PROMPT_COMMAND", "SHELLOPTS", "BASHOPTS", "PYTHONPATH", "PYTHONSTARTUP", "PYTHONHOME",
	"PERL5LIB", "PERL5OPT", "PERL5DB", "RUBYOPT", "RUBYLIB", "NODE_OPTIONS", "NODE_PATH", "JAVA_TOOL_OPTIONS", "_JAVA_OPTIONS",
	"JDK_JAVA_OPTIONS", "CLASSPATH", "PHPRC", "GIT_SSH_COMMAND", "GIT_EXTERNAL_DIFF", "EDITOR", "PAGER", "GCONV_PATH", "HOSTALIASES",
}

type warner struct {
	message *MessageSpec
	spec    *QueueJobSpec // of a QueueJob
	found   []Warning
}

// interpreters looks for variables through which a message becomes a program.
func (w *warner) interpreters(at *field.Path) {
	for i, env := range w.message.Env {
		if slices.Contains(interpreterVariables, env.Name) {
			w.add(at.Index(i).Child("name"),
				"%s tells an interpreter what to load or run; who can send a message could run a program of theirs", env.Name)
		}
	}
}

func (w *warner) add(at *field.Path, format string, args ...any) {
	w.found = append(w.found, Warning{at.String(), fmt.Sprintf(format, args...)})
}

func (w *warner) process(p *ProcessTemplate, at *field.Path) {
	w.arguments(p.Command, p.Args, p.Env, at)
	if program := p.Command[0]; p.WorkingDir == "" && strings.Contains(program, "/") && !path.IsAbs(program) {
		w.add(at.Child("command").Index(0),
			"%s is looked for in the job's own scratch directory, which begins empty; set workingDir (. is the manifest's folder)", program)
	}
	if p.Timeout == nil && w.spec.Ack == AckOnSuccess {
		w.add(at.Child("timeout"), "a job without a timeout may outlast the 12h that SQS holds a message under ack: OnSuccess; it is then handed out again")
	}
}

func (w *warner) kubernetes(k *KubernetesTemplate, at *field.Path) {
	template, err := k.parse()
	if err != nil {
		return // Validate says so
	}
	_, quota := template.Metadata.Labels[kueueQueueLabel]
	switch spec := at.Child("spec"); {
	case w.spec.Ack == AckOnSuccess && quota:
		w.add(at.Child("metadata", "labels").Key(kueueQueueLabel),
			"a job may wait in the quota queue longer than the 12h that SQS holds a message under ack: OnSuccess; it is then handed out again: use ack: OnCreate")
	case w.spec.Ack == AckOnSuccess && template.Spec.ActiveDeadlineSeconds == nil:
		w.add(spec.Child("activeDeadlineSeconds"),
			"a job without a deadline may outlast the 12h that SQS holds a message under ack: OnSuccess; it is then handed out again")
	}
	if s := template.Spec.Suspend; s != nil && *s && !quota {
		w.add(at.Child("spec", "suspend"), "every job is created suspended and takes room until somebody resumes it")
	}
	at = at.Child("spec", "template", "spec")
	for i, c := range template.Spec.Template.Spec.InitContainers {
		w.arguments(c.Command, c.Args, c.Env, at.Child("initContainers").Index(i))
	}
	for i, c := range template.Spec.Template.Spec.Containers {
		w.arguments(c.Command, c.Args, c.Env, at.Child("containers").Index(i))
	}
}

// arguments looks for arguments through which a message says more than its
// author meant: in a shell's script, or as an option.
func (w *warner) arguments(command, args []string, env []EnvVar, at *field.Path) {
	tainted := w.message.tainted(env)
	all := slices.Concat(command, args)
	place := func(i int) *field.Path {
		if i < len(command) {
			return at.Child("command").Index(i)
		}
		return at.Child("args").Index(i - len(command))
	}
	script := shellScript(all)
	if script > 0 {
		if name := firstReference(all[script], tainted); name != "" {
			w.add(place(script), "$(%s) stands in a shell's script: the shell would run what the message says; write \"$%s\" in double quotes there", name, name)
		}
		return // what follows a script are its parameters, never options
	}
	end := slices.Index(all, "--")
	for i, arg := range all {
		name := firstReference(arg, tainted)
		isProgram := i == 0 && len(command) > 0
		if isProgram || name == "" || !strings.HasPrefix(arg, "$("+name+")") {
			continue
		}
		optionValue := i > 0 && strings.HasPrefix(all[i-1], "-") && end >= 0
		if afterEnd := end >= 0 && i > end; !afterEnd && !optionValue {
			w.add(place(i), "$(%s) with no -- before it: a message that begins with - would be taken for an option", name)
		}
	}
}

var shells = []string{"sh", "bash", "dash", "ash", "zsh", "ksh", "mksh", "fish"}

var (
	shellCommandFlag = regexp.MustCompile(`^-[a-zA-Z]*c[a-zA-Z]*$`)
	shellOptionFlag  = regexp.MustCompile(`^-[a-zA-Z]*o$`) // -o pipefail, -euo pipefail
)

// shellScript is the index of the script that a shell is given with -c, 0 when
// there is none.
func shellScript(all []string) int {
	for i, word := range all {
		if !slices.Contains(shells, path.Base(word)) {
			continue
		}
		for j := i + 1; j+1 < len(all) && strings.HasPrefix(all[j], "-"); j++ {
			if shellOptionFlag.MatchString(all[j]) {
				j++
				continue
			}
			if shellCommandFlag.MatchString(all[j]) {
				return j + 1
			}
		}
	}
	return 0
}

// reference matches $$, which is text, and $(NAME).
var reference = regexp.MustCompile(`\$\$|\$\(([^)]*)\)`)

// firstReference is the first of the variables that s refers to, "" when none.
func firstReference(s string, tainted func(string) bool) string {
	for _, match := range reference.FindAllStringSubmatch(s, -1) {
		if match[1] != "" && tainted(match[1]) {
			return match[1]
		}
	}
	return ""
}

// tainted tells which variables hold what a message says. A template's own
// variables win over the message's, and hold it where they refer to one.
func (m *MessageSpec) tainted(own []EnvVar) func(string) bool {
	names := map[string]bool{}
	for _, env := range m.Env {
		names[env.Name] = true
	}
	if slices.Contains(m.Format, FormatS3Event) {
		for _, name := range S3Variables {
			names[name] = true
		}
	}
	tainted := func(name string) bool { return names[name] || strings.HasPrefix(name, "QUEUEMILL_ATTR_") }
	for _, env := range own {
		names[env.Name] = firstReference(env.Value, tainted) != ""
	}
	return tainted
}
