package scaling

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"

	"github.com/queuemill/queuemill/api/v1alpha1"
	"github.com/queuemill/queuemill/internal/simulate"
	"github.com/queuemill/queuemill/test/kubernetes/site"
)

var (
	podStartUp = flag.Bool("pods-start-up", false, "measure how long pods take from their creation to their first message; wants root")
	podTime    = flag.Bool("pods", false, "run a seed of each load in pods of a real cluster; wants root")
)

const podFile = "pool-pods.yaml"

// What -pods-start-up measured: a pod by itself, and each of nine at once.
const (
	startUpAlone    = 1480 * time.Millisecond
	startUpTogether = 4010 * time.Millisecond
)

// podTrials are the lines of simulate-pods.sh, in its order.
func podTrials(t *testing.T) (all []*trial) {
	t.Helper()
	for _, c := range trials(t) {
		if c.seed != 1 {
			continue
		}
		c.file, c.startUp = podFile, startUpAlone
		if c.name == "burst" {
			c.startUp = startUpTogether
		}
		c.name += "-pods"
		all = append(all, c)
	}
	return all
}

// TestPodStartUp measures what the simulator is given before anything is compared:
// from a pod's creation until a message's work begins in it.
func TestPodStartUp(t *testing.T) {
	if !*podStartUp {
		return
	}
	s := site.Start(t, 1)
	const alone = 6
	one := newPodPool(t, s, "alone", podEdit{"backlogPerWorker: 5", "backlogPerWorker: 1"}, podEdit{"sleep 4", "sleep 90"})
	one.sendAndAwait(t, 1) // to the one that is there
	for range alone {
		one.sendAndAwait(t, 1)
	}
	tellStartUp(t, "alone", one)
	nine := newPodPool(t, s, "together", podEdit{"backlogPerWorker: 5", "backlogPerWorker: 1"}, podEdit{"sleep 4", "sleep 90"})
	nine.sendAndAwait(t, 10)
	tellStartUp(t, "nine at once", nine)
}

func (p *podPool) sendAndAwait(t *testing.T, n int) {
	t.Helper()
	before, err := p.begun()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.send(t.Context(), n); err != nil {
		t.Fatal(err)
	}
	p.Eventually(t, "the messages' work begins", func() bool {
		now, err := p.begun()
		if err != nil {
			t.Fatal(err)
		}
		return len(now) == len(before)+n
	}, func() string { return p.log })
}

