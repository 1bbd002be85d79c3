// Package pools shows what a WorkerPool promises in a cluster: the shipped image
// under the shipped manifests on real nodes, workers in containers of an image
// that has nothing of ours, and a log outside of them, on a volume, in which each
// message's work begins and ends.
package pools
