// Package pools shows what a WorkerPool promises in a cluster: the shipped
// controller against a real API server, and for each pod the shipped worker as a
// process, with the command line, the token and the address that the pod gives
// it. What containers add to that is shown on real nodes.
package pools
