package app

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/queuemill/queuemill/internal/manifest"
)

// Who gives controller -f a WorkerPool is told what runs it, by where its
// workers are.
func TestControllerFromFilesSaysWhatRunsAWorkerPool(t *testing.T) {
	const pool = "apiVersion: queuemill.dev/v1alpha1\nkind: WorkerPool\nmetadata: {name: p}\nspec:\n  queue: {sqs: {name: q}}\n  scaling: {backlogPerWorker: 1}\n"
	for where, hint := range map[string]string{
		"  process: {command: [\"true\"]}\n": "queuemill up -f ",
		"  kubernetes: {template: {spec: {containers: [{name: c, image: i, command: [\"true\"]}]}}}\n": "kubectl apply -f ",
	} {
		file := filepath.Join(t.TempDir(), "pool.yaml")
		if err := os.WriteFile(file, []byte(pool+where), 0o600); err != nil {
			t.Fatal(err)
		}
		objects, _, err := manifest.Load(file)
		if err != nil {
			t.Fatal(err)
		}
		var wrong *manifest.Error
		if err := forTheCluster(objects, "default"); !errors.As(err, &wrong) || !strings.HasPrefix(wrong.Hint, hint+file) || wrong.File != file {
			t.Errorf("%s: %v, hint %q", where, err, wrong.Hint)
		}
	}
}
