package rights

import (
	"context"
	"errors"
	"fmt"
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
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	ctrllog "sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/yaml"

	"github.com/queuemill/queuemill/api/v1alpha1"
	"github.com/queuemill/queuemill/internal/install"
	"github.com/queuemill/queuemill/test/cluster"
	"github.com/queuemill/queuemill/test/cluster/fakekubelet"
	"github.com/queuemill/queuemill/test/mill"
)

var (
	binary string           // queuemill, as it is shipped
	plane  *cluster.Cluster // each test starts its controller on it
)

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) (code int) {
	ctrllog.SetLogger(logr.Discard()) // the client's; else it complains
	folder, err := os.MkdirTemp("", "queuemill-rights-")
	if err == nil {
		defer os.RemoveAll(folder)
		binary, err = mill.Build(folder, "./cmd/queuemill", false)
	}
	if err == nil {
		plane, err = cluster.Start(context.Background(), cluster.Options{Audit: true})
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() {
		if err := plane.Stop(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = max(code, 1)
		}
	}()
	return m.Run()
}

// kubectl runs it as an administrator.
func kubectl(t *testing.T, stdin string, args ...string) string {
	t.Helper()
	command := exec.Command(plane.Bin("kubectl"), append([]string{"--kubeconfig", plane.Kubeconfig()}, args...)...)
	command.Env = append(os.Environ(), "HOME="+t.TempDir())
	command.Stdin = strings.NewReader(stdin)
	out, err := command.CombinedOutput()
	if err != nil {
		t.Fatalf("kubectl %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// manifest is a file of deploy/kubernetes.
func manifest(name string) string { return filepath.Join(mill.Root(), "deploy", "kubernetes", name) }

// applied is install.yaml. Its Deployment waits for a node that never comes:
// the tests run its program themselves, with its identity.
var applied sync.Once

func applyInstall(t *testing.T) {
	t.Helper()
	applied.Do(func() { kubectl(t, "", "apply", "--server-side", "-f", manifest("install.yaml")) })
}

// world is a namespace with queues and pods that run as their messages say.
type world struct {
	t         *testing.T
	namespace string
	api       client.Client // an administrator's
	queues    *mill.Up
	sqs       *sqs.Client
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, namespace: cluster.Namespace(t, plane), api: apiClient(t, plane.Config())}
	w.queues = mill.Start(t, mill.Options{Binary: binary, Data: t.TempDir(), Listen: mill.FreeAddress(t), SQSListen: mill.FreeAddress(t)})
	w.queues.WaitReady(t)
	w.sqs = sqs.New(sqs.Options{
		BaseEndpoint: aws.String(w.queues.SQSURL), Region: "us-east-1",
		Credentials: credentials.NewStaticCredentialsProvider("test", "test", ""),
	})
	w.runPods()
	return w
}

func apiClient(t *testing.T, config *rest.Config) client.Client {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	api, err := client.New(config, client.Options{Scheme: scheme})
	if err != nil {
		t.Fatal(err)
	}
	return api
}

// runPods runs the namespace's pods until the test ends. A container whose
// image is "fails" exits 3 at the first attempt; "stays" runs for good; others
// exit 0.
func (w *world) runPods() {
	ctx, cancel := context.WithCancel(context.Background())
	var done sync.WaitGroup
	w.t.Cleanup(func() {
		if w.t.Failed() {
			w.t.Logf("what there is:\n%s", kubectl(w.t, "", "get", "queuejobs,workerpools,jobs,pods,secrets", "-n", w.namespace, "-o", "wide", "--show-labels"))
		}
	})
	done.Go(func() {
		err := fakekubelet.Run(ctx, fakekubelet.Options{Config: plane.Config(), Namespace: w.namespace, Plan: plan})
		if err != nil && !errors.Is(err, context.Canceled) {
			w.t.Errorf("run pods: %v", err)
		}
	})
	w.t.Cleanup(func() {
		cancel()
		done.Wait()
	})
}

func plan(pod *corev1.Pod) fakekubelet.Plan {
	if pod.Labels["queuemill.dev/queuejob"] == "" {
		return fakekubelet.Plan{Hold: true} // the Deployment's: the test runs its program
	}
	c := pod.Spec.Containers[0]
	switch c.Image {
	case "fails":
		for _, e := range c.Env {
			if e.Name == "QUEUEMILL_ATTEMPT" && e.Value == "1" {
				return fakekubelet.Plan{ExitCode: 3}
			}
		}
	case "stays":
		return fakekubelet.Plan{Until: make(chan struct{})}
	}
	return fakekubelet.Plan{}
}

// queue makes one and returns its URL.
func (w *world) queue(name string) string {
	w.t.Helper()
	out, err := w.sqs.CreateQueue(w.t.Context(), &sqs.CreateQueueInput{QueueName: &name})
	if err != nil {
		w.t.Fatal(err)
	}
	return *out.QueueUrl
}

// send sends up to ten messages at once.
func (w *world) send(url string, bodies ...string) {
	w.t.Helper()
	in := &sqs.SendMessageBatchInput{QueueUrl: &url}
	for i, body := range bodies {
		in.Entries = append(in.Entries, types.SendMessageBatchRequestEntry{Id: aws.String(strconv.Itoa(i)), MessageBody: &body})
	}
	if out, err := w.sqs.SendMessageBatch(w.t.Context(), in); err != nil || len(out.Failed) > 0 {
		w.t.Fatalf("send: %v, %v", err, out)
	}
}

// queueJob makes one that reads url and runs image; spec is more YAML of its
// spec.
func (w *world) queueJob(name, url, image, spec string) {
	w.t.Helper()
	text := fmt.Sprintf(`
metadata: {name: %s, namespace: %s}
spec:
  queue: {sqs: {url: %q, region: us-east-1}}
  kubernetes:
    jobTemplate:
      spec:
        backoffLimit: 0
        template: {spec: {restartPolicy: Never, containers: [{name: main, image: %s}]}}
`, name, w.namespace, url, image)
	for line := range strings.Lines(spec) {
		text += "  " + line
	}
	qj := &v1alpha1.QueueJob{}
	if err := yaml.UnmarshalStrict([]byte(text), qj); err != nil {
		w.t.Fatal(err)
	}
	if err := w.api.Create(w.t.Context(), qj); err != nil {
		w.t.Fatal(err)
	}
}

// patch is a merge patch of a QueueJob by an administrator.
func (w *world) patch(queueJob, patch string) {
	w.t.Helper()
	kubectl(w.t, "", "patch", "queuejob", queueJob, "-n", w.namespace, "--type=merge", "-p", patch)
}

// annotate sets an annotation of a Job as a person does.
func (w *world) annotate(job, annotation string) {
	w.t.Helper()
	kubectl(w.t, "", "annotate", "job", job, "-n", w.namespace, annotation)
}

// jobs are those of a QueueJob.
func (w *world) jobs(queueJob string) []batchv1.Job {
	w.t.Helper()
	list := &batchv1.JobList{}
	err := w.api.List(w.t.Context(), list, client.InNamespace(w.namespace), client.MatchingLabels{"queuemill.dev/queuejob": queueJob})
	if err != nil {
		w.t.Fatal(err)
	}
	return list.Items
}

// job waits for a Job of a QueueJob that is as wanted.
func (w *world) job(queueJob, what string, wanted func(*batchv1.Job) bool) (found batchv1.Job) {
	w.t.Helper()
	w.until("a Job of "+queueJob+" that "+what, func() bool {
		for _, j := range w.jobs(queueJob) {
			if wanted(&j) {
				found = j
				return true
			}
		}
		return false
	})
	return found
}

// condition is a condition of a QueueJob at its present generation.
func (w *world) condition(queueJob, condition string) (status, reason, message string) {
	w.t.Helper()
	qj := &v1alpha1.QueueJob{}
	if err := w.api.Get(w.t.Context(), client.ObjectKey{Namespace: w.namespace, Name: queueJob}, qj); err != nil {
		w.t.Fatal(err)
	}
	for _, c := range qj.Status.Conditions {
		if c.Type == condition && c.ObservedGeneration == qj.Generation {
			return string(c.Status), c.Reason, c.Message
		}
	}
	return "", "", ""
}

// until waits for up to three minutes, for a busy machine.
func (w *world) until(what string, ok func() bool) {
	w.t.Helper()
	if err := mill.Poll(w.t.Context(), 3*time.Minute, func() (bool, error) { return ok(), nil }); err != nil {
		w.t.Fatalf("%s: %v", what, err)
	}
}

// controller runs the shipped one as the ServiceAccount of a namespace, with more
// environment.
func (w *world) controller(namespace string, env []string, args ...string) *mill.Controller {
	w.t.Helper()
	kubeconfig, err := plane.KubeconfigFor(w.t.Context(), namespace, install.Name)
	if err != nil {
		w.t.Fatal(err)
	}
	c := mill.StartController(w.t, binary, append(env,
		"POD_NAMESPACE="+namespace, "AWS_ACCESS_KEY_ID=test", "AWS_SECRET_ACCESS_KEY=test", "AWS_EC2_METADATA_DISABLED=true",
	), append([]string{"--kubeconfig", kubeconfig, "--leader-elect", "--worker-image", install.DefaultImage}, args...)...)
	w.t.Cleanup(func() {
		if w.t.Failed() {
			log := c.Log()
			w.t.Logf("the controller logged:\n%s", log[max(0, len(log)-8000):])
		}
	})
	return c
}

// allow writes an allow-list that lets the world's namespace read queue (none: nothing),
// and returns its path.
func (w *world) allow(path string, queue string) string {
	w.t.Helper()
	if path == "" {
		path = filepath.Join(w.t.TempDir(), "config.yaml")
	}
	text := "allow: []\n"
	if queue != "" {
		text = fmt.Sprintf("allow:\n- {namespaces: [%s], queues: [%q]}\n", w.namespace, queue)
	}
	if err := os.WriteFile(path+".part", []byte(text), 0o600); err != nil {
		w.t.Fatal(err)
	}
	if err := os.Rename(path+".part", path); err != nil {
		w.t.Fatal(err)
	}
	return path
}
