package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"k8s.io/client-go/kubernetes"

	"github.com/queuemill/queuemill/internal/httpapi"
	"github.com/queuemill/queuemill/internal/install"
	"github.com/queuemill/queuemill/test/cluster"
	"github.com/queuemill/queuemill/test/mill"
)

const (
	region   = "eu-west-1"
	keyID    = "AKIAENDTOEND"
	secret   = "the key of the end-to-end test's queue"
	ns       = "work"          // where the QueueJobs are
	patience = 3 * time.Minute // on a machine that does much else; nothing takes that long on an idle one
)

// system is a cluster with Queuemill installed in it, and a queue beside it.
type system struct {
	cluster  *cluster.Cluster
	client   kubernetes.Interface
	sqs      *sqs.Client
	endpoint string // of the queue, as the pods reach it
	plugin   string // kubectl-queuemill
}

// start installs what a user gets: the image of `make image` under
// install.yaml. The queue stands on the host, at the address of the pods'
// bridge: not loopback, so it wants signed requests, and the controller's pods
// are given the keys as a user gives them.
func start(t *testing.T) *system {
	dir := t.TempDir()
	s := &system{}
	binary, err := mill.Build(dir, "./cmd/queuemill", false)
	if err != nil {
		t.Fatal(err)
	}
	s.plugin = filepath.Join(dir, "kubectl-queuemill")
	if err := os.Symlink(binary, s.plugin); err != nil {
		t.Fatal(err)
	}
	if s.cluster, err = cluster.Start(t.Context(), cluster.Options{Nodes: 2}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(s.tellTale())
		}
		if err := s.cluster.Stop(); err != nil {
			t.Error(err)
		}
	})
	if s.client, err = kubernetes.NewForConfig(s.cluster.Config()); err != nil {
		t.Fatal(err)
	}
	s.makeImage(t)
	s.startQueue(t, binary)
	s.install(t)
	return s
}

// tellTale is what one looks at first when something did not come about.
func (s *system) tellTale() string {
	kubectl := s.cluster.Bin("kubectl")
	var b strings.Builder
	for _, args := range [][]string{
		{"get", "queuejobs", "-A", "-o", `jsonpath={range .items[*]}{.metadata.name}: {.status.jobs}{"\n"}{range .status.conditions[*]}  {.type}={.status} {.reason} {.message}{"\n"}{end}{end}`},
		{"get", "pods", "-A", "-o", "wide"},
		{"get", "events.events.k8s.io", "-n", ns, "-o", `jsonpath={range .items[?(@.regarding.kind=="QueueJob")]}{.regarding.name}: {.reason}: {.note}{"\n"}{end}`},
		{"logs", "-n", install.Namespace, "-l", "app.kubernetes.io/name=queuemill", "--prefix", "--tail=60"},
	} {
		r := s.run("", kubectl, args...)
		fmt.Fprintf(&b, "kubectl %s\n%s%s\n", strings.Join(args[:3], " "), r.text, r.errs)
	}
	return b.String()
}

// makeImage is `make image`, as the manifests name it, onto the nodes.
func (s *system) makeImage(t *testing.T) {
	t.Helper()
	build := exec.Command("make", "-s", "image", "ARCHS="+runtime.GOARCH, "VERSION="+strings.TrimPrefix(install.DefaultImage, "queuemill/queuemill:"))
	build.Dir = mill.Root()
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("make image: %v\n%s", err, out)
	}
	if err := s.cluster.LoadImage(t.Context(), filepath.Join(mill.Root(), "dist", "image")); err != nil {
		t.Fatal(err)
	}
}

