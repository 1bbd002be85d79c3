package scale

import "time"

// Sample is one look at the queue and the workers.
type Sample struct {
	At time.Time // by one clock, monotonic; only differences count

	// The queue's counts of messages; approximate on SQS.
	Visible, InFlight, Delayed int

	// OldestAge is how long the oldest visible message waits; 0: unknown or none.
	OldestAge time.Duration

	Workers int // that receive, or will once they have started; not the retiring
	Busy    int // of Workers, those with a message in hand, or that don't answer

	// Service is the measured mean time one message takes; 0: unknown.
	Service time.Duration

	// Done is how many messages the pool's workers have finished since anything
	// is counted, whatever became of them; it never decreases but for a restart.
	Done int64
}

// State is what Decide remembers from one sample to the next. The zero State is
// that of a pool that was never looked at. Desired, LastOut, LastIn and IdleSince
// may be restored after a restart.
type State struct {
	Desired   int
	LastOut   time.Time // of the last scale-out; zero: none
	LastIn    time.Time // of the last scale-in; zero: none
	IdleSince time.Time // since when nothing is visible, delayed or in flight; zero: something is
	Decided   bool      // Desired is a decision, not a beginning
}

// Decision is how many workers are wanted, and why.
type Decision struct {
	Desired int
	// Wanted is what the policy alone says, before cooldowns and limits hold it.
	Wanted int
	// Reason is in words, for people.
	Reason string
	// Code is the same as one of a closed set, for metrics.
	Code Code
	// NextChange is when what holds it now lets go; zero: nothing holds it.
	NextChange time.Time
}

// Code is why Desired is what it is.
type Code string
