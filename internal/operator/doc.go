// Package operator serves QueueJobs of a cluster: it follows the custom
// resources, runs a queuejob.Runner for each while this process leads, and says
// in their status how they do.
//
//	QueueJobs ──watch──▶ reconcile ──▶ running ─┬─ work    opens the queue, runs the Runner
//	allow-list ─────────────▲                   ├─ check   dry-runs the template
//	lease ──▶ leads ────────┘                   ├─ inspect asks the queue for its settings
//	                                            └─ report  writes the status, folds events
//
// Its invariants: a queue that the allow-list does not name for the namespace
// is never asked anything, not even where it is; a Runner runs only between the
// start and the end of a leadership; nothing is kept here that is not derived
// from the QueueJobs, the Jobs and the queues. Followers keep their caches warm
// and do nothing.
//
// What becomes of one QueueJob while this process leads:
//
//	seen ─┬─ spec can't be followed ─▶ refused: Ready=False says why; a Runner that runs is held back
//	      ├─ not allowed ───────────▶ refused; a Runner that runs is stopped and gives back what it holds
//	      └─ finalizer set ─▶ running ─┬─ edited ─▶ Runner follows; another queue: it drains, then another one starts
//	                                   └─ deleted ─▶ stopped, gives back ─▶ Jobs orphaned or deleted ─▶ finalizer removed
package operator
