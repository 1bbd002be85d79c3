package app

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	batchv1 "k8s.io/api/batch/v1"
	apiextensions "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	ctrlclient "sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/queuemill/queuemill/api/v1alpha1"
	"github.com/queuemill/queuemill/internal/httpapi"
	"github.com/queuemill/queuemill/internal/httpapi/client"
	"github.com/queuemill/queuemill/internal/queue"
	"github.com/queuemill/queuemill/internal/queue/embedded"
	"github.com/queuemill/queuemill/internal/queue/sqs"
	"github.com/queuemill/queuemill/internal/sqsserver"
	"github.com/queuemill/queuemill/internal/store"
	"github.com/queuemill/queuemill/test/cluster"
)

func TestMain(m *testing.M) { cluster.Main(m, cluster.Options{}) }

const patience = 2 * time.Minute // bounds what a test waits for; nothing is measured by it

// background runs until the test ends, and fails it where run fails.
func background(t *testing.T, run func(context.Context) error) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- run(ctx) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(stop)
	return stop
}

// embeddedQueue is a queue served over the wire, and its URL.
func embeddedQueue(t *testing.T, name string) (queue.Queue, string) {
	t.Helper()
	db, err := store.Open("/data", store.Options{FS: vfs.NewMem()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	broker, err := embedded.Open(db, embedded.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = broker.Close() })
	if _, err := broker.CreateQueue("", name, nil, nil); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	background(t, func(ctx context.Context) error { return sqsserver.New(broker, sqsserver.Options{}).Serve(ctx, l) })
	url := urlOf(l) + "/" + broker.Account() + "/" + name
	q, err := sqs.Open(t.Context(), v1alpha1.SQSSource{URL: url}, sqs.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return q, url
}

func await(t *testing.T, what string, so func() bool) {
	t.Helper()
	limit := time.NewTimer(patience)
	defer limit.Stop()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for !so() {
		select {
		case <-tick.C:
		case <-limit.C:
			t.Fatalf("not within %v: %s", patience, what)
		}
	}
}

func TestControllerFromFilesMakesJobsWithoutTheCustomResource(t *testing.T) {
	c := cluster.Shared(t)
	ns := cluster.Namespace(t, c)
	jobs, err := kubernetes.NewForConfig(c.Config())
	if err != nil {
		t.Fatal(err)
	}
	q, url := embeddedQueue(t, "ping")
	file := filepath.Join(t.TempDir(), "queuemill.yaml")
	text := `apiVersion: queuemill.dev/v1alpha1
kind: QueueJob
metadata: {name: ping}
spec:
  queue: {sqs: {url: "` + url + `"}}
  kubernetes: {jobTemplate: {spec: {template: {spec: {restartPolicy: Never, containers: [{name: a, image: b}]}}}}}
`
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	ready := make(chan string, 1)
	stop := background(t, func(ctx context.Context) error {
		return Controller(ctx, ControllerOptions{
			Kubeconfig: c.Kubeconfig(), Namespaces: []string{ns}, Files: []string{file}, Listen: "127.0.0.1:0", Logger: log,
			Ready: func(url string) { ready <- url },
		})
	})
	api, err := client.New(<-ready, "")
	if err != nil {
		t.Fatal(err)
	}
	send := func(body string) {
		t.Helper()
		for _, r := range q.Send(t.Context(), []queue.Outgoing{{Body: body}}) {
			if r.Err != nil {
				t.Fatal(r.Err)
			}
		}
	}
	list := func() []batchv1.Job {
		all, err := jobs.BatchV1().Jobs(ns).List(t.Context(), metav1.ListOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return all.Items
	}
	send("one")
	await(t, "a Job is made", func() bool { return len(list()) == 1 })
	await(t, "the HTTP API tells of it", func() bool {
		s, err := api.Status(t.Context())
		return err == nil && len(s.QueueJobs) == 1 && s.QueueJobs[0].Executor == "kubernetes" && s.QueueJobs[0].Jobs.Queued == 1
	})
	page, err := api.Jobs(t.Context(), httpapi.JobFilter{}, 10, "")
	if err != nil || len(page.Jobs) != 1 || page.Jobs[0].Name != list()[0].Name {
		t.Errorf("jobs: %+v, %v", page.Jobs, err)
	}
	if v, err := api.Suspend(t.Context(), "ping", true); err != nil || !v.Suspended {
		t.Errorf("suspended: %v, %v", v.Suspended, err)
	}
	stop()
	if n := len(list()); n != 1 || list()[0].DeletionTimestamp != nil {
		t.Errorf("%d Jobs are left: they go on when the controller ends", n)
	}
}

func TestControllerOfANamespaceAnswersProbes(t *testing.T) {
	c := cluster.Shared(t)
	ns := cluster.Namespace(t, c)
	err := Controller(t.Context(), ControllerOptions{Kubeconfig: c.Kubeconfig(), Listen: "127.0.0.1:0"})
	if err == nil || !strings.Contains(err.Error(), "which queues may each namespace read?") {
		t.Errorf("a controller of all namespaces without a list starts: %v", err)
	}
	o := ControllerOptions{Kubeconfig: c.Kubeconfig(), Namespaces: []string{ns}, Listen: "127.0.0.1:0", LeaderElect: true}
	if err := Controller(t.Context(), o); err == nil || !strings.Contains(err.Error(), "does not know QueueJobs") {
		t.Errorf("without the custom resource: %v", err)
	}
	installCRD(t, c)
	ready := make(chan string, 1)
	o.Ready = func(url string) { ready <- url }
	background(t, func(ctx context.Context) error { return Controller(ctx, o) })
	url := <-ready
	for _, path := range []string{"/healthz", "/readyz", "/metrics"} {
		await(t, path+" answers", func() bool {
			answer, err := http.Get(url + path)
			if err != nil {
				t.Fatal(err)
			}
			answer.Body.Close()
			return answer.StatusCode == http.StatusOK
		})
	}
}

// installCRD installs the custom resource and waits until it is served.
func installCRD(t *testing.T, c *cluster.Cluster) {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{apiextensions.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	admin, err := ctrlclient.New(c.Config(), ctrlclient.Options{Scheme: scheme})
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile("../../deploy/kubernetes/crds/queuemill.dev_queuejobs.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var crd apiextensions.CustomResourceDefinition
	if err := yaml.UnmarshalStrict(text, &crd); err != nil {
		t.Fatal(err)
	}
	if err := admin.Create(t.Context(), &crd); err != nil {
		t.Fatal(err)
	}
	await(t, "the custom resource is served", func() bool { return admin.List(t.Context(), &v1alpha1.QueueJobList{}) == nil })
}
