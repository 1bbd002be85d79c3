package pools

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/queuemill/queuemill/internal/install"
	"github.com/queuemill/queuemill/test/cluster"
	"github.com/queuemill/queuemill/test/kubernetes/site"
)

// A Deployment of somebody's own whose pods are `queuemill worker` by hand. At a
// scale-in the cluster ends whichever pod it likes; SIGTERM and a grace period
// that is long enough let each finish what it has in hand.
func aDeploymentFollowsAndFinishes(t *testing.T, s *system) {
	shared := s.shared(t)
	p := &pool{system: s, name: "target", queue: s.NewQueue(t, "target", nil), log: filepath.Join(shared, "log")}
	p.seen = p.watched(t) // of no pod: they are not the pool's
	s.Kubectl(t, fmt.Sprintf(`
apiVersion: apps/v1
kind: Deployment
metadata: {name: target, namespace: %[1]s}
spec:
  selector: {matchLabels: {app: target}}
  template:
    metadata: {labels: {app: target}}
    spec:
      terminationGracePeriodSeconds: 60
      volumes: [{name: shared, hostPath: {path: %[2]q}}, {name: bin, emptyDir: {}}]
      initContainers:
      - {name: queuemill, image: %[3]s, args: [copy-self, /bin-of-ours/queuemill], volumeMounts: [{name: bin, mountPath: /bin-of-ours}]}
      containers:
      - name: main
        image: %[4]s
        envFrom: [{secretRef: {name: %[5]s}}]
        command: [/bin-of-ours/queuemill, worker, --queue=%[6]s, --drain-timeout=50s, --]
        args: %[7]s
        volumeMounts: [{name: shared, mountPath: /shared}, {name: bin, mountPath: /bin-of-ours}]
---
apiVersion: queuemill.dev/v1alpha1
kind: WorkerPool
metadata: {name: target, namespace: %[1]s}
spec:
  queue: {sqs: {url: %[6]q, region: %[8]s}}
  maxWorkers: 3
  scaling: {backlogPerWorker: 1, scaleInCooldown: 0s, interval: 500ms}
  scaleTargetRef: {name: target}
`, site.Namespace, shared, install.DefaultImage, cluster.Busybox, site.KeysSecret, p.queue, handler("sleep 2"), site.Region), "apply", "-f", "-")
	replicas := func() string {
		return s.Kubectl(t, "", "get", "deployment", "target", "-n", site.Namespace, "-o", "jsonpath={.spec.replicas} {.status.readyReplicas}")
	}
	p.await(t, "it goes to none", func() bool { return strings.TrimSpace(replicas()) == "0" })
	ids := p.send(t, 12)
	p.await(t, "three pods are ready", func() bool { return replicas() == "3 3" })
	p.await(t, "all is done, and no pod is left", func() bool {
		return p.count(t, "end") == len(ids) && strings.TrimSpace(replicas()) == "0"
	})
	p.eachRanOnce(t, ids)
	s.Kubectl(t, "", "delete", "workerpool", "target", "-n", site.Namespace, "--timeout=60s")
	if got := strings.TrimSpace(replicas()); got != "0" {
		t.Errorf("the deleted pool left replicas %q", got)
	}
}
