// Package control is what a worker and whoever controls it say to each other:
// HTTP with JSON, on a Unix socket or inside a cluster.
//
//	GET  /v1/worker        a fleet.Report
//	POST /v1/worker/drain  {"drain": true|false}; a fleet.Report
//	GET  /healthz          200, or 503 with what is stuck or not there yet
//	GET  /metrics
//
// The first two want the worker's token (Authorization: Bearer TOKEN); without
// one they answer nobody.
//
// The invariant: a report that says Agreed was made after the worker's last
// receive had come back, and it receives nothing until it is told to go on.
package control
