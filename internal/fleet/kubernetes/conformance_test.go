package kubernetes_test

import (
	"net"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/queuemill/queuemill/internal/fleet"
	"github.com/queuemill/queuemill/internal/fleet/fleettest"
)

func TestConformance(t *testing.T) {
	fleettest.Run(t, func(t *testing.T) fleettest.Harness {
		r := newRig(t)
		return fleettest.Harness{
			Fleet: r.fleet, Pool: r.pool, Limit: patience,
			Again: func(*testing.T) fleet.Fleet { return r.open(r.pool) },
			Hold:  func(_ *testing.T, w fleet.Worker, n int) { r.worker(w.UID).take(n) },
			Silence: func(t *testing.T, w fleet.Worker, on bool) {
				worker := r.worker(w.UID)
				worker.stop()
				if on {
					return
				}
				l, err := net.Listen("tcp", worker.address)
				if err != nil {
					t.Fatal(err)
				}
				worker.serve(l)
			},
			End: func(t *testing.T, w fleet.Worker) {
				now := metav1.NewDeleteOptions(0)
				if err := r.client.CoreV1().Pods(r.pool.Namespace).Delete(t.Context(), w.Name, *now); err != nil {
					t.Fatal(err)
				}
			},
		}
	})
}
