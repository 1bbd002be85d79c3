package pools

import (
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/yaml"

	"github.com/queuemill/queuemill/api/v1alpha1"
	fleet "github.com/queuemill/queuemill/internal/fleet/kubernetes"
	"github.com/queuemill/queuemill/internal/install"
	"github.com/queuemill/queuemill/test/cluster"
	"github.com/queuemill/queuemill/test/kubernetes/site"
)

// What a person does with a pool, by kubectl.
func aPoolsLife(t *testing.T, s *system) {
	p := s.apply(t, "life", "  maxWorkers: 2\n  scaling: {backlogPerWorker: 1, scaleInCooldown: 0s, interval: 500ms}",
		"", "          command: "+handler("until [ -e /shared/go ]; do sleep 0.1; done"))
	column := func() []string {
		return strings.Fields(p.Kubectl(t, "", "get", "workerpool", "life", "-n", site.Namespace, "--no-headers"))
	}
	p.await(t, "it is ready, at zero", func() bool {
		f := column() // NAME READY DESIRED WORKERS BUSY RETIRING WAITING AGE
		return len(f) == 8 && f[1] == "True" && strings.Join(f[2:7], " ") == "0 0 0 0 0"
	})
	began := time.Now()
	ids := p.send(t, 3)
	p.await(t, "two are desired", func() bool { return p.now(t).Status.Desired == 2 })
	t.Logf("from zero: desired written %v after the first message (asked every 0.3 s)", time.Since(began).Round(time.Millisecond))
	p.await(t, "two are busy and one message waits", func() bool { return strings.Join(column()[2:7], " ") == "2 2 2 0 1" })
	if text := s.Mill(t, 0, "status"); !strings.Contains(text, "life") {
		t.Errorf("kubectl queuemill status:\n%s", text)
	}

	s.Mill(t, 0, "suspend", "life")
	p.await(t, "both retire, busy", func() bool { f := column(); return f[2] == "0" && f[5] == "2" })
	if n := len(p.pods(t)); n != 2 || p.count(t, "end") != 0 {
		t.Errorf("%d pods are left of two that are busy", n)
	}
	write(t, p, "go")
	p.awaitZero(t)
	if n := p.count(t, "end"); n != 2 || p.Depth(t, p.queue) != 1 {
		t.Errorf("suspended: %d messages are done, %d left, want 2 and 1", n, p.Depth(t, p.queue))
	}
	s.Mill(t, 0, "resume", "life")
	p.await(t, "the third is done", func() bool { return p.count(t, "end") == 3 })
	p.eachRanOnce(t, ids)
	s.Kubectl(t, "", "delete", "workerpool", "life", "-n", site.Namespace, "--timeout=60s")
	p.gone(t)
}

// gone checks that a deleted pool leaves nothing.
func (p *pool) gone(t *testing.T) {
	t.Helper()
	p.Eventually(t, "pods and Secret are gone with their pool", func() bool {
		r := p.Run("", p.Cluster.Bin("kubectl"), "get", "pods,secrets", "-n", site.Namespace, "-l", "queuemill.dev/workerpool="+p.name, "-o", "name")
		return r.Code == 0 && r.Text == ""
	}, func() string { return p.Kubectl(t, "", "get", "pods,secrets", "-n", site.Namespace) })
}

// A tenant who may make pods makes none that a pool would take for its worker.
func onlyTheControllerMakesWorkers(t *testing.T, s *system) {
	s.Kubectl(t, "", "create", "serviceaccount", "tenant", "-n", site.Namespace)
	s.Kubectl(t, "", "create", "rolebinding", "tenant", "-n", site.Namespace, "--clusterrole=edit", "--serviceaccount="+site.Namespace+":tenant")
	run := func(labels string) site.Result {
		return s.Run("", s.Cluster.Bin("kubectl"), "run", "mine", "-n", site.Namespace, "--as=system:serviceaccount:"+site.Namespace+":tenant",
			"--image="+cluster.Busybox, "--labels="+labels, "--dry-run=server", "--", "true")
	}
	if r := run("app=mine"); r.Code != 0 {
		t.Errorf("a pod of one's own: %s", r.Errs)
	}
	if r := run("queuemill.dev/workerpool=life"); r.Code == 0 || !strings.Contains(r.Errs, "only the Queuemill controller") {
		t.Errorf("a worker of one's own: exit code %d, %s%s", r.Code, r.Text, r.Errs)
	}
}

