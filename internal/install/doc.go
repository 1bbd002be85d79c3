// Package install holds what is applied to a cluster to run Queuemill there, as
// typed objects, and renders them to the files in deploy/kubernetes.
//
// Its invariant: those files say what this source says. Nobody edits them by
// hand, a test fails when they are stale, and what else speaks about rights
// (`queuemill doctor`, the audit of least rights) reads the same values.
//
// Two ways to install:
//
//	install.yaml             one controller for all namespaces; which queues a
//	                         namespace may read is allowed line by line
//	cluster-scoped.yaml  ┐   the first once by an administrator, the second in
//	install-namespaced.yaml  any namespace by its owner, whose controller sees
//	                         that namespace alone and needs no list
package install

//go:generate go run ./generate -out ../../deploy/kubernetes

// MinimumKubernetes is the oldest version ("major.minor") of an API server that
// Queuemill runs on: the first where spec.managedBy of a Job is on by default.
// Before it the field is dropped in silence, and the Job of an Invalid message,
// which nobody may run, would be run. docs/KUBERNETES.md has the whole table.
const MinimumKubernetes = "1.32"

// Names of what is installed.
const (
	// Name is that of the Deployment, the ServiceAccount, the roles and the
	// leader's Lease.
	Name = "queuemill-controller"

	// Namespace is the one of the cluster-wide install.
	Namespace = "queuemill-system"

	// NamespacedNamespace stands in install-namespaced.yaml for the namespace
	// whose owner applies it.
	NamespacedNamespace = "queuemill"

	// ConfigMap has the allow-list, under ConfigKey. It is not part of the
	// install, so that installing anew never takes it back.
	ConfigMap = "queuemill-config"
	ConfigKey = "config.yaml"

	// RoleView, RoleEdit and RoleOwner are the ClusterRoles of people; they are
	// aggregated into the cluster's own view, edit and admin.
	RoleView  = "queuemill-view"
	RoleEdit  = "queuemill-edit"
	RoleOwner = "queuemill-owner"

	// Policy and PolicyWorkers are the ValidatingAdmissionPolicies and their
	// bindings: what records are known by, and what workers' pods are.
	Policy        = "queuemill-keys"
	PolicyWorkers = "queuemill-workers"
)

// DefaultImage is the image of the files in deploy/kubernetes.
const DefaultImage = "queuemill/queuemill:dev"

// metricsPort serves metrics and probes.
const metricsPort = 8080
