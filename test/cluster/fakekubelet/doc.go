// Package fakekubelet stands in for the kubelets of a control plane that has no
// nodes: it lets pods "run" by writing their status as a kubelet would, so that
// the real Job controller sees Jobs start, succeed and fail within
// milliseconds. It starts no container; what is claimed about containers is
// shown on real nodes.
//
// Besides, it is a witness: what it says of starts and ends depends on nothing
// that the code under test writes.
package fakekubelet
