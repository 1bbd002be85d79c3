// Package queuejob turns the messages of one queue into jobs: it receives,
// creates, settles, leases, retries and retains, a file each.
//
//	queue ──receive──▶ read ──▶ create ──▶ ack                     receive.go, create.go
//	  ▲                                │
//	  └──delete / give back──◀── settle ◀── finished ◀── watch     settle.go, watch.go
//	        extend ◀── lease                                       lease.go
//
// Its invariant: every message ends in exactly one record, and an attempt of it
// is started once, whatever crashes and however often the queue delivers.
// Nothing here is needed for that but the queue and the executor's records:
// what a Runner holds in memory is derived from them, and after a crash the
// same steps lead to the same names.
//
//   - Receive never waits on a job, and settling never creates one.
//   - Room is maxActive less the names that are unfinished as listed and watched,
//     or in hand. A name is in hand from the receive until the watch has shown
//     what was created. An S3 event of several records is one message until it is
//     read: it may go over by its further records.
//   - A message is deleted when its records are durable (OnCreate) or have
//     succeeded (OnSuccess), and a record is removed only when the deduplication
//     window has passed since it finished and since that delete was confirmed: a
//     receive that crosses the delete finds the record. Only the record of a
//     failed job under OnSuccess, whose message is to be tried again anyway, goes
//     with its message when a person wants it gone.
//   - An error that is not the message's fault keeps the message in hand.
//   - Nothing is created for a message that is not known to be held: so even two
//     Runners that both believe they lead start nothing twice, as long as the
//     deduplication window is longer than a message's visibility timeout.
//
// A message's way through the hand and its lease, under both modes of ack:
//
//	received ─▶ in hand ─┬─ created ─▶ OnCreate:  delete until confirmed ─▶ done
//	               │     │            OnSuccess: leased ─┬─ succeeded ─▶ delete until confirmed
//	               │     │                 ▲             ├─ failed ────▶ given back with backoff
//	               │     │                 │ adopted     └─ lost ──────▶ its redelivery …
//	               │     ├─ exists ────────┴─ or acknowledged, see create.go
//	               │     └─ is being deleted ─▶ given back with backoff
//	               └─ executor unavailable: extended and tried again
package queuejob