// tellStartUp tells of all pods but the first, which was there before.
func tellStartUp(t *testing.T, what string, p *podPool) {
	t.Helper()
	lines, err := p.lines()
	if err != nil {
		t.Fatal(err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	var all []time.Duration
	var sum time.Duration
	for _, l := range lines {
		if made := p.made[l.pod]; made.After(p.readyAt) {
			all = append(all, l.at.Sub(made).Round(time.Millisecond))
			sum += all[len(all)-1]
		}
	}
	slices.Sort(all)
	if len(all) == 0 {
		t.Fatal("no pod was started")
	}
	t.Logf("%s: created → work begins: mean %v of %v", what, (sum / time.Duration(len(all))).Round(time.Millisecond), all)
}

// TestComparePods is TestCompare in a cluster.
func TestComparePods(t *testing.T) {
	if !*podTime {
		return
	}
	s := site.Start(t, 1)
	predicted := predictions(t, "simulated-pods.jsonl")
	all := podTrials(t)
	measured := make([]*simulate.Result, len(all))
	for i, c := range all {
		if !strings.HasPrefix(c.name, *only) {
			continue
		}
		t.Run(c.String(), func(t *testing.T) {
			p := newPodPool(t, s, c.name)
			measured[i] = c.run(t, p)
			t.Logf("%s", line(predicted[i], figuresOf(measured[i])))
			p.Kubectl(t, "", "delete", "workerpool", p.name, "-n", site.Namespace, "--timeout=60s")
		})
	}
	report(t, "real-pods.jsonl", all, predicted, measured)
}

// podPool is a WorkerPool in a cluster, seen from outside: what the API server
// tells of its pods, and what their commands write down.
type podPool struct {
	*site.Site
	name  string
	queue string // URL
	log   string // "ID UPTIME POD" of each message that is begun

	booted  time.Time // what UPTIME counts from
	readyAt time.Time // the least workers were

	mu      sync.Mutex
	made    map[string]time.Time // pods, by name
	leaving map[string]bool      // those there are: whether they were told to end
	desired int
	broken  error // a watch that ended
}

type podEdit struct{ from, to string }

// newPodPool applies the manifest, edited, and waits until its least workers are
// ready.
func newPodPool(t *testing.T, s *site.Site, name string, edits ...podEdit) *podPool {
	t.Helper()
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o777); err != nil { // pods of any user write there
		t.Fatal(err)
	}
	p := &podPool{
		Site: s, name: name, queue: s.NewQueue(t, name, nil), log: filepath.Join(dir, "log"),
		made: map[string]time.Time{}, leaving: map[string]bool{},
	}
	up, err := os.ReadFile("/proc/uptime")
	if err != nil {
		t.Fatal(err)
	}
	if p.booted, err = bootedAt(time.Now(), strings.Fields(string(up))[0]); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(podFile)
	if err != nil {
		t.Fatal(err)
	}
	manifest := string(text)
	for _, e := range append(edits, podEdit{"{name: pool-pods}", fmt.Sprintf("{name: %s, namespace: %s}", name, site.Namespace)},
		podEdit{"{name: scaling}", fmt.Sprintf("{url: %q, region: %s}", p.queue, site.Region)}, podEdit{"{path: /begun}", fmt.Sprintf("{path: %q}", dir)}) {
		if strings.Count(manifest, e.from) != 1 {
			t.Fatalf("%s has %q %d times, want once", podFile, e.from, strings.Count(manifest, e.from))
		}
		manifest = strings.Replace(manifest, e.from, e.to, 1)
	}
	p.watch(t)
	p.Kubectl(t, manifest, "apply", "-f", "-")
	p.Eventually(t, "the least workers are ready", func() bool {
		return strings.TrimSpace(p.Kubectl(t, "", "get", "workerpool", name, "-n", site.Namespace, "-o", "jsonpath={.status.workers.ready}")) == "1"
	}, func() string { return p.Kubectl(t, "", "get", "pods", "-n", site.Namespace) })
	p.readyAt = time.Now()
	return p
}

// bootedAt is when a machine came up that is up so many seconds.
func bootedAt(now time.Time, up string) (time.Time, error) {
	seconds, err := strconv.ParseFloat(up, 64)
	if err != nil {
		return time.Time{}, fmt.Errorf("/proc/uptime: %w", err)
	}
	return now.Add(-time.Duration(seconds * float64(time.Second))), nil
}

// watch follows the pool and its pods until the test is over.
func (p *podPool) watch(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var following sync.WaitGroup
	t.Cleanup(func() { cancel(); following.Wait() })
	pods, err := p.Client.CoreV1().Pods(site.Namespace).Watch(ctx, metav1.ListOptions{LabelSelector: "queuemill.dev/workerpool=" + p.name})
	if err != nil {
		t.Fatal(err)
	}
	client, err := dynamic.NewForConfig(p.Cluster.Config())
	if err != nil {
		t.Fatal(err)
	}
	pools, err := client.Resource(v1alpha1.GroupVersion.WithResource("workerpools")).Namespace(site.Namespace).
		Watch(ctx, metav1.ListOptions{FieldSelector: "metadata.name=" + p.name})
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range []watch.Interface{pods, pools} {
		following.Go(func() {
			for e := range w.ResultChan() {
				p.happened(e)
			}
			p.mu.Lock()
			defer p.mu.Unlock()
			p.broken = fmt.Errorf("a watch of %s ended", p.name)
		})
	}
}

func (p *podPool) happened(e watch.Event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch object := e.Object.(type) {
	case *corev1.Pod:
		if p.made[object.Name].IsZero() {
			p.made[object.Name] = time.Now()
		}
		if e.Type == watch.Deleted {
			delete(p.leaving, object.Name)
			return
		}
		p.leaving[object.Name] = object.DeletionTimestamp != nil
	case *unstructured.Unstructured:
		if n, ok, err := unstructured.NestedInt64(object.Object, "status", "desired"); ok && err == nil {
			p.desired = int(n)
		}
	}
}

func (p *podPool) send(ctx context.Context, n int) ([]string, error) {
	return sendBatch(ctx, p.SQS, p.queue, n)
}

func (p *podPool) look() (l look, err error) {
	out, err := p.SQS.GetQueueAttributes(context.Background(), &sqs.GetQueueAttributesInput{
		QueueUrl: &p.queue, AttributeNames: []types.QueueAttributeName{types.QueueAttributeNameAll},
	})
	if err != nil {
		return l, err
	}
	if l.waiting, err = strconv.Atoi(out.Attributes["ApproximateNumberOfMessages"]); err != nil {
		return l, err
	}
	if l.running, err = strconv.Atoi(out.Attributes["ApproximateNumberOfMessagesNotVisible"]); err != nil {
		return l, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, leaving := range p.leaving {
		if leaving {
			l.retiring++
		} else {
			l.workers++
		}
	}
	l.desired = p.desired
	return l, p.broken
}

// begunLine is a message whose work began.
type begunLine struct {
	id  string
	at  time.Time
	pod string
}

func (p *podPool) lines() (all []begunLine, err error) {
	text, err := os.ReadFile(p.log)
	if err != nil && !os.IsNotExist(err) {
		return nil, err
	}
	for line := range strings.Lines(string(text)) {
		words := strings.Fields(line)
		if len(words) != 3 {
			return nil, fmt.Errorf("%s: %q has %d words, want 3", p.log, line, len(words))
		}
		up, err := strconv.ParseFloat(words[1], 64)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", p.log, err)
		}
		all = append(all, begunLine{words[0], p.booted.Add(time.Duration(up * float64(time.Second))), words[2]})
	}
	return all, nil
}

func (p *podPool) begun() (map[string]time.Time, error) {
	lines, err := p.lines()
	if err != nil {
		return nil, err
	}
	all := make(map[string]time.Time, len(lines))
	for _, l := range lines {
		if _, twice := all[l.id]; twice {
			return nil, fmt.Errorf("message %s was begun twice", l.id)
		}
		all[l.id] = l.at
	}
	return all, nil
}
