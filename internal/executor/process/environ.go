package process

import (
	"slices"
	"strconv"

	"github.com/queuemill/queuemill/internal/executor/process/environ"
	"github.com/queuemill/queuemill/internal/executor/process/supervisor"
	"github.com/queuemill/queuemill/internal/message"
	"github.com/queuemill/queuemill/internal/record"
)

// environment puts a job's environment together: what is inherited, then the
// message's, then the template's own, which win and are expanded from those
// before them.
func (e *Executor) environment(t *template, rec *record.Record, c *record.Content, id supervisor.RunID, s *scratch) environ.Env {
	env := make(environ.Env, 0, len(e.inherited)+len(c.Env)+len(t.spec.Env)+8)
	env = append(env, e.inherited...)
	for i := range c.Env {
		env.Set(c.Env[i].Name, c.Env[i].Value)
	}
	env.Set("QUEUEMILL_MESSAGE_FILE", s.message())
	env.Set("QUEUEMILL_ATTRIBUTES_FILE", s.attributes())
	env.Set("QUEUEMILL_ATTEMPT", strconv.Itoa(rec.LastAttempt()))
	env.Set("QUEUEMILL_MESSAGE_ID", rec.Message.ID)
	env.Set("QUEUEMILL_IDEMPOTENCY_KEY", rec.IdempotencyKey)
	env.Set("QUEUEMILL_QUEUEJOB", rec.QueueJob)
	for i := range t.spec.Env {
		v := &t.spec.Env[i]
		env.Set(v.Name, message.Expand(v.Value, env.Lookup))
	}
	env.Set(supervisor.MarkerEnv, supervisor.Mark(e.marker, id))
	return env
}

// startOf is what the supervisor is asked for, or why that can't be started.
func (e *Executor) startOf(t *template, rec *record.Record, c *record.Content, id supervisor.RunID, s *scratch) (*supervisor.Start, string) {
	command, problem := e.environment(t, rec, c, id, s).Command(slices.Concat(t.spec.Command, t.spec.Args)...)
	if problem != "" {
		return nil, problem
	}
	start := &supervisor.Start{
		ID: id, Dir: t.dir, Timeout: t.timeout, Grace: t.grace, LogLimit: t.logLimit,
		Path: command.Path, Argv: command.Argv, Env: command.Env,
	}
	if start.Dir == "" {
		start.Dir = s.dir
	}
	return start, ""
}
