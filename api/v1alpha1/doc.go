// +kubebuilder:object:generate=true
// +groupName=queuemill.dev

// Package v1alpha1 holds the kinds of queuemill.dev/v1alpha1: types, defaults
// and validation, no behaviour. The same types are the YAML file on a laptop
// and the custom resource in a cluster.
package v1alpha1

//go:generate go tool -modfile=../../tools/controller-gen/go.mod controller-gen object crd paths=. output:crd:dir=../../deploy/kubernetes/crds

// APIVersion is the apiVersion of every manifest of this package.
const APIVersion = "queuemill.dev/v1alpha1"

// The kinds of this package.
const (
	KindQueueJob   = "QueueJob"
	KindWorkerPool = "WorkerPool"
)
