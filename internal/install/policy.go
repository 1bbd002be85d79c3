package install

import (
	"fmt"
	"strings"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// keyPrefix is that of the labels and annotations of a Job that are its record.
const keyPrefix = Group + "/"

// openKeys are the annotations of a Job by which a person asks for something.
const openKeys = `['queuemill.dev/retry', 'queuemill.dev/prune']`

// policy lets nobody but who may run QueueJobs write queuemill.dev keys on Jobs,
// retry and prune aside. Who may is a right (VerbRun) and no user's name: so one
// policy serves the cluster-wide controller, those of single namespaces, and a
// person who runs one from outside.
func policy() []part {
	p := &admissionv1.ValidatingAdmissionPolicy{
		TypeMeta: typeMeta("admissionregistration.k8s.io/v1", "ValidatingAdmissionPolicy"), ObjectMeta: meta("", Policy),
		Spec: admissionv1.ValidatingAdmissionPolicySpec{
			FailurePolicy: new(admissionv1.Fail),
			MatchConstraints: &admissionv1.MatchResources{
				ResourceRules: []admissionv1.NamedRuleWithOperations{{
					RuleWithOperations: admissionv1.RuleWithOperations{
						Operations: []admissionv1.OperationType{admissionv1.Create, admissionv1.Update},
						Rule: admissionv1.Rule{
							APIGroups: []string{"batch"}, APIVersions: []string{"v1"}, Resources: []string{"jobs"},
							Scope: new(admissionv1.NamespacedScope),
						},
					},
				}},
			},
			Variables: []admissionv1.Variable{
				{Name: "mayRun", Expression: fmt.Sprintf(
					"authorizer.group('%s').resource('queuejobs').namespace(request.namespace).check('%s').allowed()", Group, VerbRun)},
			},
		},
	}
	var changed []string
	for _, keys := range []struct{ name, path string }{
		{"labels", "metadata.?labels"},
		{"annotations", "metadata.?annotations"},
		{"podLabels", "spec.template.?metadata.?labels"},
		{"podAnnotations", "spec.template.?metadata.?annotations"},
	} {
		guarded := fmt.Sprintf("k.startsWith('%s')", keyPrefix)
		if keys.name == "annotations" {
			guarded += " && !(k in " + openKeys + ")"
		}
		now, before := "variables."+keys.name, "variables."+keys.name+"Before"
		p.Spec.Variables = append(p.Spec.Variables,
			admissionv1.Variable{Name: keys.name, Expression: "object." + keys.path + ".orValue({})"},
			admissionv1.Variable{Name: keys.name + "Before", Expression: "request.operation == 'UPDATE' ? oldObject." + keys.path + ".orValue({}) : {}"},
			admissionv1.Variable{Name: keys.name + "Changed", Expression: fmt.Sprintf(
				"%[1]s.filter(k, %[3]s && !(k in %[2]s && %[2]s[k] == %[1]s[k])) + %[2]s.filter(k, %[3]s && !(k in %[1]s))",
				now, before, guarded)},
		)
		changed = append(changed, now+"Changed")
	}
	p.Spec.Variables = append(p.Spec.Variables, admissionv1.Variable{Name: "changed", Expression: strings.Join(changed, " + ")})
	p.Spec.Validations = []admissionv1.Validation{{
		Expression: "size(variables.changed) == 0 || variables.mayRun",
		MessageExpression: "'only the Queuemill controller writes ' + variables.changed.join(', ') + ' of a Job; " +
			"what a person may set is the annotation " + keyPrefix + "retry or " + keyPrefix + "prune'",
		Reason: new(metav1.StatusReasonForbidden),
	}}
	return []part{
		{"Labels and annotations queuemill.dev/* of Jobs are records: only who may \"run\" queuejobs writes them.\n" +
			"Anybody who may change a Job may set queuemill.dev/retry and queuemill.dev/prune.", p},
		{"", &admissionv1.ValidatingAdmissionPolicyBinding{
			TypeMeta: typeMeta("admissionregistration.k8s.io/v1", "ValidatingAdmissionPolicyBinding"), ObjectMeta: meta("", Policy),
			Spec: admissionv1.ValidatingAdmissionPolicyBindingSpec{
				PolicyName: Policy, ValidationActions: []admissionv1.ValidationAction{admissionv1.Deny},
			},
		}},
	}
}
