// Package embedded is a durable message queue inside the process, with the
// semantics, limits and errors of Amazon SQS. It knows no wire format: package
// sqsserver puts it on the network, and Queue.AsQueue hands it to the rest of
// Queuemill.
//
// A Broker has queues, a Queue has messages. A message's bytes are in the store;
// in memory is only its slot in the queue's index (72 bytes without a pointer).
// A message's life:
//
//	          Send ─▶ pending ─ on disk ─┬─▶ delayed ─┐ delay over
//	                                     ▼            ▼
//	        ┌──────────────────────────▶ ready ◀──────┘
//	        │ visibility over,             │ Receive
//	        │ or set to 0                  ▼
//	        └────────────────────────── in flight
//	ready, in flight ─ Delete, retention over, moved to the dead-letter queue ─▶ leaving ─ on disk ─▶ gone
//
// Invariants. What Send or Delete answered is on disk. The index never shows a
// message that is not on disk, nor hides one that is. While an operation writes
// a message's record the message is busy: no other one writes it, so records on
// disk follow each other in the order in which the index changed. No lock is
// held while the store reads or syncs.
//
// Time is the broker's own monotonic clock; wall time is stored so that a
// restart can carry on, and shown to clients, and decides nothing else.
package embedded
