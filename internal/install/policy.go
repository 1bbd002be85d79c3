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
	p := recordPolicy()
	return []part{
		{"Labels and annotations queuemill.dev/* of Jobs are records: only who may \"run\" queuejobs writes them.\n" +
			"Anybody who may change a Job may set queuemill.dev/retry and queuemill.dev/prune.", p},
		{"", binding(p)},
		{"A pod with the label " + workerLabel + " is a worker, asked with its pool's token: only who may\n" +
			"\"run\" workerpools makes one. The API server asks about no other pods.", workerPolicy()},
		{"", binding(workerPolicy())},
	}
}

func binding(p *admissionv1.ValidatingAdmissionPolicy) *admissionv1.ValidatingAdmissionPolicyBinding {
	return &admissionv1.ValidatingAdmissionPolicyBinding{
		TypeMeta: typeMeta("admissionregistration.k8s.io/v1", "ValidatingAdmissionPolicyBinding"), ObjectMeta: meta("", p.Name),
		Spec: admissionv1.ValidatingAdmissionPolicyBindingSpec{
			PolicyName: p.Name, ValidationActions: []admissionv1.ValidationAction{admissionv1.Deny},
		},
	}
}

// mayRun tells whether who asks may "run" a resource there.
func mayRun(resource string) admissionv1.Variable {
	return admissionv1.Variable{Name: "mayRun", Expression: fmt.Sprintf(
		"authorizer.group('%s').resource('%s').namespace(request.namespace).check('%s').allowed()", Group, resource, VerbRun)}
}

// written are creates and updates of a resource; selector says which, nil: all.
func written(group, resource string, selector *metav1.LabelSelector) *admissionv1.MatchResources {
	return &admissionv1.MatchResources{
		ObjectSelector: selector,
		ResourceRules: []admissionv1.NamedRuleWithOperations{{
			RuleWithOperations: admissionv1.RuleWithOperations{
				Operations: []admissionv1.OperationType{admissionv1.Create, admissionv1.Update},
				Rule: admissionv1.Rule{
					APIGroups: []string{group}, APIVersions: []string{"v1"}, Resources: []string{resource},
					Scope: new(admissionv1.NamespacedScope),
				},
			},
		}},
	}
}

// workerLabel is on the pods of a WorkerPool.
const workerLabel = keyPrefix + "workerpool"

// workerPolicy guards what a worker's pod is known by. An update that leaves the
// keys alone is anybody's; the selector takes the pod before and after it.
func workerPolicy() *admissionv1.ValidatingAdmissionPolicy {
	keys := func(object string) string {
		one := func(what string) string {
			return fmt.Sprintf("%[1]s.metadata.?%[3]s.orValue({}).filter(k, k.startsWith('%[2]s')).map(k, '%[3]s ' + k + '=' + %[1]s.metadata.%[3]s[k])", object, keyPrefix, what)
		}
		return "(" + one("labels") + " + " + one("annotations") + ")"
	}
	return &admissionv1.ValidatingAdmissionPolicy{
		TypeMeta: typeMeta("admissionregistration.k8s.io/v1", "ValidatingAdmissionPolicy"), ObjectMeta: meta("", PolicyWorkers),
		Spec: admissionv1.ValidatingAdmissionPolicySpec{
			FailurePolicy: new(admissionv1.Fail),
			MatchConstraints: written("", "pods", &metav1.LabelSelector{
				MatchExpressions: []metav1.LabelSelectorRequirement{{Key: workerLabel, Operator: metav1.LabelSelectorOpExists}},
			}),
			Variables: []admissionv1.Variable{
				mayRun("workerpools"),
				{Name: "now", Expression: keys("object")},
				{Name: "before", Expression: "request.operation == 'UPDATE' ? " + keys("oldObject") + " : []"},
			},
			Validations: []admissionv1.Validation{{
				Expression: "variables.mayRun || (variables.now.all(k, k in variables.before) && variables.before.all(k, k in variables.now))",
				Message:    "only the Queuemill controller writes the labels and annotations " + keyPrefix + "* of a worker's pod",
				Reason:     new(metav1.StatusReasonForbidden),
			}},
		},
	}
}

// recordPolicy guards the keys of Jobs and of their pods' template.
func recordPolicy() *admissionv1.ValidatingAdmissionPolicy {
	p := &admissionv1.ValidatingAdmissionPolicy{
		TypeMeta: typeMeta("admissionregistration.k8s.io/v1", "ValidatingAdmissionPolicy"), ObjectMeta: meta("", Policy),
		Spec: admissionv1.ValidatingAdmissionPolicySpec{
			FailurePolicy:    new(admissionv1.Fail),
			MatchConstraints: written("batch", "jobs", nil),
			Variables:        []admissionv1.Variable{mayRun("queuejobs")},
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
	return p
}
