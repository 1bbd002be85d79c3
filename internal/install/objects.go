package install

import (
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// part is one object of a file, under a comment of one or more lines.
type part struct {
	comment string
	object  client.Object
}

// clusterWide is install.yaml without the CRDs.
func clusterWide(image string) []part {
	account := serviceAccount(Namespace)
	parts := []part{
		{"The controller's namespace. Its pods are held to the restricted Pod Security Standard.", namespace()},
		{"Queues on AWS: IRSA wants eks.amazonaws.com/role-arn here; EKS Pod Identity nothing.", account},
		{"What the controller may do in every namespace. No list and no watch of Secrets.", clusterRole(Name, nil, ControllerRules())},
		{"", &rbacv1.ClusterRoleBinding{
			TypeMeta: typeMeta("rbac.authorization.k8s.io/v1", "ClusterRoleBinding"), ObjectMeta: meta("", Name),
			RoleRef: roleRef("ClusterRole"), Subjects: subjects(account),
		}},
		{"Which replica leads.", role(Namespace, LeaderRules())},
		{"", roleBinding(account)},
	}
	parts = append(parts, people()...)
	parts = append(parts, policy()...)
	return append(parts, workload(Namespace, image, []string{
		"controller", "--config", configDir + "/" + ConfigKey, "--leader-elect", "--listen", ":8080", "--worker-image", image,
	})...)
}

// prerequisites is cluster-scoped.yaml without the CRDs.
func prerequisites() []part {
	parts := people()
	parts = append(parts, part{
		"The owner of a namespace (admin there) may hand a controller of that namespace the rights it needs.",
		clusterRole(RoleOwner, map[string]string{"rbac.authorization.k8s.io/aggregate-to-admin": "true"}, OwnerRules()),
	})
	return append(parts, policy()...)
}

// namespaced is install-namespaced.yaml: nothing in it is cluster-scoped.
func namespaced(image string) []part {
	account := serviceAccount(NamespacedNamespace)
	parts := []part{
		{"Queues on AWS: IRSA wants eks.amazonaws.com/role-arn here; EKS Pod Identity nothing.", account},
		{
			"What the controller may do in this namespace, and nowhere else. No list and no watch of Secrets.",
			role(NamespacedNamespace, append(ControllerRules(), LeaderRules()...)),
		},
		{"", roleBinding(account)},
	}
	return append(parts, workload(NamespacedNamespace, image, []string{
		"controller", "--namespace", "$(POD_NAMESPACE)", "--leader-elect", "--listen", ":8080", "--worker-image", image,
	})...)
}

// people are the roles for those who work with QueueJobs.
func people() []part {
	return []part{
		{
			"Whoever has view, edit or admin of a namespace has these there too.",
			clusterRole(RoleView, map[string]string{"rbac.authorization.k8s.io/aggregate-to-view": "true"}, ViewRules()),
		},
		{"", clusterRole(RoleEdit, map[string]string{"rbac.authorization.k8s.io/aggregate-to-edit": "true"}, EditRules())},
	}
}

func namespace() *corev1.Namespace {
	n := &corev1.Namespace{TypeMeta: typeMeta("v1", "Namespace"), ObjectMeta: meta("", Namespace)}
	n.Labels["pod-security.kubernetes.io/enforce"] = "restricted"
	return n
}

func serviceAccount(namespace string) *corev1.ServiceAccount {
	return &corev1.ServiceAccount{TypeMeta: typeMeta("v1", "ServiceAccount"), ObjectMeta: meta(namespace, Name)}
}

func clusterRole(name string, labels map[string]string, rules []rbacv1.PolicyRule) *rbacv1.ClusterRole {
	r := &rbacv1.ClusterRole{
		TypeMeta: typeMeta("rbac.authorization.k8s.io/v1", "ClusterRole"), ObjectMeta: meta("", name), Rules: rules,
	}
	for key, value := range labels {
		r.Labels[key] = value
	}
	return r
}

func role(namespace string, rules []rbacv1.PolicyRule) *rbacv1.Role {
	return &rbacv1.Role{
		TypeMeta: typeMeta("rbac.authorization.k8s.io/v1", "Role"), ObjectMeta: meta(namespace, Name), Rules: rules,
	}
}

func roleBinding(account *corev1.ServiceAccount) *rbacv1.RoleBinding {
	return &rbacv1.RoleBinding{
		TypeMeta: typeMeta("rbac.authorization.k8s.io/v1", "RoleBinding"), ObjectMeta: meta(account.Namespace, Name),
		RoleRef: roleRef("Role"), Subjects: subjects(account),
	}
}

func roleRef(kind string) rbacv1.RoleRef {
	return rbacv1.RoleRef{APIGroup: "rbac.authorization.k8s.io", Kind: kind, Name: Name}
}

func subjects(account *corev1.ServiceAccount) []rbacv1.Subject {
	return []rbacv1.Subject{{Kind: "ServiceAccount", Namespace: account.Namespace, Name: account.Name}}
}

func typeMeta(apiVersion, kind string) metav1.TypeMeta {
	return metav1.TypeMeta{APIVersion: apiVersion, Kind: kind}
}

func meta(namespace, name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: labels()}
}

// labels are on every object; those of the pods are also the selector, so they
// never change.
func labels() map[string]string {
	return map[string]string{"app.kubernetes.io/name": "queuemill", "app.kubernetes.io/component": "controller"}
}
