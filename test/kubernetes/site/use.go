package site

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	corev1 "k8s.io/api/core/v1"
)

// patience is for a machine that does much else; nothing takes that long on an
// idle one.
const patience = 3 * time.Minute

// Result is what a command wrote and how it ended.
type Result struct {
	Text string // stdout
	Errs string // stderr
	Code int
}

// Run runs a program as a person does who has the cluster's kubeconfig.
func (s *Site) Run(stdin string, name string, args ...string) Result {
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+s.Cluster.Kubeconfig(), "NO_COLOR=1",
		"PATH="+s.programs+":"+os.Getenv("PATH"))
	cmd.Stdin = strings.NewReader(stdin)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	r := Result{Text: out.String(), Errs: errs.String(), Code: cmd.ProcessState.ExitCode()}
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		r.Errs += err.Error()
	}
	return r
}

// Kubectl must succeed; it returns what it wrote.
func (s *Site) Kubectl(t testing.TB, stdin string, args ...string) string {
	t.Helper()
	r := s.Run(stdin, s.Cluster.Bin("kubectl"), args...)
	if r.Code != 0 {
		t.Fatalf("kubectl %s: exit code %d\n%s%s", strings.Join(args, " "), r.Code, r.Text, r.Errs)
	}
	return r.Text
}

// Mill is `kubectl queuemill ARGS` in the namespace; it must end with code.
func (s *Site) Mill(t testing.TB, code int, args ...string) string {
	t.Helper()
	r := s.Run("", s.Cluster.Bin("kubectl"), append([]string{"queuemill", "-n", Namespace}, args...)...)
	if r.Code != code {
		t.Fatalf("kubectl queuemill %s: exit code %d, want %d\n%s%s", strings.Join(args, " "), r.Code, code, r.Text, r.Errs)
	}
	return r.Text
}

// NewQueue makes a queue and returns its URL.
func (s *Site) NewQueue(t testing.TB, name string, attributes map[string]string) string {
	t.Helper()
	out, err := s.SQS.CreateQueue(t.Context(), &sqs.CreateQueueInput{QueueName: &name, Attributes: attributes})
	if err != nil {
		t.Fatal(err)
	}
	return s.Endpoint + "/000000000000/" + filepath.Base(*out.QueueUrl)
}

// Send returns the message's ID.
func (s *Site) Send(t testing.TB, queueURL, body string) string {
	t.Helper()
	out, err := s.SQS.SendMessage(t.Context(), &sqs.SendMessageInput{QueueUrl: &queueURL, MessageBody: &body})
	if err != nil {
		t.Fatal(err)
	}
	return *out.MessageId
}

// Depth is how many messages the queue holds, in whatever state.
func (s *Site) Depth(t testing.TB, queueURL string) int {
	t.Helper()
	out, err := s.SQS.GetQueueAttributes(t.Context(), &sqs.GetQueueAttributesInput{
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

// Eventually asks again and again, a few times a second: each look may start a
// program or two.
func (s *Site) Eventually(t testing.TB, what string, done func() bool, seen func() string) {
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

// Drain empties a node as a person does before its maintenance, and gives it
// back. With a selector only those pods go.
func (s *Site) Drain(t testing.TB, node, selector string) {
	t.Helper()
	s.Kubectl(t, "", "drain", node, "--force", "--ignore-daemonsets", "--delete-emptydir-data", "--timeout=120s", "--pod-selector="+selector)
	s.Kubectl(t, "", "uncordon", node)
}

// Kill kills the first process of a pod's container by SIGKILL from outside;
// false: none runs.
func Kill(pod *corev1.Pod) bool {
	pid := containerPID(pod)
	return pid != 0 && syscall.Kill(pid, syscall.SIGKILL) == nil
}

// containerPID is the first process of the pod's container as this machine
// numbers it, 0 when it does not run. Its control group names it.
func containerPID(pod *corev1.Pod) int {
	for _, status := range pod.Status.ContainerStatuses {
		_, id, ok := strings.Cut(status.ContainerID, "://")
		if !ok || status.State.Running == nil {
			continue
		}
		groups, err := filepath.Glob("/proc/[0-9]*/cgroup")
		if err != nil {
			return 0
		}
		for _, path := range groups {
			var pid int
			if text, err := os.ReadFile(path); err == nil && strings.Contains(string(text), id) {
				if _, err := fmt.Sscanf(path, "/proc/%d/cgroup", &pid); err == nil {
					return pid
				}
			}
		}
	}
	return 0
}
