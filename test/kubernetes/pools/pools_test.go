package pools

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/queuemill/queuemill/api/v1alpha1"
	"github.com/queuemill/queuemill/test/cluster"
	"github.com/queuemill/queuemill/test/kubernetes/site"
)

// TestMain lets all parts run side by side: most of the time they wait for pods.
func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.parallel", "32"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

// TestWorkerPools shares one cluster between its parts. The shocks come last:
// they kill the controllers that the other parts need.
func TestWorkerPools(t *testing.T) {
	s := &system{site.Start(t, 2)}
	t.Run("StartUp", func(t *testing.T) { startUp(t, s) })
	t.Run("Features", func(t *testing.T) {
		for name, run := range map[string]func(*testing.T, *system){
			"APoolIsAppliedSuspendedResumedAndDeleted": aPoolsLife,
			"OnlyTheControllerMakesWorkers":            onlyTheControllerMakesWorkers,
			"ARestrictedNamespaceTakesWorkers":         aRestrictedNamespaceTakesWorkers,
			"AnEvictedWorkerFinishes":                  anEvictedWorkerFinishes,
			"AnEvictedWorkerGivesBackWhatNeverEnds":    anEvictedWorkerGivesBack,
			"WorkersOfACronJobLeaveAnEmptyQueue":       workersOfACronJobLeave,
			"AMessageIsARequest":                       aMessageIsARequest,
			"ADeploymentFollowsAndFinishes":            aDeploymentFollowsAndFinishes,
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				run(t, s)
			})
		}
	})
	t.Run("ShocksCutNoWorkShort", func(t *testing.T) { shocksCutNoWorkShort(t, s) })
}

// system is the site with what is asked of its WorkerPools.
type system struct{ *site.Site }

// pool is a WorkerPool with its queue, and the log that its handlers write.
type pool struct {
	*system
	name  string
	queue string // URL
	log   string
	seen  *witness // of its pods
}

// handler is a command for a pod's container in YAML: it writes to the log when
// it starts and ends; in between it does work, in shell.
func handler(work string) string {
	return fmt.Sprintf(`[sh, -c, 'echo "start $QUEUEMILL_MESSAGE_ID $HOSTNAME" >> /shared/log; %s; echo "end $QUEUEMILL_MESSAGE_ID $HOSTNAME" >> /shared/log']`, work)
}

// apply makes a queue and a WorkerPool of that name. spec is YAML of the
// WorkerPool, pod of its pods: command, and what else their one container has.
func (s *system) apply(t *testing.T, name, spec, pod, container string) *pool {
	t.Helper()
	shared := s.shared(t)
	p := &pool{system: s, name: name, queue: s.NewQueue(t, name, nil), log: filepath.Join(shared, "log")}
	manifest := fmt.Sprintf(`
apiVersion: queuemill.dev/v1alpha1
kind: WorkerPool
metadata: {name: %s, namespace: %s}
spec:
  queue: {sqs: {url: %q, region: %s}}
%s
  kubernetes:
    template:
      spec:
        volumes: [{name: shared, hostPath: {path: %q}}]
%s
        containers:
        - name: main
          image: %s
          envFrom: [{secretRef: {name: %s}}]
          volumeMounts: [{name: shared, mountPath: /shared}]
%s
`, name, site.Namespace, p.queue, site.Region, strings.Trim(spec, "\n"), shared, pod, cluster.Busybox, site.KeysSecret, container)
	p.seen = p.watched(t)
	s.Kubectl(t, manifest, "apply", "-f", "-")
	return p
}

// shared is a folder of this machine that pods of any user may write to.
func (s *system) shared(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	return dir
}

func (p *pool) send(t *testing.T, n int) (ids []string) {
	t.Helper()
	for range n {
		ids = append(ids, p.Send(t, p.queue, "work"))
	}
	return ids
}

// patch edits the WorkerPool.
func (p *pool) patch(t *testing.T, patch string) {
	t.Helper()
	p.Kubectl(t, "", "patch", "workerpool", p.name, "-n", site.Namespace, "--type=merge", "-p", patch)
}

// now is the WorkerPool as it is.
func (p *pool) now(t *testing.T) (wp v1alpha1.WorkerPool) {
	t.Helper()
	text := p.Kubectl(t, "", "get", "workerpool", p.name, "-n", site.Namespace, "-o", "json")
	if err := json.Unmarshal([]byte(text), &wp); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return wp
}

// pods are the pool's.
func (p *pool) pods(t *testing.T) []corev1.Pod {
	t.Helper()
	list, err := p.Client.CoreV1().Pods(site.Namespace).List(t.Context(), metav1.ListOptions{LabelSelector: "queuemill.dev/workerpool=" + p.name})
	if err != nil {
		t.Fatal(err)
	}
	return list.Items
}

// lines are the log's so far, each in its words: what, message, worker.
func (p *pool) lines(t *testing.T) (all [][]string) {
	t.Helper()
	text, err := os.ReadFile(p.log)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		all = append(all, strings.Fields(line))
	}
	return all
}

// count is how many lines of the log say so.
func (p *pool) count(t *testing.T, what string) (n int) {
	t.Helper()
	for _, line := range p.lines(t) {
		if line[0] == what {
			n++
		}
	}
	return n
}

// await waits for what the pool does.
func (p *pool) await(t *testing.T, what string, done func() bool) {
	t.Helper()
	p.Eventually(t, what, done, func() string {
		b, err := json.MarshalIndent(p.now(t).Status, "", "  ")
		if err != nil {
			return err.Error()
		}
		return fmt.Sprintf("%s\nlog: %v", b, p.lines(t))
	})
}

// awaitZero waits until the pool has no workers and wants none.
func (p *pool) awaitZero(t *testing.T) {
	t.Helper()
	p.await(t, "the pool is at zero", func() bool {
		wp := p.now(t)
		return wp.Status.Desired == 0 && wp.Status.Workers == (v1alpha1.WorkerCounts{}) && len(p.pods(t)) == 0
	})
}

// eachRanOnce reads the log: the work of each message was begun once, ended, and
// never begun while it was under way.
func (p *pool) eachRanOnce(t *testing.T, ids []string) {
	t.Helper()
	by, workers := map[string][]string{}, map[string][]string{}
	for _, line := range p.lines(t) {
		by[line[1]] = append(by[line[1]], line[0])
		workers[line[1]] = append(workers[line[1]], line[2])
	}
	for _, id := range ids {
		if got := by[id]; !slices.Equal(got, []string{"start", "end"}) {
			t.Errorf("message %s: %v by %v, want one start and one end", id, got, workers[id])
			for _, worker := range slices.Compact(slices.Sorted(slices.Values(workers[id]))) {
				t.Log(p.seen.of(worker))
			}
		}
	}
	if len(by) != len(ids) {
		t.Errorf("%d messages sent, work of %d begun", len(ids), len(by))
	}
}

// watchPods tells of every change of the pool's pods until the test is over.
func (p *pool) watchPods(t *testing.T, tell func(*corev1.Pod)) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	w, err := p.Client.CoreV1().Pods(site.Namespace).Watch(ctx, metav1.ListOptions{LabelSelector: "queuemill.dev/workerpool=" + p.name})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for e := range w.ResultChan() {
			if pod, ok := e.Object.(*corev1.Pod); ok {
				tell(pod)
			}
		}
	}()
	t.Cleanup(func() { cancel(); <-done })
}
