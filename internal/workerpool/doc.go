// Package workerpool is the kind WorkerPool: it looks at the queue and at the
// workers, decides how many are wanted (package scale), and starts, drains and
// removes workers of its fleet until it is so.
//
//	     tick ─▶ look at queue and workers ─▶ decide ─┐
//	change of a worker ─▶ look at workers ────────────┴▶ plan ─▶ start, drain, go on, remove
//
// The life of a worker, as the pool sees it; everything is read from the fleet
// and from the workers' own reports, and nothing of it is kept, so a controller
// that takes over goes on where the last one was:
//
//	Starting ─▶ Ready ──drain──▶ Retiring ──agreed──▶ removed, by its UID
//	              ▲                 │
//	              └──wanted again───┘
//
// The invariant: a worker is removed only after it said that it has nothing in
// hand and receives nothing more, or when it never answered anybody. No answer
// means busy.
package workerpool
