package cli

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/queuemill/queuemill/internal/httpapi"
	"github.com/queuemill/queuemill/internal/httpapi/client"
	"github.com/queuemill/queuemill/internal/nearest"
	"github.com/queuemill/queuemill/internal/reason"
	"github.com/queuemill/queuemill/internal/record"
)

// filterFlags say which jobs are meant.
type filterFlags struct {
	queueJob  string
	states    []string
	reasons   []string
	messageID string
}

func (p *program) addFilterFlags(cmd *cobra.Command, f *filterFlags) {
	cmd.Flags().StringSliceVar(&f.states, "state", nil, "only jobs in these `STATES`: "+strings.ToLower(names(record.States)))
	cmd.Flags().StringSliceVar(&f.reasons, "reason", nil, "only jobs that failed for these `REASONS`: "+names(reason.All))
	_ = cmd.RegisterFlagCompletionFunc("state", fixed(record.States))
	_ = cmd.RegisterFlagCompletionFunc("reason", fixed(reason.All))
}

// filter is what the flags mean; unknown states and reasons are usage errors.
func (f *filterFlags) filter() (httpapi.JobFilter, error) {
	states, err := pick("state", f.states, record.States)
	if err != nil {
		return httpapi.JobFilter{}, err
	}
	reasons, err := pick("reason", f.reasons, reason.All)
	return httpapi.JobFilter{QueueJob: f.queueJob, States: states, Reasons: reasons, MessageID: f.messageID}, err
}

// pick finds each of given, in any case, among known.
func pick[T ~string](kind string, given []string, known []T) ([]T, error) {
	var picked []T
	for _, g := range given {
		found := false
		for _, k := range known {
			if strings.EqualFold(string(k), strings.TrimSpace(g)) {
				picked, found = append(picked, k), true
			}
		}
		if !found {
			return nil, usagef("there are "+names(known), "there is no %s %q", kind, g)
		}
	}
	return picked, nil
}

func names[T ~string](all []T) string {
	s := make([]string, len(all))
	for i, v := range all {
		s[i] = string(v)
	}
	return strings.Join(s, ", ")
}

func (p *program) jobsCommand() *cobra.Command {
	var (
		filters   filterFlags
		limit     int
		watch     bool
		untilIdle bool
		timeout   time.Duration
	)
	cmd := &cobra.Command{
		Use:   "jobs [QUEUEJOB]",
		Short: "List jobs, the oldest first",
		Long: `List jobs, the oldest first.

With --watch each change follows as a further line. With --watch --until-idle
the list ends when queues are empty and every job is finished; the exit code is
3 then when some listed job failed, 4 when --timeout passed before.`,
		Example: `  queuemill jobs
  queuemill jobs ping --state failed,invalid
  queuemill jobs --watch --until-idle --timeout 10m`,
		Args:              argsNamed("QUEUEJOB", 0, 1),
		ValidArgsFunction: p.completeQueueJobs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				filters.queueJob = args[0]
			}
			filter, err := filters.filter()
			if err != nil {
				return err
			}
			if untilIdle && !watch {
				return usagef("", "--until-idle wants --watch")
			}
			c, err := p.connect()
			if err != nil {
				return err
			}
			if filters.queueJob != "" {
				if err := p.knownQueueJob(cmd.Context(), c, filters.queueJob); err != nil {
					return err
				}
			}
			if watch {
				ctx := cmd.Context()
				if timeout > 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, timeout)
					defer cancel()
				}
				return p.watchJobs(ctx, c, filter, untilIdle)
			}
			jobs, err := allJobs(cmd.Context(), c, filter, limit)
			if err != nil {
				return err
			}
			if len(jobs) == 0 && p.human() {
				p.say("no jobs")
				return nil
			}
			return p.print(p.jobsResult(jobs))
		},
	}
	p.addFilterFlags(cmd, &filters)
	cmd.Flags().StringVar(&filters.messageID, "message-id", "", "only the jobs of the message with this `ID`")
	cmd.Flags().IntVar(&limit, "limit", 0, "at most `N` jobs (0: all)")
	cmd.Flags().BoolVarP(&watch, "watch", "w", false, "go on with each change")
	cmd.Flags().BoolVar(&untilIdle, "until-idle", false, "with --watch: end when queues are empty and jobs finished")
	cmd.Flags().DurationVar(&timeout, "timeout", 0, "with --watch: end after so long, with exit code 4 (0: never)")
	p.addOutputFlags(cmd)
	p.addServerFlags(cmd)
	return cmd
}

