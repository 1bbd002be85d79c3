package install

import rbacv1 "k8s.io/api/rbac/v1"

// Group is the API group of the kinds.
const Group = "queuemill.dev"

// VerbRun on queuejobs is the right to write queuemill.dev keys on Jobs, and on
// workerpools to make workers' pods. No request has this verb: the
// ValidatingAdmissionPolicies ask for it.
const VerbRun = "run"

// ControllerRules are the controller's rights in each namespace it serves. No
// right lists or watches Secrets: the controller reads those alone whose names
// it knows, since it gave them.
func ControllerRules() []rbacv1.PolicyRule {
	return []rbacv1.PolicyRule{
		rule(Group, "queuejobs", "list", "watch", "patch", VerbRun),
		rule(Group, "queuejobs/status", "patch"),
		rule(Group, "workerpools", "list", "watch", "patch", VerbRun),
		rule(Group, "workerpools/status", "patch"),
		rule("batch", "jobs", "create", "delete", "get", "list", "patch", "watch"),
		rule("", "pods", "create", "delete", "get", "list", "patch", "watch"),
		rule("", "pods/log", "get"),
		rule("", "secrets", "create", "delete", "get", "patch"),
		rule("", "events", "list"),
		rule("events.k8s.io", "events", "create", "patch"),
		// Of a WorkerPool with a scaleTargetRef; the lists find who else scales it.
		rule("apps", "deployments", "get"),
		rule("apps", "deployments/scale", "update"),
		rule("autoscaling", "horizontalpodautoscalers", "list"),
		rule("keda.sh", "scaledobjects", "list"),
	}
}

// LeaderRules are the controller's rights in its own namespace: the Lease that
// says which replica leads. A create can't be bound to a name.
func LeaderRules() []rbacv1.PolicyRule {
	own := rule("coordination.k8s.io", "leases", "get", "update")
	own.ResourceNames = []string{Name}
	return []rbacv1.PolicyRule{rule("coordination.k8s.io", "leases", "create"), own}
}

// ViewRules are what a person needs to look: the verbs jobs, describe, logs and
// status.
func ViewRules() []rbacv1.PolicyRule {
	return []rbacv1.PolicyRule{
		rule(Group, "queuejobs", "get", "list", "watch"),
		rule(Group, "workerpools", "get", "list", "watch"),
		rule("batch", "jobs", "get", "list", "watch"),
		rule("", "pods", "get", "list", "watch"),
		rule("", "pods/log", "get"),
		rule("", "events", "get", "list", "watch"),
	}
}

// EditRules are what a person needs besides ViewRules to write QueueJobs and
// WorkerPools, and for retry, prune, delete, suspend and resume.
func EditRules() []rbacv1.PolicyRule {
	return []rbacv1.PolicyRule{
		rule(Group, "queuejobs", "create", "delete", "deletecollection", "patch", "update"),
		rule(Group, "workerpools", "create", "delete", "deletecollection", "patch", "update"),
		rule("batch", "jobs", "delete", "patch"),
	}
}

// OwnerRules are what the owner of a namespace needs besides the cluster's own
// admin to give a controller of that namespace ControllerRules: nobody may
// grant what they do not hold.
func OwnerRules() []rbacv1.PolicyRule {
	return []rbacv1.PolicyRule{
		rule(Group, "queuejobs", VerbRun),
		rule(Group, "queuejobs/status", "patch"),
		rule(Group, "workerpools", VerbRun),
		rule(Group, "workerpools/status", "patch"),
		rule("events.k8s.io", "events", "create", "patch"),
		rule("keda.sh", "scaledobjects", "list"),
	}
}

func rule(group, resource string, verbs ...string) rbacv1.PolicyRule {
	return rbacv1.PolicyRule{APIGroups: []string{group}, Resources: []string{resource}, Verbs: verbs}
}
