package chaos

import (
	"fmt"
	"slices"
	"strings"

	"github.com/queuemill/queuemill/internal/message"
)

// maxHistories is how many messages' histories are printed in full.
const maxHistories = 5

// account holds the messages, the Jobs, the runs of their pods and the queues
// against each other.
func (w *world) account(p *pair, tasks []*task) {
	t := w.t
	t.Helper()
	jobs, runs := w.seen.byMessage()
	dead := map[string]bool{}
	for _, id := range w.sqs.drain(t, onSuccessQueue+"-dead") {
		dead[id] = true
	}
	var wrong, starts, seconds, attempts, duplicates, letters int
	for _, k := range tasks {
		id := k.messageID
		ran := p.secondPods(runs[id])
		problems := w.check(k, jobs[id], ran, dead[id])
		starts += len(ran)
		seconds += len(runs[id]) - len(ran)
		attempts += len(jobs[id])
		duplicates += w.sqs.of(id).forgotten
		if dead[id] {
			letters++
		}
		delete(jobs, id)
		delete(runs, id)
		if len(problems) == 0 {
			continue
		}
		if wrong++; wrong <= maxHistories {
			t.Errorf("message %d: %s\n  task %s to %s as message %s\n%s", k.Number, strings.Join(problems, "; "), k.body(), k.queue, id, w.history(id))
		}
	}
	if wrong > 0 {
		t.Errorf("%d messages are wrong, %d of them are shown; what was done:\n%s", wrong, min(wrong, maxHistories), p.around())
	}
	for id, those := range jobs {
		t.Errorf("%d Jobs of message %q, which was never sent: the first is %s", len(those), id, those[0].Name)
	}
	for id, those := range runs {
		t.Errorf("%d runs of message %q, which was never sent: the first is %v", len(those), id, &those[0])
	}
	t.Logf("%d messages, %d delivered again after a confirmed delete, %d Jobs, %d runs, %d second pods of Kubernetes' own, %d dead letters; %d kills, %d times two leaders at once",
		len(tasks), duplicates, attempts, starts, seconds, letters, p.kills, p.both)
	if duplicates == 0 {
		t.Error("no message was delivered again after its delete: this run shows less than it should")
	}
}

// check returns what is wrong with one message.
func (w *world) check(k *task, jobs []seenJob, runs []run, dead bool) (problems []string) {
	problem := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	queueJob := map[string]string{onCreateQueue: "creates", onSuccessQueue: "succeeds"}[k.queue]
	name, _ := message.RecordName(w.namespace, queueJob, k.messageID)

	var names []string
	for _, j := range jobs {
		names = append(names, j.Name)
		if body := j.Annotations[taskKey]; body != k.body() {
			problem("Job %s carries %q", j.Name, body)
		}
		if j.gone || j.DeletionTimestamp != nil {
			problem("Job %s was deleted", j.Name)
		}
	}
	slices.Sort(names)
	for attempt := 1; attempt <= len(names); attempt++ {
		if !slices.Contains(names, message.AttemptName(name, attempt)) {
			problem("has Jobs %v, and attempt %d is not among them", names, attempt)
		}
	}
	started := map[string]int{}
	succeeded := 0
	for i, r := range runs {
		if started[r.job]++; started[r.job] > 1 {
			problem("Job %s ran %d times", r.job, started[r.job])
		}
		if i > 0 && (runs[i-1].end.IsZero() || r.start.Before(runs[i-1].end)) {
			problem("runs overlap: %v and %v", &runs[i-1], &r)
		}
		if r.exitCode == 0 && !r.end.IsZero() {
			succeeded++
		}
	}
	switch {
	case k.queue == onCreateQueue && len(jobs) != 1:
		problem("has %d Jobs, want 1", len(jobs))
	case k.queue == onCreateQueue && len(runs) != 1:
		problem("ran %d times, want 1", len(runs))
	case k.queue == onCreateQueue:
	case succeeded > 1:
		problem("succeeded %d times", succeeded)
	case succeeded == 1 && dead:
		problem("succeeded, and is a dead letter")
	case succeeded == 0 && !dead:
		problem("did not succeed, and is no dead letter")
	case dead && k.Kind != "fail":
		problem("is a dead letter, though its job does not fail for good")
	case len(jobs) > maxReceives:
		problem("has %d Jobs, and %d receives make a dead letter", len(jobs), maxReceives)
	}
	return problems
}
