package examples

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/queuemill/queuemill/internal/record"
	"github.com/queuemill/queuemill/test/cluster"
	"github.com/queuemill/queuemill/test/mill"
)

// TestKubernetes runs the commands of each KUBERNETES.md on a real cluster whose
// containers run, with a controller for the example's namespace beside it. The
// images and the queue's URL are the test's own, as they would be a person's.
func TestKubernetes(t *testing.T) {
	c, err := cluster.Start(t.Context(), cluster.Options{Nodes: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Stop(); err != nil {
			t.Error(err)
		}
	})
	up := mill.Start(t, mill.Options{
		Binary: binary, Data: t.TempDir(), Dir: t.TempDir(), Listen: mill.FreeAddress(t), SQSListen: mill.FreeAddress(t),
	})
	up.WaitReady(t)

	t.Run("ping", func(t *testing.T) {
		r := newClusterReadme(t, c, up, "ping")
		r.tour(filepath.Join(r.folder, "KUBERNETES.md"))
		r.wantJobs(map[record.State]int{record.Succeeded: 9, record.Failed: 2, record.Invalid: 1}, "SchemaMismatch")
	})
	t.Run("csv", func(t *testing.T) {
		r := newClusterReadme(t, c, up, "csv")
		process, err := mill.Build(t.TempDir(), "./examples/csv", false)
		if err != nil {
			t.Fatal(err)
		}
		image := cluster.Image{Name: "registry.example/csv-process:v1", Files: map[string]string{"/process": process}}
		archive := filepath.Join(t.TempDir(), "image.tar")
		if err := image.WriteTo(archive); err != nil {
			t.Fatal(err)
		}
		if err := c.LoadImage(t.Context(), archive); err != nil {
			t.Fatal(err)
		}
		r.replace("volume-hostpath.yaml", "/var/lib/queuemill-csv", t.TempDir())
		r.replace("files.yaml", "busybox:1.37", cluster.Busybox)
		r.tour(filepath.Join(r.folder, "KUBERNETES.md"))
		r.wantJobs(map[record.State]int{record.Succeeded: 2, record.Failed: 1}, "2,20.5,41", "10,2.5,5", "TEMPLATE-HASH")
	})
}

// newClusterReadme is the example in a namespace of its own that is kubectl's
// current one, with a controller that serves it.
func newClusterReadme(t *testing.T, c *cluster.Cluster, up *mill.Up, name string) *readme {
	t.Helper()
	r := newReadme(t, name)
	r.up = up
	namespace := cluster.Namespace(t, c)

	bin := t.TempDir()
	for link, program := range map[string]string{"kubectl": c.Bin("kubectl"), "kubectl-queuemill": binary} {
		if err := os.Symlink(program, filepath.Join(bin, link)); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(c.Kubeconfig())
	if err != nil {
		t.Fatal(err)
	}
	kubeconfig := filepath.Join(t.TempDir(), "kubeconfig")
	if err := os.WriteFile(kubeconfig, text, 0o600); err != nil {
		t.Fatal(err)
	}
	keys := []string{"AWS_ACCESS_KEY_ID=any", "AWS_SECRET_ACCESS_KEY=any", "AWS_REGION=us-east-1"}
	r.env = append(append(r.env, keys...), "KUBECONFIG="+kubeconfig, "HOME="+t.TempDir(),
		"PATH="+bin+string(os.PathListSeparator)+os.Getenv("PATH"))
	installed, err := filepath.Abs("../deploy/kubernetes/cluster-scoped.yaml")
	if err != nil {
		t.Fatal(err)
	}
	r.shell("kubectl config set-context --current --namespace " + namespace + "\nkubectl apply -f " + installed +
		"\nkubectl wait --for=condition=Established crd/queuejobs.queuemill.dev --timeout=1m")
	mill.StartController(t, binary, keys, "--kubeconfig", kubeconfig, "--namespace", namespace).WaitReady(t)

	r.replace("kubernetes.yaml", "https://sqs.eu-west-1.amazonaws.com/123456789012/"+name, makeQueue(t, up, name))
	if name == "ping" {
		r.replace("kubernetes.yaml", "busybox:1.37", cluster.Busybox)
	}
	return r
}

// makeQueue returns the URL.
func makeQueue(t *testing.T, up *mill.Up, name string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, up.SQSURL, strings.NewReader(fmt.Sprintf(`{"QueueName": %q}`, name)))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-amz-json-1.0")
	req.Header.Set("X-Amz-Target", "AmazonSQS.CreateQueue")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if answer, _ := io.ReadAll(resp.Body); resp.StatusCode != http.StatusOK {
		t.Fatalf("create queue: %s %s", resp.Status, answer)
	}
	return up.SQSURL + "/000000000000/" + name
}

// replace is what the README asks a person to edit.
func (r *readme) replace(file, placeholder, own string) {
	r.t.Helper()
	path := filepath.Join(r.folder, file)
	text, err := os.ReadFile(path)
	if err != nil {
		r.t.Fatal(err)
	}
	edited := strings.ReplaceAll(string(text), placeholder, own)
	if edited == string(text) {
		r.t.Fatalf("%s has no %s", file, placeholder)
	}
	if err := os.WriteFile(path, []byte(edited), 0o600); err != nil {
		r.t.Fatal(err)
	}
}

// wantJobs checks how many jobs of the cluster ended in each state and what the
// commands said.
func (r *readme) wantJobs(states map[record.State]int, said ...string) {
	r.t.Helper()
	list := exec.Command("bash", "-c", "kubectl queuemill jobs --no-headers")
	list.Env = r.env
	jobs, err := list.CombinedOutput()
	if err != nil {
		r.t.Fatalf("%v\n%s", err, jobs)
	}
	got := map[record.State]int{}
	for line := range strings.Lines(string(jobs)) {
		got[record.State(strings.Fields(line)[1])]++
	}
	if !maps.Equal(got, states) {
		r.t.Errorf("jobs are %v, want %v:\n%s", got, states, jobs)
	}
	for _, text := range said {
		if !strings.Contains(r.output, text) {
			r.t.Errorf("no command said %q", text)
		}
	}
}