// Where pods must keep to the restricted Pod Security Standard, one that does
// makes a worker that does.
func aRestrictedNamespaceTakesWorkers(t *testing.T, s *system) {
	s.Kubectl(t, `{apiVersion: v1, kind: Namespace, metadata: {name: strict, labels: {pod-security.kubernetes.io/enforce: restricted}}}`, "apply", "-f", "-")
	const user = `runAsNonRoot: true, runAsUser: 1000, seccompProfile: {type: RuntimeDefault}`
	const container = `allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}`
	for name, template := range map[string]string{
		"of its pod":       `{spec: {securityContext: {` + user + `}, containers: [{name: main, image: i, command: [work], securityContext: {` + container + `}}]}}`,
		"of its container": `{spec: {containers: [{name: main, image: i, command: [work], securityContext: {` + user + `, ` + container + `}}]}}`,
	} {
		raw, err := yaml.YAMLToJSON([]byte(template))
		if err != nil {
			t.Fatal(err)
		}
		wp := &v1alpha1.WorkerPool{ObjectMeta: metav1.ObjectMeta{Namespace: "strict", Name: "strict"}}
		wp.Spec.Kubernetes = &v1alpha1.WorkerKubernetes{Template: runtime.RawExtension{Raw: raw}}
		pod, err := fleet.Render(wp, install.DefaultImage, "https://sqs.eu-west-1.amazonaws.com/123456789012/strict")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Client.CoreV1().Pods("strict").Create(t.Context(), pod, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}}); err != nil {
			t.Errorf("the security context %s: %v", name, err)
		}
	}
}

// evict asks for a pod's eviction, as a drain of its node does.
func (p *pool) evict(t *testing.T, name string) {
	t.Helper()
	if err := p.Client.CoreV1().Pods(site.Namespace).EvictV1(t.Context(), &policyv1.Eviction{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: site.Namespace}}); err != nil {
		t.Fatal(err)
	}
}

// A worker whose node is drained finishes what it has in hand within the pod's
// grace period.
func anEvictedWorkerFinishes(t *testing.T, s *system) {
	p := s.apply(t, "evicted", "  scaling: {backlogPerWorker: 1, scaleInCooldown: 0s, interval: 500ms}",
		"        terminationGracePeriodSeconds: 60", "          command: "+handler("sleep 8"))
	var mu sync.Mutex
	made := map[types.UID]bool{}
	p.watchPods(t, func(pod *corev1.Pod) {
		mu.Lock()
		defer mu.Unlock()
		made[pod.UID] = true
	})
	ids := p.send(t, 2)
	p.await(t, "both are worked on", func() bool { return p.count(t, "start") == 2 })
	mu.Lock()
	if len(made) != 2 {
		t.Errorf("%d pods were made for two messages", len(made))
	}
	mu.Unlock()
	busy := p.pods(t)[0]
	began := time.Now()
	p.Drain(t, busy.Spec.NodeName, "queuemill.dev/workerpool=evicted")
	t.Logf("drained within %v of a grace period of 60 s", time.Since(began).Round(time.Millisecond))
	for _, pod := range p.pods(t) {
		if pod.UID == busy.UID {
			t.Errorf("%s is still there: %+v", pod.Name, pod.Status)
		}
	}
	p.await(t, "both are done", func() bool { return p.count(t, "end") == 2 })
	p.eachRanOnce(t, ids)
	p.awaitZero(t)
}

// Work that does not end within the grace period goes back to the queue at its
// end, not when its visibility is over.
func anEvictedWorkerGivesBack(t *testing.T, s *system) {
	p := s.apply(t, "stuck", "  scaling: {backlogPerWorker: 1, scaleInCooldown: 0s, interval: 500ms}\n  worker: {visibility: 10m, drainTimeout: 3s}",
		"        terminationGracePeriodSeconds: 30", "          command: "+handler("[ -e /shared/again ] || sleep 600"))
	p.send(t, 1)
	p.await(t, "it is worked on", func() bool { return p.count(t, "start") == 1 })
	write(t, p, "again")
	var first string
	for _, pod := range p.pods(t) {
		if pod.Status.Phase == corev1.PodRunning {
			first = pod.Name
		}
	}
	began := time.Now()
	p.evict(t, first)
	p.await(t, "its work begins elsewhere, and ends", func() bool { return p.count(t, "end") == 1 })
	took := time.Since(began)
	lines := p.lines(t)
	if len(lines) != 3 || lines[0][2] != first || lines[1][2] == first {
		t.Errorf("evicted %s; the log: %v", first, lines)
	}
	if took > time.Minute {
		t.Errorf("it took %v", took)
	}
	t.Logf("eviction → done elsewhere, after a drain time of 3 s: %v", took.Round(time.Millisecond))
}
