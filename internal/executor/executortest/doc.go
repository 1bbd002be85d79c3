// Package executortest holds what every executor is measured by, and an
// executor in memory for the tests of whoever uses one.
//
// Run is the conformance suite: each provider's test calls it with a Harness,
// and so does the test of Fake, so that what passes with Fake passes with the
// real ones.
package executortest
