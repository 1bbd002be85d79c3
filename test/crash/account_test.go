package crash

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/queuemill/queuemill/internal/httpapi"
	"github.com/queuemill/queuemill/internal/reason"
	"github.com/queuemill/queuemill/internal/record"
)

// maxHistories is how many messages' histories are printed in full.
const maxHistories = 10

// account holds the records and the outside log against each other.
func (c *crashTest) account(jobs []httpapi.Job, runs map[int][]run) {
	byMessage := map[string][]httpapi.Job{}
	for _, j := range jobs {
		byMessage[j.Message.ID] = append(byMessage[j.Message.ID], j)
	}
	var wrong, starts, extra, again int
	for _, k := range c.tasks {
		records := byMessage[k.messageID]
		delete(byMessage, k.messageID)
		starts += len(runs[k.Number])
		extra += max(0, len(runs[k.Number])-1)
		again += c.repeated(k, records)
		problems := c.check(k, records, runs[k.Number])
		if len(problems) == 0 {
			continue
		}
		if wrong++; wrong <= maxHistories {
			c.t.Errorf("message %d: %s\n%s", k.Number, strings.Join(problems, "; "), c.history(k, records, runs[k.Number]))
		}
	}
	if wrong > maxHistories {
		c.t.Errorf("%d messages are wrong, %d of them are shown", wrong, maxHistories)
	}
	for id, records := range byMessage {
		c.t.Errorf("%d records of message %s, which was never sent: %s", len(records), id, asJSON(records))
	}
	var longest time.Duration
	ran := 0
	for _, k := range c.kills {
		longest, ran = max(longest, k.outlived), ran+len(k.ran)
	}
	c.t.Logf("%d messages, %d records, %d starts, of them %d further ones; %d attempts ended by %d kills, at which %d processes of jobs lived, at most %v longer than their controller",
		len(c.tasks), len(jobs), starts, extra, again, len(c.kills), ran, longest.Round(time.Millisecond))
	if again == 0 {
		c.t.Error("no kill hit a running job: this run shows nothing")
	}
}

// check returns what is wrong with one message.
func (c *crashTest) check(k *task, records []httpapi.Job, runs []run) (problems []string) {
	problem := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	if len(records) != 1 {
		problem("has %d records, want 1", len(records))
		return problems
	}
	j := records[0]
	want := record.Succeeded
	if k.wantFailed() {
		want = record.Failed
	}
	if j.State != want {
		problem("is %s, want %s", j.State, want)
	}
	recorded := map[int]record.Attempt{}
	for i, a := range j.Attempts {
		recorded[a.Number] = a
		if a.Number != i+1 {
			problem("attempt %d stands at place %d", a.Number, i+1)
		}
		if i > 0 && j.Attempts[i-1].Cause == nil {
			problem("attempt %d was made after attempt %d had succeeded", a.Number, i)
		}
	}
	if len(runs) == 0 {
		problem("was never started")
	}
	logged := map[int]run{}
	for _, r := range runs {
		if earlier, twice := logged[r.attempt]; twice {
			problem("attempt %d was started twice, at %s and at %s", r.attempt, stamp(earlier.start), stamp(r.start))
		}
		logged[r.attempt] = r
		if _, ok := recorded[r.attempt]; !ok {
			problem("attempt %d was started and is not in the record", r.attempt)
		}
		if r.messageID != k.messageID {
			problem("attempt %d was given message %s, not %s", r.attempt, r.messageID, k.messageID)
		}
		if r.attempt > 1 {
			if why := c.unexplained(k, recorded[r.attempt-1], logged, r); why != "" {
				problem("attempt %d should not have been started: %s", r.attempt, why)
			}
		}
	}
	return problems
}

// unexplained says why the further start r was wrong: the attempt before it
// must have failed on its own under OnSuccess, or have run at a kill. A number
// of an attempt that was never seen to start explains itself: a kill came
// between its start and its first line.
func (c *crashTest) unexplained(k *task, previous record.Attempt, logged map[int]run, r run) string {
	if previous.Cause == nil {
		return "the one before it has no cause of failure"
	}
	before, started := logged[r.attempt-1]
	switch previous.Cause.Reason {
	case reason.NonZeroExit:
		if k.queue == onCreateQueue || !started || before.end.IsZero() {
			return "the one before it did not fail under OnSuccess"
		}
		return ""
	case reason.Interrupted:
		if !started {
			return ""
		}
		if slices.ContainsFunc(c.kills, func(k kill) bool { return k.hit(before) && !r.start.Before(k.at) }) {
			return ""
		}
		return "the one before it did not run at any kill"
	default:
		return "the one before it ended by " + string(previous.Cause.Reason)
	}
}

// hit tells whether the run was going on at the kill: its process was seen, or
// it started too late for that.
func (k kill) hit(r run) bool {
	if !processesSeen {
		return r.start.Before(k.at.Add(startSlack)) && (r.end.IsZero() || r.end.After(k.at.Add(-startSlack)))
	}
	return k.ran[r.pid] && r.start.Before(k.at) || r.start.After(k.looked) && r.start.Before(k.at.Add(startSlack))
}

// repeated is how many attempts of a message a kill ended.
func (c *crashTest) repeated(_ *task, records []httpapi.Job) (n int) {
	for _, j := range records {
		for _, a := range j.Attempts {
			if a.Cause != nil && a.Cause.Reason == reason.Interrupted {
				n++
			}
		}
	}
	return n
}

// history is all that is known of one message: for whoever has to find out why.
func (c *crashTest) history(k *task, records []httpapi.Job, runs []run) string {
	var b strings.Builder
	fmt.Fprintf(&b, "  task %s to %s as message %s\n", asJSON(k), k.queue, k.messageID)
	for _, r := range runs {
		fmt.Fprintf(&b, "  outside log: %v\n", r)
		if i := slices.IndexFunc(c.kills, func(k kill) bool { return k.at.After(r.start) }); i > 0 {
			fmt.Fprintf(&b, "    kill %d at %s before its start, kill %d at %s after\n", i, stamp(c.kills[i-1].at), i+1, stamp(c.kills[i].at))
		}
	}
	for _, j := range records {
		fmt.Fprintf(&b, "  record: %s\n", asJSON(j))
	}
	return b.String()
}

func asJSON(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(text)
}