func (s *system) startQueue(t *testing.T, binary string) {
	t.Helper()
	l, err := net.Listen("tcp", net.JoinHostPort(s.cluster.HostAddress(), "0"))
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	up := mill.Start(t, mill.Options{
		Binary: binary, Data: t.TempDir(), Dir: t.TempDir(), Listen: mill.FreeAddress(t), SQSListen: address,
		Args: []string{"--region", region},
		Env:  []string{"QUEUEMILL_SQS_ACCESS_KEY_ID=" + keyID, "QUEUEMILL_SQS_SECRET_ACCESS_KEY=" + secret},
	})
	up.WaitReady(t)
	s.endpoint = up.SQSURL
	s.sqs = sqs.New(sqs.Options{
		Region: region, BaseEndpoint: aws.String(s.endpoint),
		Credentials: credentials.NewStaticCredentialsProvider(keyID, secret, ""),
	})
}

func (s *system) install(t *testing.T) {
	t.Helper()
	s.kubectl(t, "", "apply", "--server-side", "-f", filepath.Join(mill.Root(), "deploy", "kubernetes", "install.yaml"))
	s.kubectl(t, "", "create", "namespace", ns)
	s.kubectl(t, fmt.Sprintf(`
apiVersion: v1
kind: ConfigMap
metadata: {name: %s, namespace: %s}
data:
  %s: |
    allow:
    - namespaces: [%s]
      queues: ["%s/000000000000/*"]
---
apiVersion: v1
kind: Secret
metadata: {name: queue-keys, namespace: %[2]s}
stringData: {AWS_ACCESS_KEY_ID: %[6]s, AWS_SECRET_ACCESS_KEY: %[7]q, AWS_REGION: %[8]s}
`, install.ConfigMap, install.Namespace, install.ConfigKey, ns, s.endpoint, keyID, secret, region), "apply", "-f", "-")
	s.kubectl(t, "", "set", "env", "-n", install.Namespace, "deployment/"+install.Name, "--from=secret/queue-keys")
	s.kubectl(t, "", "rollout", "status", "-n", install.Namespace, "deployment/"+install.Name, "--timeout=120s")
}

// result is what a command wrote and how it ended.
type result struct {
	text string // stdout
	errs string // stderr
	code int
}

func (s *system) run(stdin string, name string, args ...string) result {
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+s.cluster.Kubeconfig(), "NO_COLOR=1",
		"PATH="+filepath.Dir(s.plugin)+":"+os.Getenv("PATH"))
	cmd.Stdin = strings.NewReader(stdin)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	r := result{text: out.String(), errs: errs.String(), code: cmd.ProcessState.ExitCode()}
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		r.errs += err.Error()
	}
	return r
}

// kubectl must succeed; it returns what it wrote.
func (s *system) kubectl(t *testing.T, stdin string, args ...string) string {
	t.Helper()
	r := s.run(stdin, s.cluster.Bin("kubectl"), args...)
	if r.code != 0 {
		t.Fatalf("kubectl %s: exit code %d\n%s%s", strings.Join(args, " "), r.code, r.text, r.errs)
	}
	return r.text
}

// mill is `kubectl queuemill ARGS` in the namespace; it must end with code.
func (s *system) mill(t *testing.T, code int, args ...string) string {
	t.Helper()
	r := s.run("", s.cluster.Bin("kubectl"), append([]string{"queuemill", "-n", ns}, args...)...)
	if r.code != code {
		t.Fatalf("kubectl queuemill %s: exit code %d, want %d\n%s%s", strings.Join(args, " "), r.code, code, r.text, r.errs)
	}
	return r.text
}

// newQueue makes a queue and returns its URL.
func (s *system) newQueue(t *testing.T, name string, attributes map[string]string) string {
	t.Helper()
	out, err := s.sqs.CreateQueue(t.Context(), &sqs.CreateQueueInput{QueueName: &name, Attributes: attributes})
	if err != nil {
		t.Fatal(err)
	}
	return s.endpoint + "/000000000000/" + filepath.Base(*out.QueueUrl)
}

