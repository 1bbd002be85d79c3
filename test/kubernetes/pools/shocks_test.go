package pools

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/queuemill/queuemill/internal/install"
	"github.com/queuemill/queuemill/test/kubernetes/site"
)

const shocks = 50

// shocksCutNoWorkShort scales a pool, edits its template and kills its
// controllers while its workers are busy: each message's work begins once and
// ends, whatever came in between. A pod that is deleted has less time than a
// message takes: whoever deletes a busy one cuts its work short.
func shocksCutNoWorkShort(t *testing.T, s *system) {
	p := s.apply(t, "shaken", "  maxWorkers: 4\n  scaling: {backlogPerWorker: 2, scaleInCooldown: 0s, interval: 200ms}",
		"        terminationGracePeriodSeconds: 1", "          command: "+handler("sleep 2"))
	var ids []string
	began := time.Now()
	dice := rand.New(rand.NewPCG(1, 2))
	counts := map[string]int{}
	most := 4
	// On a slow machine fewer workers come and go with each shock.
	for shock := 0; shock < shocks || shock < 2*shocks && p.workers(t) < leastWorkers; shock++ {
		ids = append(ids, p.send(t, 1+dice.IntN(3))...)
		p.await(t, "a worker is busy", func() bool { return p.count(t, "start") > p.count(t, "end") })
		switch dice.IntN(3) {
		case 0:
			p.patch(t, fmt.Sprintf(`{"spec":{"worker":{"timeout":"%dm"}}}`, 2+shock))
			p.awaitSeen(t)
			counts["edit"]++
		case 1:
			most = 1 + (most+dice.IntN(3))%4 // another one than before
			p.patch(t, fmt.Sprintf(`{"spec":{"maxWorkers":%d}}`, most))
			p.awaitSeen(t)
			counts["scale"]++
		default:
			p.killController(t, dice)
			counts["kill"]++
		}
		due := len(ids) - 6
		p.await(t, "some of the work is done", func() bool { return p.count(t, "end") >= due })
	}
	p.await(t, "all work is done", func() bool { return p.count(t, "end") >= len(ids) })
	p.awaitZero(t)
	p.eachRanOnce(t, ids)
	workers := p.workers(t)
	if counts["kill"] < 10 || counts["edit"] < 10 || counts["scale"] < 10 || workers < leastWorkers {
		t.Errorf("%v, %d workers: this run shows little", counts, workers)
	}
	t.Logf("at least %d shocks: %v, %d messages by %d workers in %v", shocks, counts, len(ids), workers, time.Since(began).Round(time.Second))
}

// leastWorkers is how many workers have to have worked before a run shows anything.
const leastWorkers = 20

// workers is by how many workers messages were worked on.
func (p *pool) workers(t *testing.T) int {
	t.Helper()
	seen := map[string]bool{}
	for _, line := range p.lines(t) {
		seen[line[2]] = true
	}
	return len(seen)
}

// awaitSeen waits until a controller follows the latest edit.
func (p *pool) awaitSeen(t *testing.T) {
	t.Helper()
	p.await(t, "the edit is followed", func() bool {
		wp := p.now(t)
		return wp.Status.ObservedGeneration == wp.Generation
	})
}

// killController kills one that runs, by SIGKILL: mostly the leader.
func (p *pool) killController(t *testing.T, dice *rand.Rand) {
	t.Helper()
	p.await(t, "a controller is killed", func() bool {
		pods, err := p.Client.CoreV1().Pods(install.Namespace).List(t.Context(), metav1.ListOptions{})
		if err != nil {
			t.Fatal(err)
		}
		leases, err := p.Client.CoordinationV1().Leases(install.Namespace).List(t.Context(), metav1.ListOptions{})
		if err != nil {
			t.Fatal(err)
		}
		leader := ""
		for _, l := range leases.Items {
			if l.Spec.HolderIdentity != nil {
				leader = *l.Spec.HolderIdentity
			}
		}
		other := dice.IntN(4) == 0
		for i := range pods.Items {
			if leads := pods.Items[i].Name == leader; leads != other && site.Kill(&pods.Items[i]) {
				return true
			}
		}
		return false
	})
}
