package pools

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/queuemill/queuemill/test/kubernetes/site"
)

// startUp measures what a simulation takes as a worker's start-up time: from the
// pod's creation to the moment at which it is ready. Nothing is asked of the
// figures but that there are some: this machine does other things too.
func startUp(t *testing.T, s *system) {
	for _, n := range []int{1, 10} {
		name := fmt.Sprintf("startup-%d", n)
		p := s.apply(t, name, "  maxWorkers: 10\n  scaling: {backlogPerWorker: 1, scaleInCooldown: 0s, interval: 200ms}",
			"", "          command: "+handler("true"))
		var mu sync.Mutex
		made, ready := map[types.UID]time.Time{}, map[types.UID]time.Duration{}
		p.watchPods(t, func(pod *corev1.Pod) {
			mu.Lock()
			defer mu.Unlock()
			if made[pod.UID].IsZero() {
				made[pod.UID] = time.Now()
			}
			for _, c := range pod.Status.Conditions {
				if c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue && ready[pod.UID] == 0 {
					ready[pod.UID] = time.Since(made[pod.UID])
				}
			}
		})
		began := time.Now()
		p.patch(t, fmt.Sprintf(`{"spec":{"minWorkers":%d}}`, n))
		p.await(t, "all are ready", func() bool {
			mu.Lock()
			defer mu.Unlock()
			return len(ready) == n
		})
		p.await(t, "the status says so", func() bool { return p.now(t).Status.Workers.Ready == n })
		whole := time.Since(began)
		mu.Lock()
		var times []time.Duration
		for _, d := range ready {
			times = append(times, d.Round(time.Millisecond))
		}
		mu.Unlock()
		slices.Sort(times)
		t.Logf("%d pods at once: created → ready %v to %v, median %v; edit → status says so %v", n, times[0], times[len(times)-1], times[len(times)/2], whole.Round(time.Millisecond))
		// The first message finds a worker that waits.
		began = time.Now()
		p.send(t, 1)
		p.await(t, "the first message's work has begun", func() bool { return p.count(t, "start") > 0 })
		p.Kubectl(t, "", "delete", "workerpool", name, "-n", site.Namespace, "--timeout=60s")
		t.Logf("and gone with its pool %v after a last message", time.Since(began).Round(time.Millisecond))
	}
}
