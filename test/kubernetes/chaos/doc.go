// Package chaos holds no code of the product: its tests run the real
// `queuemill controller` on a real control plane, take away what it stands on
// (itself, its leadership, the API server, the queue's deletes) and account
// from outside for every message and every Job that ever was.
//
//	go test -race ./test/kubernetes/chaos -run ExactlyOnce -messages 3000 -kills 100 -seed 42 -v
//
// The control plane has no nodes: test/cluster/fakekubelet lets pods start and
// end, and says when. What needs containers is in test/kubernetes/e2e.
package chaos
