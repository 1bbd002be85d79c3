package scaletarget_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/queuemill/queuemill/internal/scaletarget"
	"github.com/queuemill/queuemill/internal/workerpool"
	"github.com/queuemill/queuemill/test/cluster"
)

func TestMain(m *testing.M) { cluster.Main(m, cluster.Options{}) }

// world is a namespace of a real API server, in which people and tools work with
// kubectl.
type world struct {
	*testing.T
	ns     string
	client *kubernetes.Clientset
	target *scaletarget.Deployment
}

func newWorld(t *testing.T) *world {
	t.Helper()
	t.Parallel()
	c := cluster.Shared(t)
	client, err := kubernetes.NewForConfig(c.Config())
	if err != nil {
		t.Fatal(err)
	}
	w := &world{T: t, ns: cluster.Namespace(t, c), client: client}
	w.open()
	return w
}

// open is a controller that starts.
func (w *world) open() {
	w.target = scaletarget.New(scaletarget.Options{
		Client: w.client, Namespace: w.ns, Name: "web", RivalsEvery: time.Nanosecond,
		Older: func(context.Context) (string, error) { return "", nil },
	})
}

// kubectl runs it with manifest as its input.
func (w *world) kubectl(manifest string, args ...string) {
	w.Helper()
	c := cluster.Shared(w)
	command := exec.Command(c.Bin("kubectl"), append([]string{"--kubeconfig", c.Kubeconfig(), "-n", w.ns}, args...)...)
	command.Env = append(os.Environ(), "HOME="+w.TempDir())
	command.Stdin = strings.NewReader(manifest)
	if out, err := command.CombinedOutput(); err != nil {
		w.Fatalf("kubectl %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// web is the manifest of the Deployment; no replicas: it does not say.
func web(replicas int) string {
	line := ""
	if replicas > 0 {
		line = "  replicas: " + strconv.Itoa(replicas) + "\n"
	}
	return `
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
` + line + `  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: main, image: i}]}
`
}

func (w *world) look() workerpool.Replicas {
	w.Helper()
	r, err := w.target.Replicas(w.Context())
	if err != nil {
		w.Fatal(err)
	}
	return r
}

// quiet looks, and wants n replicas that nobody else writes.
func (w *world) quiet(n int) {
	w.Helper()
	if r := w.look(); r.Desired != n || r.Contested != "" {
		w.Errorf("there are %+v, want %d and nobody else", r, n)
	}
}

// told looks, and wants n replicas and all words in what is told.
func (w *world) told(n int, words ...string) {
	w.Helper()
	r := w.look()
	for _, word := range words {
		if r.Desired != n || !strings.Contains(r.Contested, word) {
			w.Errorf("there are %+v, want %d and %q", r, n, word)
		}
	}
}

func (w *world) set(n int) {
	w.Helper()
	if err := w.target.SetReplicas(w.Context(), n); err != nil {
		w.Fatal(err)
	}
}

// scale is somebody's own write of the number, under a manager's name.
func (w *world) scale(manager string, n int32) {
	w.Helper()
	deployments := w.client.AppsV1().Deployments(w.ns)
	for range 100 { // its controller writes too
		d, err := deployments.Get(w.Context(), "web", metav1.GetOptions{})
		if err != nil {
			w.Fatal(err)
		}
		d.Spec.Replicas = &n
		if _, err = deployments.Update(w.Context(), d, metav1.UpdateOptions{FieldManager: manager}); err == nil {
			return
		}
	}
	w.Fatal("100 conflicts")
}

func refusal(t *testing.T, err error) *workerpool.RefusedError {
	t.Helper()
	var refused *workerpool.RefusedError
	if !errors.As(err, &refused) {
		t.Fatalf("got %v, want a refusal", err)
	}
	return refused
}

func deployment(w *world) *appsv1.Deployment {
	w.Helper()
	d, err := w.client.AppsV1().Deployments(w.ns).Get(w.Context(), "web", metav1.GetOptions{})
	if err != nil {
		w.Fatal(err)
	}
	return d
}
