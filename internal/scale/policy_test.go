package scale

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/queuemill/queuemill/api/v1alpha1"
)

func TestFromSpecMeansTheDefaults(t *testing.T) {
	got, err := FromSpec(&v1alpha1.WorkerPoolSpec{Scaling: v1alpha1.Scaling{BacklogPerWorker: 5}})
	if err != nil {
		t.Fatal(err)
	}
	want := Policy{Max: 10, BacklogPerWorker: 5, Concurrency: 1, ScaleInCooldown: 5 * time.Minute, Interval: 2 * time.Second}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestFromSpecReadsWhatIsWritten(t *testing.T) {
	d := func(n time.Duration) *metav1.Duration { return &metav1.Duration{Duration: n} }
	got, err := FromSpec(&v1alpha1.WorkerPoolSpec{
		MinWorkers: 1, MaxWorkers: 7, Worker: v1alpha1.WorkerSpec{Concurrency: 4},
		Scaling: v1alpha1.Scaling{
			Steps: &v1alpha1.StepScaling{AdjustmentType: v1alpha1.PercentChangeInCapacity, MinAdjustment: 2, Steps: []v1alpha1.Step{
				{UpperBound: ptr(int64(6)), Adjustment: -50},
				{LowerBound: ptr(int64(6)), Adjustment: 50},
			}},
			ScaleOutCooldown: d(1), ScaleInCooldown: d(0), IdleAfter: d(3), MaxScaleIn: 4, Interval: d(5),
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := Policy{
		Min: 1, Max: 7, Concurrency: 4, Adjustment: v1alpha1.PercentChangeInCapacity, MinAdjustment: 2,
		Steps:            []Step{{0, 6, -50}, {6, mostMessages + 1, 50}},
		ScaleOutCooldown: 1, IdleAfter: ptr(time.Duration(3)), MaxScaleIn: 4, Interval: 5,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestFromSpecRefusesWhatItCannotDecideBy(t *testing.T) {
	rows := func(kind v1alpha1.AdjustmentType, rows ...v1alpha1.Step) v1alpha1.Scaling {
		return v1alpha1.Scaling{Steps: &v1alpha1.StepScaling{AdjustmentType: kind, Steps: rows}}
	}
	row := func(lower, upper int64, adjustment int) v1alpha1.Step {
		return v1alpha1.Step{LowerBound: &lower, UpperBound: &upper, Adjustment: adjustment}
	}
	for _, c := range []struct {
		name string
		min  int
		sc   v1alpha1.Scaling
		want string
	}{
		{"no policy", 0, v1alpha1.Scaling{}, "exactly one of"},
		{"two policies", 0, v1alpha1.Scaling{BacklogPerWorker: 1, TargetWait: &metav1.Duration{Duration: 1}}, "exactly one of"},
		{"min over max", 11, v1alpha1.Scaling{BacklogPerWorker: 1}, "minWorkers 11 and maxWorkers 10"},
		{"an empty table", 0, rows(""), "at least one row"},
		{"an unknown adjustment", 0, rows("Half", row(0, 1, 1)), `adjustmentType "Half"`},
		{"a gap", 0, rows("", row(0, 5, 1), row(6, 9, 2)), "row 2 begins at 6 and the one before ends at 5"},
		{"an overlap", 0, rows("", row(0, 5, 1), row(4, 9, 2)), "row 2 begins at 4 and the one before ends at 5"},
		{"an empty row", 0, rows("", row(5, 5, 1)), "row 1 holds no number"},
		{"fewer for more", 0, rows("", row(0, 5, 2), row(5, 9, 1)), "row 2 wants fewer workers (1) than the one before (2)"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := FromSpec(&v1alpha1.WorkerPoolSpec{MinWorkers: c.min, Scaling: c.sc})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q in it", err, c.want)
			}
		})
	}
}
