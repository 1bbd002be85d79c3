// Package doctor looks at an installation for what will not work, and says of
// each thing it looked at whether it is well and what to do when it is not.
//
// Its invariant: it changes nothing, and a check that can't be made says why
// instead of passing. Queues are asked only when the caller wants them asked:
// that takes the caller's own credentials, and the controller has others.
package doctor
