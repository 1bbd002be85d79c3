// Package cluster is a real Kubernetes on this machine, for tests and for a
// person (make cluster-up): etcd, kube-apiserver with RBAC and
// kube-controller-manager, and with nodes kube-scheduler, kubelet and
// containerd too. Nothing in it is simulated.
//
// The binaries are KUBEBUILDER_ASSETS' where it has them all, else built once
// from the modules under modules/ and kept in the user's cache folder by
// version.
//
// Its invariant: nothing is left. A cluster's processes end with Stop, and with
// the process that started it however that ends; its folder goes as well.
package cluster