// knownQueueJob tells a mistyped name from one without jobs. A QueueJob that
// is gone from the manifests may still have jobs.
func (p *program) knownQueueJob(ctx context.Context, c *client.Client, name string) error {
	all, err := c.QueueJobs(ctx)
	if err != nil {
		return err
	}
	names := make([]string, len(all))
	for i, qj := range all {
		if qj.Name == name {
			return nil
		}
		names[i] = qj.Name
	}
	left, err := c.Jobs(ctx, httpapi.JobFilter{QueueJob: name}, 1, "")
	if err != nil {
		return err
	}
	if len(left.Jobs) == 0 {
		hint := "queuemill status lists them"
		if meant := nearest.To(name, names); meant != "" {
			hint = "did you mean " + meant + "? " + hint
		}
		return notFoundf(p.insteadOfJobs(ctx, c, name, hint), "there is no QueueJob %q", name)
	}
	return nil
}

// allJobs is every page of a list, at most limit jobs (0: all).
func allJobs(ctx context.Context, c *client.Client, f httpapi.JobFilter, limit int) ([]httpapi.Job, error) {
	jobs := []httpapi.Job{}
	for cursor := ""; ; {
		pageSize := 1000
		if c.Local() {
			pageSize = 0 // all: in a cluster a page costs as much as the whole list
		}
		if limit > 0 && (pageSize == 0 || pageSize > limit-len(jobs)) {
			pageSize = limit - len(jobs)
		}
		page, err := c.Jobs(ctx, f, pageSize, cursor)
		if err != nil {
			return nil, err
		}
		jobs = append(jobs, page.Jobs...)
		if cursor = page.Cursor; cursor == "" || limit > 0 && len(jobs) >= limit {
			return jobs, nil
		}
	}
}

func (p *program) jobsResult(jobs []httpapi.Job) result {
	r := result{document: httpapi.JobList{Jobs: jobs}, items: anys(jobs)}
	for _, j := range jobs {
		r.names = append(r.names, j.Name)
	}
	r.table = func(wide bool) *table {
		t := p.jobsTable(wide)
		for i := range jobs {
			t.add(p.jobRow(&jobs[i], wide)...)
		}
		return t
	}
	return r
}

func (p *program) jobsTable(wide bool) *table {
	header := []string{"NAME", "STATE", "REASON", "EXIT", "ATTEMPT", "DURATION", "AGE"}
	if wide {
		header = append(header, "MESSAGE", "DETAIL")
	}
	if p.cluster.AllNamespaces {
		header = slices.Insert(header, 0, "NAMESPACE")
	}
	return newTable("DETAIL", header...)
}

func (p *program) jobRow(j *httpapi.Job, wide bool) []string {
	why, detail, exit := "", "", ""
	if j.Cause != nil {
		why, detail = string(j.Cause.Reason), j.Cause.Detail
	}
	if n := len(j.Attempts); n > 0 {
		exit = exitText(&j.Attempts[n-1])
	}
	state := string(j.State)
	row := []string{j.Name, state, orDash(why), orDash(exit), strconv.Itoa(j.LastAttempt()), duration(j), since(j.CreatedAt)}
	if wide {
		row = append(row, j.Message.ID, orDash(detail))
	}
	if p.cluster.AllNamespaces {
		row = slices.Insert(row, 0, j.Namespace)
	}
	return row
}

// exitText is an attempt's exit code or signal.
func exitText(a *record.Attempt) string {
	switch {
	case a.Signal != "":
		return a.Signal
	case a.ExitCode != nil:
		return strconv.Itoa(*a.ExitCode)
	}
	return ""
}

// duration is how long the latest attempt ran, or has been running.
func duration(j *httpapi.Job) string {
	if len(j.Attempts) == 0 {
		return "-"
	}
	a := j.Attempts[len(j.Attempts)-1]
	switch {
	case a.StartedAt.IsZero():
		return "-"
	case a.FinishedAt.IsZero():
		return took(time.Since(a.StartedAt))
	}
	return took(a.FinishedAt.Sub(a.StartedAt))
}
