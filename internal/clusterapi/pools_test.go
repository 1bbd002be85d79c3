package clusterapi

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/queuemill/queuemill/api/v1alpha1"
)

func TestAPoolsTroubleIsWhatAPersonCanMend(t *testing.T) {
	yes, no := metav1.ConditionTrue, metav1.ConditionFalse
	for name, row := range map[string]struct {
		conditions []metav1.Condition
		suspend    bool
		want       string
	}{
		"well":    {[]metav1.Condition{{Type: "Ready", Status: yes}, {Type: "TargetOwned", Status: yes}}, false, ""},
		"refused": {[]metav1.Condition{{Type: "Ready", Status: no, Reason: "AlsoScaled", Message: "an HPA"}, {Type: "TargetOwned", Status: no, Message: "an HPA"}}, false, "an HPA"},
		"told":    {[]metav1.Condition{{Type: "Ready", Status: yes}, {Type: "TargetOwned", Status: no, Message: "helm writes it too"}}, false, "helm writes it too"},
		"handed over": {
			[]metav1.Condition{{Type: "Ready", Status: no, Reason: "Suspended"}, {Type: "TargetOwned", Status: no, Message: "an HPA"}}, true, "",
		},
	} {
		t.Run(name, func(t *testing.T) {
			wp := &v1alpha1.WorkerPool{}
			wp.Spec.Queue.SQS, wp.Spec.Suspend = &v1alpha1.SQSSource{Name: "q"}, row.suspend
			wp.Spec.ScaleTargetRef, wp.Status.Conditions = &v1alpha1.ScaleTargetRef{Name: "web"}, row.conditions
			if got := PoolView(wp).Trouble; got != row.want {
				t.Errorf("trouble %q, want %q", got, row.want)
			}
		})
	}
}
