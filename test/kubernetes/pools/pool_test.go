package pools

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/go-logr/logr"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	k8stypes "k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	ctrllog "sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/yaml"

	"github.com/queuemill/queuemill/api/v1alpha1"
	"github.com/queuemill/queuemill/test/cluster"
	"github.com/queuemill/queuemill/test/mill"
)

const image = "registry.example/queuemill:test"

var binary string // queuemill, as it is shipped

func TestMain(m *testing.M) {
	ctrllog.SetLogger(logr.Discard())
	folder, err := os.MkdirTemp("", "queuemill-pools-")
	if err == nil {
		binary, err = mill.Build(folder, "./cmd/queuemill", false)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	cluster.Main(m, cluster.Options{})
}

// world is a namespace with a queue, a pool of it and the log of what its
// handlers did.
type world struct {
	t         *testing.T
	namespace string
	api       client.Client
	sqs       *sqs.Client
	url       string
	log       string
}

var identity = []string{"AWS_ACCESS_KEY_ID=test", "AWS_SECRET_ACCESS_KEY=test", "AWS_EC2_METADATA_DISABLED=true"}

func newWorld(t *testing.T) *world {
	t.Helper()
	plane := cluster.Shared(t)
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	config := plane.Config()
	config.QPS = -1
	api, err := client.New(config, client.Options{Scheme: scheme})
	if err != nil {
		t.Fatal(err)
	}
	kubectl := func(args ...string) {
		t.Helper()
		if out, err := exec.Command(plane.Bin("kubectl"), append([]string{"--kubeconfig", plane.Kubeconfig()}, args...)...).CombinedOutput(); err != nil {
			t.Fatalf("kubectl %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
	crds := filepath.Join(mill.Root(), "deploy", "kubernetes", "crds")
	kubectl("apply", "--server-side", "-f", crds)
	kubectl("wait", "--for=condition=Established", "--timeout=60s", "-f", crds)
	w := &world{t: t, namespace: cluster.Namespace(t, plane), api: api, log: filepath.Join(t.TempDir(), "log")}
	up := mill.Start(t, mill.Options{Binary: binary, Data: t.TempDir(), Listen: mill.FreeAddress(t), SQSListen: mill.FreeAddress(t)})
	up.WaitReady(t)
	w.sqs = sqs.New(sqs.Options{BaseEndpoint: aws.String(up.SQSURL), Region: "us-east-1", Credentials: credentials.NewStaticCredentialsProvider("test", "test", "")})
	out, err := w.sqs.CreateQueue(t.Context(), &sqs.CreateQueueInput{QueueName: aws.String("work")})
	if err != nil {
		t.Fatal(err)
	}
	w.url = *out.QueueUrl
	clients, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	k := &kubelet{t: t, client: clients, namespace: w.namespace, env: identity, runs: map[k8stypes.UID]*exec.Cmd{}, told: map[k8stypes.UID]bool{}}
	ctx, cancel := context.WithCancel(context.Background())
	var done sync.WaitGroup
	done.Go(func() { k.run(ctx) })
	t.Cleanup(func() { cancel(); done.Wait() })
	return w
}

// controller runs the shipped one for the namespace.
func (w *world) controller() *mill.Controller {
	w.t.Helper()
	c := mill.StartController(w.t, binary, identity, "--kubeconfig", cluster.Shared(w.t).Kubeconfig(), "-n", w.namespace, "--worker-image", image)
	c.WaitReady(w.t)
	return c
}

// pool makes one whose handler writes to the log when it starts and ends.
func (w *world) pool() *v1alpha1.WorkerPool {
	w.t.Helper()
	script := fmt.Sprintf(`echo "start $QUEUEMILL_MESSAGE_ID" >> %[1]s; sleep 0.5; echo "end $QUEUEMILL_MESSAGE_ID" >> %[1]s`, w.log)
	text := fmt.Sprintf(`
metadata: {name: shaken, namespace: %s}
spec:
  queue: {sqs: {url: %q, region: us-east-1}}
  maxWorkers: 4
  scaling: {backlogPerWorker: 2, scaleInCooldown: 0s, interval: 100ms}
  kubernetes: {template: {spec: {containers: [{name: main, image: i, command: [sh, -c, %q]}]}}}
`, w.namespace, w.url, script)
	wp := &v1alpha1.WorkerPool{}
	if err := yaml.UnmarshalStrict([]byte(text), wp); err != nil {
		w.t.Fatal(err)
	}
	if err := w.api.Create(w.t.Context(), wp); err != nil {
		w.t.Fatal(err)
	}
	return wp
}

// send sends n messages.
func (w *world) send(n int) {
	w.t.Helper()
	in := &sqs.SendMessageBatchInput{QueueUrl: &w.url}
	for i := range n {
		in.Entries = append(in.Entries, types.SendMessageBatchRequestEntry{Id: aws.String(strconv.Itoa(i)), MessageBody: aws.String("work")})
	}
	if out, err := w.sqs.SendMessageBatch(w.t.Context(), in); err != nil || len(out.Failed) > 0 {
		w.t.Fatalf("send: %v, %v", err, out)
	}
}

// ran is what the log has: how often each message's work started and ended.
func (w *world) ran() (starts, ends map[string]int) {
	w.t.Helper()
	starts, ends = map[string]int{}, map[string]int{}
	text, err := os.ReadFile(w.log)
	if err != nil && !os.IsNotExist(err) {
		w.t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		what, id, _ := strings.Cut(strings.TrimSpace(line), " ")
		map[string]map[string]int{"start": starts, "end": ends}[what][id]++
	}
	return starts, ends
}

func (w *world) until(what string, so func() bool) {
	w.t.Helper()
	if err := mill.Poll(w.t.Context(), 3*time.Minute, func() (bool, error) { return so(), nil }); err != nil {
		wp := &v1alpha1.WorkerPool{}
		_ = w.api.Get(context.Background(), client.ObjectKey{Namespace: w.namespace, Name: "shaken"}, wp)
		w.t.Fatalf("%s: %v; the pool: %+v", what, err, wp.Status)
	}
}

const shocks = 50

// TestFiftyShocksCutNoWorkShort edits and scales a pool and kills its controller
// while its workers are busy: each message's work starts once and ends.
func TestFiftyShocksCutNoWorkShort(t *testing.T) {
	w := newWorld(t)
	wp := w.pool()
	controller := w.controller()
	sent := 0
	dice := rand.New(rand.NewPCG(1, 2))
	counts := map[string]int{}
	for shock := range shocks {
		n := 1 + dice.IntN(3)
		w.send(n)
		sent += n
		edit := ""
		switch dice.IntN(3) {
		case 0:
			edit, counts["edit"] = fmt.Sprintf(`{"spec":{"worker":{"timeout":"%dm"}}}`, 2+shock), counts["edit"]+1
		case 1:
			edit, counts["scale"] = fmt.Sprintf(`{"spec":{"maxWorkers":%d}}`, 1+dice.IntN(4)), counts["scale"]+1
		default:
			counts["kill"]++
			controller.Kill()
			controller = w.controller()
		}
		if edit != "" {
			if err := w.api.Patch(t.Context(), wp, client.RawPatch(k8stypes.MergePatchType, []byte(edit))); err != nil {
				t.Fatal(err)
			}
		}
		target := sent - 6
		w.until("some of the work is done", func() bool { _, ends := w.ran(); return len(ends) >= target })
	}
	w.until("all work is done", func() bool { _, ends := w.ran(); return len(ends) >= sent })
	w.until("the pool is at zero", func() bool {
		err := w.api.Get(t.Context(), client.ObjectKeyFromObject(wp), wp)
		return err == nil && wp.Status.Desired == 0 && wp.Status.Workers == (v1alpha1.WorkerCounts{})
	})
	starts, ends := w.ran()
	for id, n := range starts {
		if n != 1 || ends[id] != 1 {
			t.Errorf("message %s: %d starts, %d ends", id, n, ends[id])
		}
	}
	if len(starts) != sent {
		t.Errorf("%d messages sent, work of %d started", sent, len(starts))
	}
	t.Logf("%d shocks %v, %d messages", shocks, counts, sent)
	if err := w.api.Delete(t.Context(), wp); err != nil {
		t.Fatal(err)
	}
	w.until("the pool is gone", func() bool { return apierrors.IsNotFound(w.api.Get(t.Context(), client.ObjectKeyFromObject(wp), wp)) })
}
