// Package process runs a pool's workers as processes of this machine, each in a
// session of its own: they outlive the controller that started them, go on with
// what they have in hand, and the next controller finds them again.
//
// What a pool's directory holds for a worker named thumbnails-x7k2p:
//
//	thumbnails-x7k2p.json   its record: process, token, what it was started from
//	x7k2p.sock              where it is controlled; elsewhere when the path is too long
//	thumbnails-x7k2p.tmp    the files of its messages, as long as it lives
//	thumbnails-x7k2p.log    its output and that of its commands; .log.1 is what was before
//
// A record stands before its worker is started and goes after its end, so no
// worker is without one:
//
//	write record ─▶ fork ─▶ write its pid ─▶ … ─▶ worker ends ─▶ remove record
//
// A controller that was killed after the fork is not missed: the pid is found by
// the worker's ID in its environment. A worker that is not found at all leaves
// by itself when it is idle and nobody asks it.
//
// The invariant: a signal goes to a process only when it is the very one that
// was started, by pid and the time it was born, and an answer counts only with
// the worker's own ID.
package process
