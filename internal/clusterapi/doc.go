// Package clusterapi is the HTTP API's backend over a Kubernetes API, so that
// the verbs of the command line, which speak that API, do the same on a cluster
// as beside a controller on a laptop. It runs in the command line's own
// process, with the rights of the person who called it.
//
// Its invariant: it decides nothing that is the controller's to decide. What a
// person asks for is written where the controller sees it (spec.suspend, the
// annotations for retry and prune), and is true for the next reader at once;
// only delete, which is the person's own right on Jobs, is done here, by UID.
//
// Nothing is kept between two requests but connections: every answer is what
// the API server says at that moment. Watches alone hold informers, for as long
// as they last.
package clusterapi
