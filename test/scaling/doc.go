// Package scaling holds the simulator against the real thing: the same arrivals,
// drawn from the same seeds, go through the simulation and through a real
// `queuemill up` with real worker processes, every duration divided by thirty.
//
// simulate.sh are the simulator's inputs and simulated.jsonl what it predicted, which
// was written down before anything ran in real time. `make compare` runs all of it,
// prints how far the two are apart and draws them; a plain `go test` runs one small
// load, which shows that both do the same, and asserts no times.
//
// simulate-pods.sh, simulated-pods.jsonl and `make compare-pods` are the same in pods
// of a real cluster, whose start-up time is measured beforehand.
package scaling