// apply makes a queue of the QueueJob's name and applies the QueueJob, whose
// spec is YAML with QUEUE for the queue's URL and BUSYBOX for the image.
func (s *system) apply(t *testing.T, name, spec string) (queueURL string) {
	t.Helper()
	queueURL = s.newQueue(t, name, nil)
	s.applyOn(t, name, queueURL, spec)
	return queueURL
}

func (s *system) applyOn(t *testing.T, name, queueURL, spec string) {
	t.Helper()
	spec = strings.NewReplacer("BUSYBOX", cluster.Busybox).Replace(strings.Trim(spec, "\n"))
	s.kubectl(t, fmt.Sprintf("apiVersion: queuemill.dev/v1alpha1\nkind: QueueJob\nmetadata: {name: %s, namespace: %s}\nspec:\n  queue: {sqs: {url: %q}}\n%s\n",
		name, ns, queueURL, spec), "apply", "-f", "-")
}

// send returns the message's ID.
func (s *system) send(t *testing.T, queueURL, body string) string {
	t.Helper()
	out, err := s.sqs.SendMessage(t.Context(), &sqs.SendMessageInput{QueueUrl: &queueURL, MessageBody: &body})
	if err != nil {
		t.Fatal(err)
	}
	return *out.MessageId
}

// depth is how many messages the queue holds, in whatever state.
func (s *system) depth(t *testing.T, queueURL string) int {
	t.Helper()
	out, err := s.sqs.GetQueueAttributes(t.Context(), &sqs.GetQueueAttributesInput{
		QueueUrl: &queueURL, AttributeNames: []types.QueueAttributeName{types.QueueAttributeNameAll},
	})
	if err != nil {
		t.Fatal(err)
	}
	total := 0
	for _, name := range []string{"ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible", "ApproximateNumberOfMessagesDelayed"} {
		var n int
		if _, err := fmt.Sscan(out.Attributes[name], &n); err != nil {
			t.Fatalf("%s = %q: %v", name, out.Attributes[name], err)
		}
		total += n
	}
	return total
}

// jobs are the records of a QueueJob as `kubectl queuemill jobs` lists them.
func (s *system) jobs(t *testing.T, args ...string) []httpapi.Job {
	t.Helper()
	var list struct {
		Jobs []httpapi.Job `json:"jobs"`
	}
	text := s.mill(t, 0, append([]string{"jobs", "-o", "json"}, args...)...)
	if err := json.Unmarshal([]byte(text), &list); err != nil {
		t.Fatalf("jobs -o json: %v\n%s", err, text)
	}
	return list.Jobs
}

// job is the one record of a message as `describe` shows it, zero when there is
// none yet.
func (s *system) job(t *testing.T, messageID string) httpapi.Job {
	t.Helper()
	jobs := s.jobs(t, "--message-id", messageID)
	if len(jobs) > 1 {
		t.Fatalf("message %s has %d records", messageID, len(jobs))
	}
	if len(jobs) == 0 {
		return httpapi.Job{}
	}
	var j httpapi.Job
	text := s.mill(t, 0, "describe", jobs[0].Name, "-o", "json")
	if err := json.Unmarshal([]byte(text), &j); err != nil {
		t.Fatalf("describe -o json: %v\n%s", err, text)
	}
	return j
}

// await returns the message's record once it is as wanted.
func (s *system) await(t *testing.T, messageID, what string, want func(httpapi.Job) bool) httpapi.Job {
	t.Helper()
	var j httpapi.Job
	s.eventually(t, what, func() bool {
		j = s.job(t, messageID)
		return want(j)
	}, func() string { return asJSON(j) })
	return j
}

// eventually asks again and again, a few times a second: each look starts a
// program or two.
func (s *system) eventually(t *testing.T, what string, done func() bool, seen func() string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	tick := time.NewTicker(300 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("waited %v for %s; it is now:\n%s", patience, what, seen())
		}
	}
}

func asJSON(v any) string {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err.Error()
	}
	return string(b)
}

func decode(t *testing.T, text string, into any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), into); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
}
