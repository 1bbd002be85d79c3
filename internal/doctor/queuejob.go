package doctor

import (
	"cmp"
	"encoding/json"
	"fmt"
	"time"

	"github.com/queuemill/queuemill/api/v1alpha1"
	"github.com/queuemill/queuemill/internal/httpapi"
)

// goodWhen is what each condition is when all is well. Of others nothing is
// known.
var goodWhen = map[string]bool{
	"Ready": true, "SourceHealthy": true, "TemplateValid": true, "TargetOwned": true,
	"Suspended": false, "RecordsFull": false, "BreakerOpen": false, "Terminating": false,
}

// conditions looks at what the controller says of a QueueJob.
func conditions(qj *httpapi.QueueJob) []Check {
	return judge(label(qj), qj.Conditions, "receives messages; the queue answers the controller", readyHint,
		func(about string, c httpapi.Condition) Check { return wrong(about, qj, c) })
}

// judge looks at the conditions of a QueueJob or WorkerPool. well is said when
// there is nothing to say; hint is for a Ready that is False, by its reason, and
// wrong makes a Check of any other condition that is not as it should be.
func judge(about string, all []httpapi.Condition, well string, hint func(reason string) string, wrong func(string, httpapi.Condition) Check) []Check {
	var checks []Check
	explained := false
	for _, c := range all {
		if c.Type == "SourceHealthy" && c.Status && c.Message != "" {
			checks = append(checks, ok("source", about, "the controller can use the queue: %s", c.Message))
		}
		good, known := goodWhen[c.Type]
		if !known || c.Unknown || c.Status == good || c.Type == "Ready" {
			continue
		}
		explained = true
		checks = append(checks, wrong(about, c))
	}
	for _, c := range all {
		if c.Type == "Ready" && !c.Status && !explained {
			checks = append(checks, found(Problem, "ready", about, hint(c.Reason), "%s", words(c)))
			explained = true
		}
		if c.Unknown {
			checks = append(checks, found(Unknown, c.Type, about, "", "%s", words(c)))
		}
	}
	if !explained {
		checks = append(checks, ok("ready", about, "%s", well))
	}
	return checks
}

func wrong(about string, qj *httpapi.QueueJob, c httpapi.Condition) Check {
	switch c.Type {
	case "SourceHealthy":
		return found(Problem, "source", about, "does the queue exist, and may the controller's identity read it? its role, endpoint and network", "the controller can't use the queue: %s", words(c))
	case "TemplateValid":
		return found(Problem, "template", about, "mend spec.kubernetes.jobTemplate and apply it again", "no Job can be made of the template: %s", words(c))
	case "RecordsFull":
		return found(Problem, "records", about, fmt.Sprintf("queuemill retry --all --queuejob %s, or queuemill prune %s --state failed,invalid", qj.Name, qj.Name), "%s", words(c))
	case "BreakerOpen":
		return found(Warning, "breaker", about, fmt.Sprintf("queuemill jobs %s --state failed -o wide says why they fail", qj.Name), "%s", words(c))
	case "Suspended":
		return found(Warning, "suspended", about, "queuemill resume "+qj.Name, "receives nothing: somebody suspended it")
	}
	return found(Warning, c.Type, about, "", "%s", words(c))
}

func readyHint(reason string) string {
	switch reason {
	case "NotSeen":
		return hintNotSeen
	case "NotAllowed":
		return hintNotAllowed
	}
	return "kubectl get queuejob shows more; or its controller's log"
}

const (
	hintNotSeen    = "is a controller running, and does it watch this namespace? kubectl get pods -A -l app.kubernetes.io/name=queuemill"
	hintNotAllowed = "add the line to the controller's allow-list; docs/KUBERNETES.md says where"
)

func words(c httpapi.Condition) string { return cmp.Or(c.Message, c.Reason, c.Type) }

// label names a QueueJob for people.
func label(qj *httpapi.QueueJob) string { return within(qj.Namespace, qj.Name) }

// within is a name with its namespace, where there is one.
func within(namespace, name string) string {
	if namespace == "" {
		return name
	}
	return namespace + "/" + name
}

// lease looks at how long a message may have to be held.
func lease(qj *v1alpha1.QueueJob) []Check {
	about := qj.Namespace + "/" + qj.Name
	if qj.Spec.Ack != v1alpha1.AckOnSuccess || qj.Spec.Kubernetes == nil {
		return nil
	}
	var checks []Check
	t := parse(qj.Spec.Kubernetes)
	deadline := time.Duration(t.Spec.ActiveDeadlineSeconds) * time.Second
	switch {
	case deadline == 0:
		checks = append(checks, found(Warning, "deadline", about,
			fmt.Sprintf("set activeDeadlineSeconds in the job template, at most %d", int64(v1alpha1.MaxHeld/time.Second)),
			"ack: OnSuccess and no deadline: a job of more than %s loses its message to a redelivery, which is then adopted", v1alpha1.Human(v1alpha1.MaxHeld)))
	case deadline > v1alpha1.MaxHeld:
		checks = append(checks, found(Problem, "deadline", about, "shorten activeDeadlineSeconds, or use ack: OnCreate",
			"ack: OnSuccess and a deadline of %s: SQS holds a message for 12h at most", v1alpha1.Human(deadline)))
	default:
		checks = append(checks, ok("deadline", about, "jobs end within %s, and SQS holds their messages for 12h", v1alpha1.Human(deadline)))
	}
	if name := t.Metadata.Labels["kueue.x-k8s.io/queue-name"]; name != "" {
		checks = append(checks, found(Warning, "quota-queue", about, "use ack: OnCreate: then nothing is held while a job waits",
			"ack: OnSuccess holds the message also while Kueue's queue %s lets the job wait", name))
	}
	return checks
}

// jobTemplate is what is looked at in a JobTemplateSpec.
type jobTemplate struct {
	Metadata struct {
		Labels map[string]string `json:"labels"`
	} `json:"metadata"`
	Spec struct {
		ActiveDeadlineSeconds int64 `json:"activeDeadlineSeconds"`
	} `json:"spec"`
}

// parse reads what it can: that the template is none at all is the condition
// TemplateValid's to say.
func parse(k *v1alpha1.KubernetesTemplate) (t jobTemplate) {
	_ = json.Unmarshal(k.JobTemplate.Raw, &t)
	return t
}
