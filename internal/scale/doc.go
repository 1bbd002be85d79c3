// Package scale decides how many workers a backlog wants. It is pure: Decide
// knows no clock, no queue and no cluster, so that a pool, the simulator and the
// tests call the very same.
//
// Its invariants: the number wanted is within min and max, and never less than
// the busy workers while they are counted in; a larger backlog never wants
// fewer; a constant load comes to rest.
package scale
