// Package flags is the command line of `queuemill worker`: written by the fleet
// that starts a worker, read by the command line. What one writes the other
// reads: Register is Args' inverse.
package flags
