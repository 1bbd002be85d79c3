package install

import (
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// runbooks is where a person who is woken up reads on.
const runbooks = "https://github.com/queuemill/queuemill/blob/main/docs/runbooks/"

// alert is one rule. Its page is docs/runbooks/<page>.md.
type alert struct {
	name, page, severity string
	expr                 string
	lasting              string // the rule's "for"
	summary, description string
}

// alerts are all. The gauges of a QueueJob come from the replica that leads, so
// each is taken over the replicas before it is judged.
func alerts() []alert { return append(queueJobAlerts(), poolAlerts()...) }

func queueJobAlerts() []alert {
	return []alert{
		{
			name: "QueuemillFailuresGrow", page: "failures-grow", severity: "warning", lasting: "1m",
			expr: `
sum by (namespace, queuejob) (max by (namespace, queuejob, state) (queuemill_queuejob_jobs{state=~"Failed|Invalid"}))
  > sum by (namespace, queuejob) (max by (namespace, queuejob, state) (queuemill_queuejob_jobs{state=~"Failed|Invalid"} offset 15m))
or
max by (namespace, queuejob) (queuemill_queuejob_dead_letter_messages)
  > max by (namespace, queuejob) (queuemill_queuejob_dead_letter_messages offset 15m)`,
			summary:     "Jobs of QueueJob {{ $labels.namespace }}/{{ $labels.queuejob }} fail",
			description: "There are {{ $value }} failed and invalid records, or dead letters, more than a quarter of an hour ago.",
		},
		{
			name: "QueuemillOldestMessage", page: "oldest-message", severity: "warning", lasting: "1m",
			expr:        `max by (namespace, queuejob) (queuemill_queuejob_oldest_message_age_seconds) > 1800`,
			summary:     "A message of QueueJob {{ $labels.namespace }}/{{ $labels.queuejob }} waits too long",
			description: "The oldest message has waited for {{ $value | humanizeDuration }}.",
		},
		{
			name: "QueuemillBacklog", page: "backlog", severity: "warning", lasting: "10m",
			expr:        `max by (namespace, queuejob) (queuemill_queuejob_queue_messages{state="visible"}) > 1000`,
			summary:     "QueueJob {{ $labels.namespace }}/{{ $labels.queuejob }} has a backlog",
			description: "{{ $value }} messages wait.",
		},
		{
			name: "QueuemillSourceUnhealthy", page: "source-unhealthy", severity: "critical", lasting: "5m",
			expr:        `max by (namespace, queuejob) (queuemill_queuejob_condition{condition="SourceHealthy"}) == 0`,
			summary:     "QueueJob {{ $labels.namespace }}/{{ $labels.queuejob }} can't use its queue",
			description: "The queue can't be reached or refuses. Nothing is received; jobs that exist go on.",
		},
		{
			name: "QueuemillRecordsFull", page: "records-full", severity: "critical", lasting: "1m",
			expr:        `max by (namespace, queuejob) (queuemill_queuejob_condition{condition="RecordsFull"}) == 1`,
			summary:     "QueueJob {{ $labels.namespace }}/{{ $labels.queuejob }} has stopped receiving",
			description: "There are as many failed and invalid records as failedJobsHistoryLimit. Retry or prune some.",
		},
	}
}

// monitoring is alerts.yaml. Its kinds are the Prometheus operator's.
func monitoring() []part {
	var rules []any
	for _, a := range alerts() {
		rules = append(rules, map[string]any{
			"alert": a.name, "expr": strings.TrimPrefix(a.expr, "\n"), "for": a.lasting,
			"labels": map[string]any{"severity": a.severity},
			"annotations": map[string]any{
				"summary": a.summary, "description": a.description, "runbook_url": runbooks + a.page + ".md",
			},
		})
	}
	selector := map[string]any{}
	for key, value := range labels() {
		selector[key] = value
	}
	return []part{
		{
			"honorLabels keeps the label namespace of the metrics: it is the QueueJob's or WorkerPool's, not the controller's.",
			monitor("PodMonitor", map[string]any{
				"selector":            map[string]any{"matchLabels": selector},
				"podMetricsEndpoints": []any{map[string]any{"port": "http", "path": "/metrics", "interval": "15s", "honorLabels": true}},
			}),
		},
		{"", monitor("PrometheusRule", map[string]any{"groups": []any{map[string]any{"name": "queuemill", "rules": rules}}})},
	}
}

func monitor(kind string, spec map[string]any) *unstructured.Unstructured {
	u := &unstructured.Unstructured{Object: map[string]any{"spec": spec}}
	u.SetAPIVersion("monitoring.coreos.com/v1")
	u.SetKind(kind)
	u.SetNamespace(Namespace)
	u.SetName(Name)
	u.SetLabels(labels())
	return u
}
