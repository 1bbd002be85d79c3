// Package fleet is the seam between a worker pool and where its workers run:
// processes of this machine, pods that the pool owns. Package fleettest holds the
// conformance suite every provider passes.
//
// Its invariant: a worker is removed only after it agreed to have nothing in hand
// and to receive nothing more, and then by the UID that agreed. No answer means
// busy.
package fleet
