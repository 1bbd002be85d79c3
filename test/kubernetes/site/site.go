// Package site is Queuemill as a user has it, for tests: a real Kubernetes with
// nodes, the shipped image under the shipped manifests in it, and beside it a
// queue that speaks SQS and that pods reach.
//
// A test's own things are in Namespace, whose QueueJobs and WorkerPools may read
// every queue of NewQueue. Pods that read one themselves, as workers do, get its
// keys from the Secret KeysSecret there:
//
//	envFrom: [{secretRef: {name: queue-keys}}]
package site

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"golang.org/x/sys/unix"
	"k8s.io/client-go/kubernetes"

	"github.com/queuemill/queuemill/internal/install"
	"github.com/queuemill/queuemill/test/cluster"
	"github.com/queuemill/queuemill/test/mill"
)

const (
	// Namespace is where QueueJobs and WorkerPools are.
	Namespace = "work"
	// KeysSecret has the queue's keys and region as the AWS SDK's variables.
	KeysSecret = "queue-keys"
	// Region is the queue's.
	Region = "eu-west-1"

	keyID  = "AKIAENDTOEND"
	secret = "the key of the end-to-end test's queue"
)

// Site is a cluster with Queuemill installed in it, and a queue beside it.
type Site struct {
	Cluster  *cluster.Cluster
	Client   kubernetes.Interface
	SQS      *sqs.Client
	Endpoint string // of the queue, as the pods reach it

	programs string // a folder: queuemill, and kubectl-queuemill
}

// Start installs what a user gets: the image of `make image` under install.yaml,
// on one node or two. The queue stands on the host, at the address of the pods'
// bridge: not loopback, so it wants signed requests, and the controller's pods
// are given the keys as a user gives them. All of it goes with the test; when
// that failed, the log has first what one would look at.
func Start(t testing.TB, nodes int) *Site {
	t.Helper()
	s := &Site{programs: t.TempDir()}
	var err error
	if s.Cluster, err = cluster.Start(t.Context(), cluster.Options{Nodes: nodes}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(s.tellTale())
		}
		if err := s.Cluster.Stop(); err != nil {
			t.Error(err)
		}
	})
	if s.Client, err = kubernetes.NewForConfig(s.Cluster.Config()); err != nil {
		t.Fatal(err)
	}
	if err := s.loadProgram(t); err != nil {
		t.Fatal(err)
	}
	s.startQueue(t)
	s.install(t)
	return s
}

// tellTale is what one looks at first when something did not come about.
func (s *Site) tellTale() string {
	kubectl := s.Cluster.Bin("kubectl")
	var b strings.Builder
	const conditions = `{range .status.conditions[*]}  {.type}={.status} {.reason} {.message}{"\n"}{end}{end}`
	for _, args := range [][]string{
		{"get", "queuejobs", "-A", "-o", `jsonpath={range .items[*]}{.metadata.name}: {.status.jobs}{"\n"}` + conditions},
		{"get", "workerpools", "-A", "-o", `jsonpath={range .items[*]}{.metadata.name}: {.status.workers} {.status.decision}{"\n"}` + conditions},
		{"get", "pods", "-A", "-o", "wide"},
		{"get", "events.events.k8s.io", "-n", Namespace, "-o", `jsonpath={range .items[?(@.reportingController!="kubelet")]}{.regarding.kind}/{.regarding.name}: {.reason}: {.note}{"\n"}{end}`},
		{"logs", "-n", install.Namespace, "-l", "app.kubernetes.io/name=queuemill", "--prefix", "--tail=60"},
	} {
		r := s.Run("", kubectl, args...)
		fmt.Fprintf(&b, "kubectl %s\n%s%s\n", strings.Join(args[:3], " "), r.Text, r.Errs)
	}
	return b.String()
}

// loadProgram puts the image of `make image`, as the manifests name it, onto the
// nodes, and keeps its program. One test binary builds at a time: dist is
// everybody's.
func (s *Site) loadProgram(t testing.TB) error {
	dist := filepath.Join(mill.Root(), "dist")
	if err := os.MkdirAll(dist, 0o755); err != nil {
		return err
	}
	lock, err := os.OpenFile(filepath.Join(dist, ".lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	defer lock.Close()
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		return fmt.Errorf("lock %s: %w", dist, err)
	}
	build := exec.Command("make", "-s", "image", "ARCHS="+runtime.GOARCH, "VERSION="+strings.TrimPrefix(install.DefaultImage, "queuemill/queuemill:"))
	build.Dir = mill.Root()
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("make image: %w\n%s", err, out)
	}
	if err := s.Cluster.LoadImage(t.Context(), filepath.Join(dist, "image")); err != nil {
		return err
	}
	if err := os.Symlink("queuemill", filepath.Join(s.programs, "kubectl-queuemill")); err != nil {
		return err
	}
	return copyProgram(filepath.Join(dist, "linux-"+runtime.GOARCH, "queuemill"), s.Program())
}

// Program is the image's.
func (s *Site) Program() string { return filepath.Join(s.programs, "queuemill") }

func copyProgram(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY|os.O_EXCL, 0o755)
	if err != nil {
		return err
	}
	if _, err := io.Copy(out, in); err != nil {
		out.Close()
		return err
	}
	return out.Close()
}

func (s *Site) startQueue(t testing.TB) {
	t.Helper()
	l, err := net.Listen("tcp", net.JoinHostPort(s.Cluster.HostAddress(), "0"))
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	up := mill.Start(t, mill.Options{
		Binary: s.Program(), Data: t.TempDir(), Dir: t.TempDir(), Listen: mill.FreeAddress(t), SQSListen: address,
		Args: []string{"--region", Region},
		Env:  []string{"QUEUEMILL_SQS_ACCESS_KEY_ID=" + keyID, "QUEUEMILL_SQS_SECRET_ACCESS_KEY=" + secret},
	})
	up.WaitReady(t)
	s.Endpoint = up.SQSURL
	s.SQS = sqs.New(sqs.Options{
		Region: Region, BaseEndpoint: aws.String(s.Endpoint),
		Credentials: credentials.NewStaticCredentialsProvider(keyID, secret, ""),
	})
}

func (s *Site) install(t testing.TB) {
	t.Helper()
	s.Kubectl(t, "", "apply", "--server-side", "-f", filepath.Join(mill.Root(), "deploy", "kubernetes", "install.yaml"))
	s.Kubectl(t, "", "create", "namespace", Namespace)
	s.Kubectl(t, fmt.Sprintf(`
apiVersion: v1
kind: ConfigMap
metadata: {name: %s, namespace: %s}
data:
  %s: |
    allow:
    - namespaces: [%s]
      queues: ["%s/000000000000/*"]
`, install.ConfigMap, install.Namespace, install.ConfigKey, Namespace, s.Endpoint), "apply", "-f", "-")
	for _, namespace := range []string{install.Namespace, Namespace} {
		s.Kubectl(t, fmt.Sprintf(`
apiVersion: v1
kind: Secret
metadata: {name: %s, namespace: %s}
stringData: {AWS_ACCESS_KEY_ID: %s, AWS_SECRET_ACCESS_KEY: %q, AWS_REGION: %s}
`, KeysSecret, namespace, keyID, secret, Region), "apply", "-f", "-")
	}
	s.Kubectl(t, "", "set", "env", "-n", install.Namespace, "deployment/"+install.Name, "--from=secret/"+KeysSecret)
	s.Kubectl(t, "", "rollout", "status", "-n", install.Namespace, "deployment/"+install.Name, "--timeout=120s")
}
