package scale

import "time"

// Sample is one look at the queue and the workers.
type Sample struct {
	At time.Time // by one clock, monotonic; only differences count; not the zero time

	// The queue's counts of messages; approximate on SQS.
	Visible, InFlight, Delayed int

	// OldestAge is how long the oldest visible message waits; 0: unknown or none.
	OldestAge time.Duration

	Workers  int // that receive, or will once they have started; not the retiring
	Starting int // of Workers, those that have been started and are not ready yet
	Busy     int // of Workers, those with a message in hand, or that don't answer
	Silent   int // of Busy, those that don't answer: the queue alone counts what they have

	// Service is the measured mean time one message takes; 0: unknown.
	Service time.Duration

	// Done is how many messages the pool's workers have finished since anything
	// is counted, whatever became of them; it never decreases but for a restart.
	Done int64
}

// State is what Decide remembers from one sample to the next. The zero State is
// that of a pool that was never looked at. Desired, LastOut, LastIn and IdleSince
// may be restored after a restart, with Decided set; the rest is found anew.
type State struct {
	Desired   int
	LastOut   time.Time // of the last scale-out; zero: none
	LastIn    time.Time // of the last scale-in; zero: none
	IdleSince time.Time // since when nothing is visible, delayed or in flight; zero: something is
	Decided   bool      // Desired is a decision, not a beginning

	// Needed is when the policy last wanted as many as there are, or more; zero:
	// not seen yet. A scale-in waits for the cooldown since then, too.
	Needed time.Time

	// Arrivals is what TargetWait remembers of the samples before.
	Arrivals Arrivals
}

// Decision is how many workers are wanted, and why.
type Decision struct {
	// Desired is within Min and Max, or the busy workers where they are more. A
	// pool that retires its own workers without ending them may retire down to
	// Max all the same.
	Desired int
	// Wanted is what the policy alone says, before cooldowns and limits hold it.
	Wanted int
	// Reason is in words, for people.
	Reason string
	// Code is the same as one of a closed set, for metrics.
	Code Code
	// NextChange is when what holds it now lets go; zero: nothing that ends by
	// the clock holds it.
	NextChange time.Time
}
