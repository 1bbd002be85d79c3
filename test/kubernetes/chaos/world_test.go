package chaos

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/queuemill/queuemill/api/v1alpha1"
	"github.com/queuemill/queuemill/test/cluster"
	"github.com/queuemill/queuemill/test/cluster/fakekubelet"
	"github.com/queuemill/queuemill/test/mill"
)

// world is a namespace of the shared control plane with a queue endpoint, a
// kubelet and a witness of its own.
type world struct {
	t         *testing.T
	namespace string
	client    kubernetes.Interface
	api       client.Client
	sqs       *endpoint
	seen      *witness
	allow     string // path of the allow-list
}

// newWorld makes one whose pods run as plan says; nil: exit 0 at once.
func newWorld(t *testing.T, plan func(*corev1.Pod) fakekubelet.Plan) *world {
	t.Helper()
	install(t)
	w := &world{t: t, namespace: cluster.Namespace(t, plane), sqs: startSQS(t, *seed)}
	w.client, w.api = clients(t, plane.Config())
	w.seen = watchJobs(t, w, plan)
	w.allow = filepath.Join(t.TempDir(), "config.yaml")
	text := fmt.Sprintf("allow:\n- namespaces: [%s]\n  queues: [%q]\n", w.namespace, w.sqs.url+"/000000000000/*")
	if err := os.WriteFile(w.allow, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return w
}

func clients(t testing.TB, config *rest.Config) (kubernetes.Interface, client.Client) {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	typed, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	api, err := client.New(config, client.Options{Scheme: scheme})
	if err != nil {
		t.Fatal(err)
	}
	return typed, api
}

// awsEnv is what the controller's processes sign with; the endpoint takes
// any.
var awsEnv = []string{"AWS_ACCESS_KEY_ID=test", "AWS_SECRET_ACCESS_KEY=test", "AWS_REGION=us-east-1", "AWS_EC2_METADATA_DISABLED=true"}

// controller starts a controller of the world's namespace alone.
func (w *world) controller(args ...string) *mill.Controller {
	w.t.Helper()
	c := w.startController(append([]string{"--namespace", w.namespace}, args...)...)
	w.t.Cleanup(func() {
		if w.t.Failed() {
			w.t.Logf("controller %d logged:\n%s", c.Pid, tail(c.Log(), 5000))
		}
	})
	return c
}

// startController starts one with the rights of the shipped ServiceAccount.
func (w *world) startController(args ...string) *mill.Controller {
	w.t.Helper()
	kubeconfig, err := plane.KubeconfigFor(w.t.Context(), systemNamespace, controllerAccount)
	if err != nil {
		w.t.Fatal(err)
	}
	env := append([]string{"POD_NAMESPACE=" + systemNamespace}, awsEnv...)
	c := mill.StartController(w.t, binary, env, append([]string{"--kubeconfig", kubeconfig, "--config", w.allow}, args...)...)
	w.t.Cleanup(func() {
		if text := c.Broken(); text != "" {
			w.t.Errorf("controller %d:\n%s", c.Pid, text)
		}
	})
	return c
}

func tail(s string, n int) string { return s[max(0, len(s)-n):] }

// queueJob is a manifest of a QueueJob that reads a queue of the world. spec
// stands under spec.
func (w *world) queueJob(name, queue, spec string) *v1alpha1.QueueJob {
	w.t.Helper()
	text := fmt.Sprintf("metadata: {name: %s, namespace: %s}\nspec:\n  queue: {sqs: {url: %q, region: us-east-1}}\n", name, w.namespace, w.sqs.url+"/000000000000/"+queue)
	qj := &v1alpha1.QueueJob{}
	if err := yaml.UnmarshalStrict([]byte(text+indent(spec)), qj); err != nil {
		w.t.Fatalf("%v in\n%s", err, text+indent(spec))
	}
	return qj
}

// indent puts a piece of YAML two columns to the right.
func indent(text string) string {
	lines := strings.Split(strings.Trim(text, "\n"), "\n")
	for i, l := range lines {
		lines[i] = "  " + l
	}
	return strings.Join(lines, "\n") + "\n"
}

// create makes an object.
func (w *world) create(o client.Object) {
	w.t.Helper()
	if err := w.api.Create(w.t.Context(), o); err != nil {
		w.t.Fatal(err)
	}
}

// edit changes a QueueJob.
func (w *world) edit(name string, change func(*v1alpha1.QueueJob)) {
	w.t.Helper()
	qj := w.get(name)
	before := qj.DeepCopy()
	change(qj)
	if err := w.api.Patch(w.t.Context(), qj, client.MergeFrom(before)); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) get(name string) *v1alpha1.QueueJob {
	w.t.Helper()
	qj := &v1alpha1.QueueJob{}
	if err := w.api.Get(w.t.Context(), client.ObjectKey{Namespace: w.namespace, Name: name}, qj); err != nil {
		w.t.Fatal(err)
	}
	return qj
}

// condition waits until a condition has the status, and returns it as
// "Reason: message".
func (w *world) condition(name, kind, status string) (text string) {
	w.t.Helper()
	w.within(patience, func() string {
		c := meta.FindStatusCondition(w.get(name).Status.Conditions, kind)
		if c == nil {
			return fmt.Sprintf("%s has no condition %s", name, kind)
		}
		text = c.Reason + ": " + c.Message
		if string(c.Status) != status {
			return fmt.Sprintf("%s of %s is %s (%s), want %s", kind, name, c.Status, text, status)
		}
		return ""
	})
	return text
}

// patience is for a machine that is busy with other things.
const patience = 3 * time.Minute

// within waits until wrong returns "", and fails with what it said last.
func (w *world) within(limit time.Duration, wrong func() string) {
	w.t.Helper()
	last := ""
	err := mill.Poll(w.t.Context(), limit, func() (bool, error) {
		last = wrong()
		return last == "", nil
	})
	if err != nil {
		w.t.Fatalf("after %v: %s\n%s", limit, last, w.conditions())
	}
}

// conditions are those of all QueueJobs, for messages.
func (w *world) conditions() string {
	var list v1alpha1.QueueJobList
	if err := w.api.List(w.t.Context(), &list, client.InNamespace(w.namespace)); err != nil {
		return err.Error()
	}
	var b strings.Builder
	for i := range list.Items {
		qj := &list.Items[i]
		fmt.Fprintf(&b, "  QueueJob %s, jobs %+v\n", qj.Name, qj.Status.Jobs)
		for _, c := range qj.Status.Conditions {
			fmt.Fprintf(&b, "    %s=%s %s: %s\n", c.Type, c.Status, c.Reason, c.Message)
		}
	}
	return b.String()
}

// jobs waits until a message has as many Jobs as want says, each in that
// phase ("" is any), and returns them.
func (w *world) jobs(messageID string, want ...string) (jobs []seenJob) {
	w.t.Helper()
	w.within(patience, func() string {
		jobs = w.seen.of(messageID)
		got := make([]string, len(jobs))
		right := len(jobs) == len(want)
		for i, j := range jobs {
			got[i] = phase(j.Job)
			if j.gone {
				got[i] = "gone"
			}
			right = right && (want[i] == "" || strings.Contains(got[i], want[i]))
		}
		if !right {
			return fmt.Sprintf("message %s has %d Jobs %q, want %q\n%s", messageID, len(jobs), got, want, w.history(messageID))
		}
		return ""
	})
	return jobs
}

// history is all that is known of one message: for whoever has to find out why.
func (w *world) history(messageID string) string {
	var b strings.Builder
	for _, line := range w.sqs.of(messageID).history {
		fmt.Fprintf(&b, "  queue: %s\n", line)
	}
	for _, j := range w.seen.of(messageID) {
		fmt.Fprintf(&b, "  job %s, UID %s, made at %s: %s\n", j.Name, j.UID, stamp(j.CreationTimestamp.Time), strings.Join(j.history, "; "))
	}
	for _, r := range w.seen.runsOf(messageID) {
		fmt.Fprintf(&b, "  %v\n", &r)
	}
	return b.String()
}
