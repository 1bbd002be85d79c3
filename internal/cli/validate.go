package cli

import (
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/queuemill/queuemill/internal/manifest"
)

// validation is what `validate -o json` prints.
type validation struct {
	Valid       bool              `json:"valid"`
	QueueJobs   []validObject     `json:"queueJobs"`
	WorkerPools []validObject     `json:"workerPools"`
	Warnings    []manifestFinding `json:"warnings"`
	Errors      []manifestFinding `json:"errors"`
}

type validObject struct {
	Name string `json:"name"`
	File string `json:"file"`
	Line int    `json:"line"`
	kind string
}

type manifestFinding struct {
	File    string `json:"file"`
	Line    int    `json:"line,omitempty"`
	Field   string `json:"field,omitempty"`
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"`
}

func (p *program) validateCommand() *cobra.Command {
	var files []string
	cmd := &cobra.Command{
		Use:   "validate -f FILE…",
		Short: "Check manifests; needs no controller",
		Long: `Check manifests; needs no controller. Errors and warnings name file, line and
field. The exit code is 1 when there is an error, warnings alone do not matter.`,
		Example: "  queuemill validate -f queuemill.yaml\n  queuemill validate -f manifests/ -o json",
		RunE: func(cmd *cobra.Command, args []string) error {
			files = append(files, args...)
			if len(files) == 0 {
				return usagef("name files or folders: queuemill validate -f FILE", "there is nothing to validate")
			}
			objects, warnings, err := manifest.Load(files...)
			v := newValidation(objects, warnings, err)
			if printErr := p.printValidation(v); printErr != nil {
				return printErr
			}
			if err != nil {
				return &failure{code: exitError}
			}
			return nil
		},
	}
	cmd.Flags().StringArrayVarP(&files, "file", "f", nil, "`FILE` or folder of manifests, - is stdin; may be repeated")
	p.addFormatFlag(cmd)
	return cmd
}

func newValidation(objects []manifest.Object, warnings []manifest.Warning, err error) validation {
	v := validation{Valid: err == nil, QueueJobs: []validObject{}, WorkerPools: []validObject{}, Warnings: []manifestFinding{}, Errors: []manifestFinding{}}
	for _, o := range objects {
		one := validObject{o.Name(), o.File, o.Line, o.Kind()}
		if o.WorkerPool != nil {
			v.WorkerPools = append(v.WorkerPools, one)
		} else {
			v.QueueJobs = append(v.QueueJobs, one)
		}
	}
	for _, w := range warnings {
		v.Warnings = append(v.Warnings, manifestFinding{w.File, w.Line, w.Field, w.Msg, w.Hint})
	}
	for _, one := range unjoin(err) {
		var e *manifest.Error
		if errors.As(one, &e) {
			v.Errors = append(v.Errors, manifestFinding{e.File, e.Line, e.Field, e.Msg, e.Hint})
		} else {
			v.Errors = append(v.Errors, manifestFinding{Message: one.Error()})
		}
	}
	return v
}

// unjoin are the errors that errors.Join made one of.
func unjoin(err error) []error {
	if err == nil {
		return nil
	}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		return joined.Unwrap()
	}
	return []error{err}
}

func (p *program) printValidation(v validation) error {
	var names []string
	for _, o := range slices.Concat(v.QueueJobs, v.WorkerPools) {
		names = append(names, o.Name)
	}
	return p.print(result{document: v, names: names, text: func() error {
		for _, f := range v.Warnings {
			p.say("warning: %s", f)
		}
		for _, f := range v.Errors {
			p.say("error: %s", f)
		}
		if !v.Valid {
			p.say("%s", count(len(v.Errors), "error", "errors"))
			return nil
		}
		for _, o := range slices.Concat(v.QueueJobs, v.WorkerPools) {
			if _, err := fmt.Fprintf(p.env.Stdout, "%s:%d: %s %s is valid\n", o.File, o.Line, o.kind, o.Name); err != nil {
				return err
			}
		}
		return nil
	}})
}

func (f manifestFinding) String() string {
	e := manifest.Error{File: f.File, Line: f.Line, Field: f.Field, Msg: f.Message, Hint: f.Hint}
	return e.Error()
}
