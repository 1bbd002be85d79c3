// Package worker runs inside a pool, or by hand: it pulls messages from a queue,
// has a command or an HTTP server work on each, and settles it by how that ended.
//
//	receive ──▶ read ──▶ Handler ──▶ Done      delete
//	   ▲          │                  Rejected  to the dead-letter queue, delete
//	   │          └─ Invalid ──────▶ NotNow    give back, with the delay asked for
//	 polls        (as Rejected)      Failed    give back, 2^receives seconds
//	                                 Interrupted  give back at once
//	        extend ◀── hand (from its receive until it is settled)
//
// Invariants:
//
//   - No more than Concurrency messages are worked on, and what may come with the
//     receives under way has its room already.
//   - A message is given back only when nothing of its run is left.
//   - A drained worker that has nothing in hand receives nothing more until it is
//     told to: what decides to receive and what drains hold the same lock.
//
// On a FIFO queue the messages of a group that came together run one after
// another, and when one is not done the rest of them goes back unseen.
package worker
