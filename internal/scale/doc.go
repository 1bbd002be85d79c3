// Package scale decides how many workers a backlog wants. It is pure: Decide
// knows no clock, no queue and no cluster, so that a pool, the simulator and the
// tests call the very same.
//
//	sample ──▶ read ──▶ wish ───────────────▶ move ─────────────▶ Decision, State
//	           │        backlogPerWorker,     min and max,
//	           │        steps or              cooldowns, idleAfter,
//	           │        targetWait            maxScaleIn, busy
//	           without impossible counts
//
// What holds a number, and what lets it go:
//
//	            wants more, cooldown over or none there
//	  ┌────────────────────────────────────────────────▶ more, LastOut = now
//	there ── wants more or fewer too soon ──▶ held ── NextChange ──┐
//	  ▲                                                            │
//	  └────────────────────────────────────────────────────────────┘
//	  ├── wants fewer, cooldown over ──▶ fewer, not below the busy, LastIn = now
//	  └── wants none ──▶ one, until idle for IdleAfter ──▶ none
//
// Its invariants: the number wanted is within min and max, and never less than
// the busy workers while they are counted in; a larger backlog never wants
// fewer; a constant load comes to rest.
package scale
