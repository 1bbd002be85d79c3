// Package environ puts together what a process of this machine is started with:
// its environment, and the command line in which $(NAME) is expanded from it.
package environ

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/queuemill/queuemill/internal/message"
)

// inherited is all that a job gets of the controller's environment.
var inherited = []string{"PATH", "HOME", "LANG", "TZ", "TMPDIR"}

// defaultPath is searched for programs when there is no PATH.
const defaultPath = "/usr/local/bin:/usr/bin:/bin"

// Inherited is what a command gets of this process's own environment where it is
// to depend on nothing else: PATH, HOME, LANG, TZ and TMPDIR.
func Inherited() []message.EnvVar {
	var env []message.EnvVar
	for _, name := range inherited {
		if value, ok := os.LookupEnv(name); ok {
			env = append(env, message.EnvVar{Name: name, Value: value})
		}
	}
	return env
}

// Env is an environment, in order, each name once. There are a few dozen
// variables at most: looking through them is faster than a map.
type Env []message.EnvVar

// Lookup is the value of a variable.
func (env Env) Lookup(name string) (string, bool) {
	for i := range env {
		if env[i].Name == name {
			return env[i].Value, true
		}
	}
	return "", false
}

// Set sets a variable; one that is there already keeps its place.
func (env *Env) Set(name, value string) {
	for i := range *env {
		if (*env)[i].Name == name {
			(*env)[i].Value = value
			return
		}
	}
	*env = append(*env, message.EnvVar{Name: name, Value: value})
}

// Command is what a process is started with.
type Command struct {
	Path string   // of the program; relative to where it starts unless absolute
	Argv []string // $(NAME) expanded
	Env  []string // NAME=VALUE
}

// Command expands words and finds the program, or says in words why it can't be
// started.
func (env Env) Command(words ...string) (c Command, problem string) {
	c.Env = make([]string, len(env))
	for i := range env {
		c.Env[i] = env[i].Name + "=" + env[i].Value
		if strings.IndexByte(c.Env[i], 0) >= 0 {
			return c, fmt.Sprintf("variable %s holds a NUL byte", env[i].Name)
		}
	}
	c.Argv = make([]string, len(words))
	for i := range words {
		c.Argv[i] = message.Expand(words[i], env.Lookup)
		if strings.IndexByte(c.Argv[i], 0) >= 0 {
			return c, fmt.Sprintf("argument %d holds a NUL byte", i)
		}
	}
	if len(words) == 0 {
		return c, "the command is empty"
	}
	c.Path, problem = env.program(c.Argv[0])
	return c, problem
}

// program looks a program up in the command's own PATH, as a shell does. A name
// with a slash is taken as it is, from where the command starts.
func (env Env) program(name string) (path, problem string) {
	if name == "" {
		return "", "the command is empty"
	}
	if strings.IndexByte(name, '/') >= 0 {
		return name, ""
	}
	search, ok := env.Lookup("PATH")
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
