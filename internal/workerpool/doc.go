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
//	Starting, held ──let go──▶ Ready ──drain──▶ Retiring ──agreed──▶ removed, by its UID
//	     │                       ▲                 │
//	     │                       └──wanted again───┘
//	     └─ not wanted ─▶ removed, unasked
//
// The invariant: a worker is removed only after it said that it has nothing in
// hand and receives nothing more, or when nobody ever let it receive. No answer
// means busy. Both are of a moment; that nobody has let the worker go on since,
// another controller say, is for the fleet to make sure (see fleet.Fleet.Remove).
package workerpool
