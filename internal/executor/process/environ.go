package process

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/queuemill/queuemill/internal/executor/process/supervisor"
	"github.com/queuemill/queuemill/internal/message"
	"github.com/queuemill/queuemill/internal/record"
)

// inherited is all that a job gets of the controller's environment.
var inherited = []string{"PATH", "HOME", "LANG", "TZ", "TMPDIR"}

// defaultPath is searched for programs when there is no PATH.
const defaultPath = "/usr/local/bin:/usr/bin:/bin"

func inheritedEnv() []message.EnvVar {
	var env []message.EnvVar
	for _, name := range inherited {
		if value, ok := os.LookupEnv(name); ok {
			env = append(env, message.EnvVar{Name: name, Value: value})
		}
	}
	return env
}

// environment is a job's environment, in order, each name once. There are a
// few dozen variables at most: looking through them is faster than a map.
type environment []message.EnvVar

func (env environment) lookup(name string) (string, bool) {
	for i := range env {
		if env[i].Name == name {
			return env[i].Value, true
		}
	}
	return "", false
}

func (env *environment) set(name, value string) {
	for i := range *env {
		if (*env)[i].Name == name {
			(*env)[i].Value = value
			return
		}
	}
	*env = append(*env, message.EnvVar{Name: name, Value: value})
}

// environment puts a job's environment together: what is inherited, then the
// message's, then the template's own, which win and are expanded from those
// before them.
func (e *Executor) environment(t *template, rec *record.Record, c *record.Content, id supervisor.RunID, s *scratch) environment {
	env := make(environment, 0, len(e.inherited)+len(c.Env)+len(t.spec.Env)+8)
	env = append(env, e.inherited...)
	for i := range c.Env {
		env.set(c.Env[i].Name, c.Env[i].Value)
	}
	env.set("QUEUEMILL_MESSAGE_FILE", s.message())
	env.set("QUEUEMILL_ATTRIBUTES_FILE", s.attributes())
	env.set("QUEUEMILL_ATTEMPT", strconv.Itoa(rec.LastAttempt()))
	env.set("QUEUEMILL_MESSAGE_ID", rec.Message.ID)
	env.set("QUEUEMILL_IDEMPOTENCY_KEY", rec.IdempotencyKey)
	env.set("QUEUEMILL_QUEUEJOB", rec.QueueJob)
	for i := range t.spec.Env {
		v := &t.spec.Env[i]
		env.set(v.Name, message.Expand(v.Value, env.lookup))
	}
	env.set(supervisor.MarkerEnv, supervisor.Mark(e.marker, id))
	return env
}

// startOf is what the supervisor is asked for, or why that can't be started.
func (e *Executor) startOf(t *template, rec *record.Record, c *record.Content, id supervisor.RunID, s *scratch) (*supervisor.Start, string) {
	env := e.environment(t, rec, c, id, s)
	start := &supervisor.Start{
		ID: id, Dir: t.dir, Timeout: t.timeout, Grace: t.grace, LogLimit: t.logLimit,
		Env:  make([]string, len(env)),
		Argv: make([]string, 0, len(t.spec.Command)+len(t.spec.Args)),
	}
	if start.Dir == "" {
		start.Dir = s.dir
	}
	for i := range env {
		start.Env[i] = env[i].Name + "=" + env[i].Value
		if strings.IndexByte(start.Env[i], 0) >= 0 {
			return nil, fmt.Sprintf("variable %s holds a NUL byte", env[i].Name)
		}
	}
	for _, list := range [][]string{t.spec.Command, t.spec.Args} {
		for _, arg := range list {
			start.Argv = append(start.Argv, message.Expand(arg, env.lookup))
		}
	}
	for i, arg := range start.Argv {
		if strings.IndexByte(arg, 0) >= 0 {
			return nil, fmt.Sprintf("argument %d holds a NUL byte", i)
		}
	}
	path, problem := findProgram(start.Argv[0], env)
	if problem != "" {
		return nil, problem
	}
	start.Path = path
	return start, ""
}

// findProgram looks a program up in the job's own PATH, as a shell does. A name
// with a slash is taken as it is, from the job's working directory.
func findProgram(name string, env environment) (path, problem string) {
	if name == "" {
		return "", "the command is empty"
	}
	if strings.IndexByte(name, '/') >= 0 {
		return name, ""
	}
	search, ok := env.lookup("PATH")
	if !ok {
		search = defaultPath
	}
	var unusable string
	for dir := range strings.SplitSeq(search, ":") {
		if !filepath.IsAbs(dir) {
			continue // what lies in the working directory may be the message's
		}
		candidate := dir + "/" + name
		var st unix.Stat_t
		if unix.Stat(candidate, &st) != nil || st.Mode&unix.S_IFMT != unix.S_IFREG {
			continue
		}
		if unix.Access(candidate, unix.X_OK) != nil {
			unusable = candidate
			continue
		}
		return candidate, ""
	}
	if unusable != "" {
		return "", fmt.Sprintf("start %s: %s is not executable: chmod +x it", name, unusable)
	}
	return "", fmt.Sprintf("start %s: no such program in PATH (%s)", name, search)
}
