package examples

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/queuemill/queuemill/test/mill"
)

// wantLines checks how many lines a file of the example has.
func (r *readme) wantLines(name string, want int) {
	r.t.Helper()
	text, err := os.ReadFile(filepath.Join(r.folder, name))
	if err != nil {
		r.t.Fatal(err)
	}
	if got := strings.Count(string(text), "\n"); got != want {
		r.t.Errorf("%s has %d lines, want %d:\n%s", name, got, want, text)
	}
}

// stop ends queuemill as Ctrl-C does: workers go with it.
func (r *readme) stop() {
	r.t.Helper()
	if code := r.up.Stop(r.t); code != 0 {
		r.t.Errorf("exit code %d after Ctrl-C:\n%s", code, r.up.Log())
	}
	left, err := filepath.Glob(filepath.Join(r.folder, ".queuemill", "pools", "*", "*.json"))
	if err != nil || len(left) > 0 {
		r.t.Errorf("workers are left: %v, %v", left, err)
	}
}

func TestThumbnailsAsAPool(t *testing.T) {
	t.Parallel()
	r := newReadme(t, "thumbnails")
	r.tour(filepath.Join(r.folder, "POOL.md"))
	pictures, err := filepath.Glob(filepath.Join(r.folder, "out", "video-001.jpeg", "*.jpg"))
	if err != nil || len(pictures) != 3 {
		t.Errorf("thumbnails: %v, %v", pictures, err)
	}
	r.wantMetrics("../docs/OPERATIONS.md", true)
	r.stop()
}

func TestSteps(t *testing.T) {
	t.Parallel()
	r := newReadme(t, "steps")
	r.tour(filepath.Join(r.folder, "README.md"))
	r.wantLines("done.txt", 23)
	r.stop()
}

func TestWebhookWorker(t *testing.T) {
	t.Parallel()
	r := newReadme(t, "webhook-worker")
	address := mill.FreeAddress(t)
	path := filepath.Join(r.folder, "pool.yaml")
	text, err := os.ReadFile(path)
	if err == nil {
		err = os.WriteFile(path, []byte(strings.ReplaceAll(string(text), "127.0.0.1:18080", address)), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	r.tour(filepath.Join(r.folder, "README.md"))
	r.wantLines("orders.txt", 4)
	if !strings.Contains(r.output, "order 10, attempt 2") {
		t.Error("order 10 did not come again")
	}
	r.stop()
}

func TestDrain(t *testing.T) {
	t.Parallel()
	r := newReadme(t, "drain")
	start := time.Now()
	r.tour(filepath.Join(r.folder, "README.md"))
	r.wantLines("done.txt", 30)
	t.Logf("all in %v", time.Since(start))
	r.stop()
}
