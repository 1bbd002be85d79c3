package doctor

import (
	"fmt"
	"time"

	"github.com/queuemill/queuemill/api/v1alpha1"
	"github.com/queuemill/queuemill/internal/httpapi"
)

// Visibilities of a pool's messages outside of these surprise: a message that is
// held for less at a time is soon lost to a pause of the machine, and what is
// held for longer stays away as long when its worker dies.
const (
	briefHold = 15 * time.Second
	longHold  = 30 * time.Minute
)

// poolLabel names a WorkerPool for people; a QueueJob may have its name.
func poolLabel(wp *httpapi.WorkerPool) string { return "WorkerPool " + within(wp.Namespace, wp.Name) }

// workerPool looks at a WorkerPool: what the controller says of it, its workers,
// and how long messages are held.
func workerPool(wp *httpapi.WorkerPool, conditions []httpapi.Condition) []Check {
	about := poolLabel(wp)
	checks := judge(about, conditions, fmt.Sprintf("wants %d workers (%d to %d), %d are ready, %d busy",
		wp.Desired, wp.MinWorkers, wp.MaxWorkers, wp.Workers.Ready, wp.Workers.Busy),
		func(reason string) string { return poolHint(wp, reason) },
		func(about string, c httpapi.Condition) Check { return wrongPool(about, wp, c) })
	if wp.RunsOn == "scaleTargetRef" {
		return checks // its workers are not asked, and hold messages as they please
	}
	for _, c := range conditions {
		if c.Type == "Ready" && c.Status && wp.Trouble != "" {
			checks = append(checks, found(Warning, "workers", about, poolHint(wp, "WorkersNotReady"), "%s", wp.Trouble))
		}
	}
	if n := wp.Workers.Unknown; n > 0 {
		checks = append(checks, found(Warning, "silent", about, silentHint(wp),
			"%d of %d workers don't answer the controller: they count as busy, and are never retired", n, wp.Workers.Ready+wp.Workers.Retiring))
	}
	return append(checks, hold(wp))
}

// seenHere are the conditions of a pool beside its controller, which keeps none.
func seenHere(wp *httpapi.WorkerPool) []httpapi.Condition {
	switch {
	case wp.SourceError != "":
		return []httpapi.Condition{{Type: "Ready"}, {Type: "SourceHealthy", Message: wp.SourceError}}
	case wp.Leaving:
		return []httpapi.Condition{{Type: "Ready"}, {Type: "Terminating", Status: true, Message: "it is in no manifest any more: its workers leave when they are idle"}}
	case wp.Suspended:
		return []httpapi.Condition{{Type: "Ready"}, {Type: "Suspended", Status: true}}
	case wp.Trouble != "" && wp.Workers.Ready == 0 && wp.Desired > 0:
		return []httpapi.Condition{{Type: "Ready", Reason: "WorkersNotReady", Message: wp.Trouble}}
	}
	return []httpapi.Condition{{Type: "Ready", Status: true}}
}

func wrongPool(about string, wp *httpapi.WorkerPool, c httpapi.Condition) Check {
	switch c.Type {
	case "SourceHealthy":
		return found(Problem, "source", about, "does the queue exist, and may the controller's identity read its attributes? its role, endpoint and network",
			"the number of workers stays as it is, since the queue does not tell its numbers: %s", words(c))
	case "TemplateValid":
		return found(Problem, "template", about, "mend spec.kubernetes.template and apply it again", "no pod can be made of the template: %s", words(c))
	case "Suspended":
		what := "wants no workers"
		if wp.RunsOn == "scaleTargetRef" {
			what = "leaves the Deployment's replicas as they are"
		}
		return found(Warning, "suspended", about, "queuemill resume workerpool/"+wp.Name, "%s: somebody suspended it", what)
	case "TargetOwned":
		if c.Reason != "AlsoWritten" { // nothing is scaled
			return found(Problem, "target", about, "docs/WORKERPOOLS.md says what a target needs", "%s", words(c))
		}
		return found(Warning, "target", about, "docs/WORKERPOOLS.md shows the setting for each tool", "%s", words(c))
	}
	return found(Warning, c.Type, about, "", "%s", words(c))
}

// poolHint is what to do about a pool that is not Ready for this reason.
func poolHint(wp *httpapi.WorkerPool, reason string) string {
	switch reason {
	case "NotSeen":
		return hintNotSeen + "; pools want one that was started with --worker-image"
	case "NotAllowed":
		return hintNotAllowed
	case "WorkersNotReady":
		return lookAtWorkers(wp) + "; docs/runbooks/pool-workers-missing.md has the usual causes"
	}
	return "kubectl describe workerpool shows more; or its controller's log"
}

func lookAtWorkers(wp *httpapi.WorkerPool) string {
	if wp.RunsOn == "process" {
		return fmt.Sprintf("their output is in pools/%s of the data directory", wp.Name)
	}
	return fmt.Sprintf("kubectl get pods -n %s -l queuemill.dev/workerpool=%s, and the log of one", wp.Namespace, wp.Name)
}

func silentHint(wp *httpapi.WorkerPool) string {
	if wp.RunsOn == "process" {
		return lookAtWorkers(wp) + "; is one stopped, or the machine short of CPU?"
	}
	return "may the controller reach the port of the pods? a NetworkPolicy or a mesh of yours must let it in; docs/runbooks/pool-workers-silent.md"
}

// hold looks at how long workers hold a message at a time.
func hold(wp *httpapi.WorkerPool) Check {
	const name = "visibility"
	about := poolLabel(wp)
	visibility := time.Duration(wp.VisibilitySeconds * float64(time.Second))
	switch {
	case visibility < briefHold:
		return found(Warning, name, about, "set worker.visibility to a minute or so; it is extended as long as work goes on",
			"a message is held for %s at a time: should the worker or the queue pause for half of that, another one gets it while it is worked on", v1alpha1.Human(visibility))
	case visibility > longHold:
		return found(Warning, name, about, "set worker.visibility to a minute or so; it is extended as long as work goes on",
			"a message is held for %s at a time: that of a worker that dies stays away as long", v1alpha1.Human(visibility))
	}
	limit := "12h, as long as SQS lets it be held"
	if wp.TimeoutSeconds > 0 {
		limit = seconds(wp.TimeoutSeconds)
	}
	return ok(name, about, "a message is held for %s at a time, extended at half of it, and may take %s", v1alpha1.Human(visibility), limit)
}
