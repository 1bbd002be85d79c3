package install

// poolAlerts are those of WorkerPools. Each compares gauges of the replica that
// leads; a short life is counted by whoever leads at that moment.
func poolAlerts() []alert {
	return []alert{
		{
			name: "QueuemillPoolBacklog", page: "pool-backlog", severity: "warning", lasting: "15m",
			expr: `
max by (namespace, workerpool) (queuemill_pool_queue_messages{state="visible"}) > 0
and max by (namespace, workerpool) (queuemill_pool_queue_messages{state="visible"})
  >= max by (namespace, workerpool) (queuemill_pool_queue_messages{state="visible"} offset 15m)
and max by (namespace, workerpool) (queuemill_pool_desired)
  >= max by (namespace, workerpool) (queuemill_pool_max_workers)`,
			summary:     "The backlog of WorkerPool {{ $labels.namespace }}/{{ $labels.workerpool }} does not shrink at maxWorkers",
			description: "{{ $value }} messages wait, no fewer than a quarter of an hour ago, and no more workers are allowed.",
		},
		{
			name: "QueuemillPoolWorkersMissing", page: "pool-workers-missing", severity: "critical", lasting: "15m",
			expr: `
max by (namespace, workerpool) (queuemill_pool_desired)
  > max by (namespace, workerpool) (queuemill_pool_workers{state="ready"})
and max by (namespace, workerpool) (queuemill_pool_max_workers)
  > max by (namespace, workerpool) (queuemill_pool_workers{state="ready"})`,
			summary:     "WorkerPool {{ $labels.namespace }}/{{ $labels.workerpool }} can't start its workers",
			description: "{{ $value }} workers are wanted, and fewer have been ready for a quarter of an hour.",
		},
		{
			name: "QueuemillPoolWorkersShortLived", page: "pool-workers-short-lived", severity: "warning", lasting: "1m",
			expr:        `sum by (namespace, workerpool) (increase(queuemill_pool_events_total{reason="ShortLived"}[15m])) >= 3`,
			summary:     "Workers of WorkerPool {{ $labels.namespace }}/{{ $labels.workerpool }} end right after their start",
			description: "It happened {{ $value | humanize }} times within a quarter of an hour.",
		},
		{
			name: "QueuemillPoolWorkersSilent", page: "pool-workers-silent", severity: "warning", lasting: "5m",
			expr:        `max by (namespace, workerpool) (queuemill_pool_workers{state="unknown"}) > 0`,
			summary:     "Workers of WorkerPool {{ $labels.namespace }}/{{ $labels.workerpool }} do not answer the controller",
			description: "{{ $value }} workers can't be asked. They count as busy, so none of them is ever retired.",
		},
		{
			name: "QueuemillPoolSourceUnhealthy", page: "pool-source-unhealthy", severity: "critical", lasting: "5m",
			expr:        `max by (namespace, workerpool) (queuemill_pool_source_healthy) == 0`,
			summary:     "The queue of WorkerPool {{ $labels.namespace }}/{{ $labels.workerpool }} does not tell its numbers",
			description: "The queue can't be reached or refuses. The number of workers stays as it is.",
		},
	}
}
