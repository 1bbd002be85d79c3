package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/queuemill/queuemill/internal/httpapi"
	"github.com/queuemill/queuemill/internal/httpapi/client"
	"github.com/queuemill/queuemill/internal/nearest"
	"github.com/queuemill/queuemill/internal/store"
)

// failure is an error that knows its exit code and what to do next.
type failure struct {
	code int
	msg  string
	hint string
}

func (f *failure) Error() string { return f.msg }

func usagef(hint, format string, args ...any) error {
	return &failure{exitUsage, fmt.Sprintf(format, args...), hint}
}

func notFoundf(hint, format string, args ...any) error {
	return &failure{exitNotFound, fmt.Sprintf(format, args...), hint}
}

func failuref(hint, format string, args ...any) error {
	return &failure{exitError, fmt.Sprintf(format, args...), hint}
}

// errJobsFailed ends the program with its exit code; what failed was shown.
var errJobsFailed = &failure{code: exitJobsFailed}

// hinter is an error of another package that knows what to do next.
type hinter interface{ Hint() string }

// report writes err as what and where, then what to do next, and returns the
// exit code.
func (p *program) report(err error) int {
	if err == nil {
		return exitDone
	}
	code, msg, hint := exitError, err.Error(), ""
	var (
		f           *failure
		problem     *httpapi.Problem
		unreachable *client.UnreachableError
		h           hinter
		inUse       *store.InUseError
		newer       *store.NewerVersionError
		dir         *store.DirError
	)
	switch {
	case errors.As(err, &f):
		code, hint = f.code, f.hint
	case errors.As(err, &problem):
		hint = problem.Hint
		if problem.Status == 404 {
			code = exitNotFound
		}
	case errors.Is(err, context.DeadlineExceeded):
		code, msg = exitTimeout, "timed out"
	case errors.As(err, &unreachable):
		msg = unreachable.Error()
		hint = "start it with: queuemill up -f FILE; or name another with --server or QUEUEMILL_SERVER"
		if p.onCluster() {
			hint = "queuemill doctor looks for the cause"
		}
	case errors.As(err, &h):
		hint = h.Hint()
	case errors.As(err, &inUse), errors.As(err, &newer), errors.As(err, &dir):
		msg, hint, _ = strings.Cut(msg, "; ") // they end with what to do
	}
	if msg != "" {
		_, _ = fmt.Fprintf(p.env.Stderr, "queuemill: %s\n", sanitize(p.asCalled(msg), keepNewlines))
	}
	if hint != "" {
		_, _ = fmt.Fprintf(p.env.Stderr, "hint: %s\n", sanitize(p.asCalled(hint), keepNewlines))
	}
	return code
}

// unknownCommand says what was probably meant.
func unknownCommand(root *cobra.Command, name string) error {
	hint := "queuemill --help lists the commands"
	root.SuggestionsMinimumDistance = 2
	if names := root.SuggestionsFor(name); len(names) > 0 {
		hint = "did you mean: queuemill " + strings.Join(names, ", queuemill ")
	}
	return usagef(hint, "there is no command %q", name)
}

// suggestCommand mends cobra's own error of a mistyped command.
func suggestCommand(root *cobra.Command, args []string, err error) error {
	if err == nil || len(args) == 0 {
		return err
	}
	if _, rest, findErr := root.Find(args); findErr != nil && len(rest) > 0 {
		return unknownCommand(root, rest[0])
	}
	return err
}

// flagError says what was probably meant.
func flagError(cmd *cobra.Command, err error) error {
	hint := cmd.CommandPath() + " --help lists the flags"
	var unknown *pflag.NotExistError
	if !errors.As(err, &unknown) {
		return usagef(hint, "%v", err)
	}
	name := unknown.GetSpecifiedName()
	if cmd.Name() == "send" && (strings.ContainsAny(name, " {") || len(unknown.GetSpecifiedShortnames()) > 1) {
		return usagef("write -- before what begins with - and is no flag: queuemill send QUEUE -- BODY", "%s has no flag -%s", cmd.CommandPath(), unknown.GetSpecifiedShortnames())
	}
	if len(unknown.GetSpecifiedShortnames()) > 0 {
		return usagef(hint, "%s has no flag -%s", cmd.CommandPath(), name)
	}
	type candidate struct {
		name     string
		distance int
	}
	var near []candidate
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if d := nearest.Distance(name, f.Name); !f.Hidden && (d <= 2 || strings.HasPrefix(f.Name, name)) {
			near = append(near, candidate{f.Name, d})
		}
	})
	if len(near) > 0 {
		slices.SortFunc(near, func(a, b candidate) int {
			return cmp.Or(cmp.Compare(a.distance, b.distance), cmp.Compare(a.name, b.name))
		})
		hint = "did you mean --" + near[0].name
	}
	return usagef(hint, "%s has no flag --%s", cmd.CommandPath(), name)
}

// argsNamed wants at least least and at most most (-1: any number) arguments.
func argsNamed(name string, least, most int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) < least:
			return usagef(cmd.CommandPath()+" --help shows how", "%s wants a %s", cmd.CommandPath(), name)
		case most == 0 && len(args) > 0:
			return usagef(cmd.CommandPath()+" --help shows how", "%s takes no argument, got %q", cmd.CommandPath(), args[0])
		case most >= 0 && len(args) > most:
			return usagef(cmd.CommandPath()+" --help shows how", "%s takes %d %s, got %d", cmd.CommandPath(), most, name, len(args))
		}
		return nil
	}
}
