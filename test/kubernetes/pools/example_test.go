package pools

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/queuemill/queuemill/test/cluster"
	"github.com/queuemill/queuemill/test/kubernetes/site"
	"github.com/queuemill/queuemill/test/mill"
)

// write makes a file where the pool's log is.
func write(t *testing.T, p *pool, name string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(filepath.Dir(p.log), name), nil, 0o644); err != nil {
		t.Fatal(err)
	}
}

// example is a file of an example with some words replaced: each must be there.
func example(t *testing.T, path string, replace map[string]string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(mill.Root(), "examples", path))
	if err != nil {
		t.Fatal(err)
	}
	s := string(text)
	for old, now := range replace {
		if !strings.Contains(s, old) {
			t.Fatalf("examples/%s has no %q:\n%s", path, old, s)
		}
		s = strings.ReplaceAll(s, old, now)
	}
	return s
}

// examples/drain: three workers share the queue, and the Job is complete when
// all three have found it empty.
func workersOfACronJobLeave(t *testing.T, s *system) {
	queue := s.NewQueue(t, "reports", nil)
	const messages = 30
	for n := range messages {
		s.Send(t, queue, fmt.Sprintf(`{"n": %d}`, n))
	}
	var mu sync.Mutex
	reports := map[string]int{}
	l, err := net.Listen("tcp", net.JoinHostPort(s.Cluster.HostAddress(), "0"))
	if err != nil {
		t.Fatal(err)
	}
	server := &httptest.Server{Listener: l, Config: &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		reports[r.Header.Get("X-Aws-Sqsd-Msgid")]++
	})}}
	server.Start()
	t.Cleanup(server.Close)
	s.Kubectl(t, example(t, "drain/cronjob.yaml", map[string]string{
		"https://sqs.eu-west-1.amazonaws.com/123456789012/reports": queue,
		"http://reports.default.svc/report":                        server.URL + "/report",
		"--exit-when-empty=30s":                                    "--exit-when-empty=3s",
	}), "apply", "-n", site.Namespace, "-f", "-")
	s.Kubectl(t, "", "set", "env", "-n", site.Namespace, "cronjob/drain", "--from=secret/"+site.KeysSecret)
	s.Kubectl(t, "", "create", "job", "-n", site.Namespace, "tonight", "--from=cronjob/drain")
	s.Eventually(t, "the Job to be complete", func() bool {
		return s.Kubectl(t, "", "get", "job", "tonight", "-n", site.Namespace, "-o", "jsonpath={.status.succeeded} {.status.failed} {.status.conditions[?(@.type=='Complete')].status}") == "3  True"
	}, func() string { return s.Kubectl(t, "", "get", "job,pod", "-n", site.Namespace, "-o", "wide") })
	mu.Lock()
	defer mu.Unlock()
	if n := s.Depth(t, queue); n != 0 || len(reports) != messages {
		t.Errorf("%d messages reported of %d, %d left", len(reports), messages, n)
	}
	for id, n := range reports {
		if n != 1 {
			t.Errorf("message %s was reported %d times", id, n)
		}
	}
}

// examples/webhook-worker in its own image, which has nothing but the server.
func aMessageIsARequest(t *testing.T, s *system) {
	queue := s.NewQueue(t, "webhook", nil)
	dir := t.TempDir()
	program, err := mill.Build(dir, "./examples/webhook-worker", false)
	if err != nil {
		t.Fatal(err)
	}
	image := cluster.Image{Name: "registry.example/webhook:1", Files: map[string]string{"/webhook": program}, Entrypoint: []string{"/webhook"}}
	archive := filepath.Join(dir, "image.tar")
	if err := image.WriteTo(archive); err != nil {
		t.Fatal(err)
	}
	if err := s.Cluster.LoadImage(t.Context(), archive); err != nil {
		t.Fatal(err)
	}
	for _, order := range []string{"1", "2", "3", "10"} {
		s.Send(t, queue, `{"order": `+order+`}`)
	}
	orders := s.shared(t)
	s.Kubectl(t, example(t, "webhook-worker/kubernetes.yaml", map[string]string{
		"https://sqs.eu-west-1.amazonaws.com/123456789012/webhook": queue,
		"emptyDir: {}":                    fmt.Sprintf("hostPath: {path: %q}", orders),
		"name: webhook\n          image:": fmt.Sprintf("name: webhook\n          envFrom: [{secretRef: {name: %s}}]\n          image:", site.KeysSecret),
	}), "apply", "-n", site.Namespace, "-f", "-")
	p := &pool{system: s, name: "webhook", queue: queue, log: filepath.Join(orders, "orders.txt")}
	p.await(t, "all orders are noted", func() bool { return len(p.lines(t)) == 4 && s.Depth(t, queue) == 0 })
	text, err := os.ReadFile(p.log)
	if err != nil || !strings.Contains(string(text), "order 10, attempt 2") {
		t.Errorf("orders.txt: %s, %v; want order 10 in its second attempt", text, err)
	}
}
