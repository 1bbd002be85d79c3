package fleettest

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/queuemill/queuemill/api/v1alpha1"
	"github.com/queuemill/queuemill/internal/fleet"
)

func TestTheFakeConforms(t *testing.T) {
	Run(t, func(*testing.T) Harness {
		f := NewFake()
		f.StartupTime = 20 * time.Millisecond
		with := func(of fleet.Worker, change func(*FakeWorker)) {
			f.Do(func([]*FakeWorker) { change(f.find(of)) })
		}
		return Harness{
			Fleet: f,
			Pool: &v1alpha1.WorkerPool{
				ObjectMeta: metav1.ObjectMeta{Name: "p"},
				Spec:       v1alpha1.WorkerPoolSpec{Process: &v1alpha1.WorkerProcess{Command: []string{"true"}}},
			},
			Again:   func(*testing.T) fleet.Fleet { return f },
			Hold:    func(_ *testing.T, w fleet.Worker, n int) { with(w, func(w *FakeWorker) { w.InHand = n }) },
			Silence: func(_ *testing.T, w fleet.Worker, on bool) { with(w, func(w *FakeWorker) { w.Silent = on }) },
			End:     func(_ *testing.T, w fleet.Worker) { f.End(w.UID) },
		}
	})
}
