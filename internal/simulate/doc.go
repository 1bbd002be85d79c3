// Package simulate tells what a policy would do to a load: discrete events in
// virtual time, over the very Decide that a pool calls.
//
//	arrivals ──▶ waiting ──▶ slot of a ready worker ──▶ finished
//	                │              ▲
//	             sample ──▶ scale.Decide ──▶ start (ready after StartUp), retire
//
// Its invariant: the same load and the same options give the same result, to the
// last digit, and every message that arrives is finished once.
package simulate
