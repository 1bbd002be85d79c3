// Package app puts the parts together. Up is the whole of Queuemill in one
// process:
//
//	store ─▶ embedded queue ─▶ SQS endpoint
//	  │            ▼
//	  └─▶ process executor ◀─ one Runner per QueueJob ◀─ manifests, followed
//	               ▲              ▲
//	               └── HTTP API ──┘
//
// They are stopped in the opposite order, and the store is closed last: a part
// never outlives what it stands on.
package app
