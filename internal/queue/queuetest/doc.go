// Package queuetest holds what tests of queues and of their users share: Run,
// the conformance suite that every provider passes, and Fake, a queue in memory
// that passes it too and misbehaves on demand.
package queuetest
