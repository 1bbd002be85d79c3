// Package worker looks at `queuemill worker` from outside: the real binary, on a
// real SQS endpoint, with commands that write into a log of their own when they
// start and end.
package worker
