package examples

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/queuemill/queuemill/test/mill"
)

// TestLinksLeadSomewhere looks at every link of a Markdown file to another
// file of the repository.
func TestLinksLeadSomewhere(t *testing.T) {
	t.Parallel()
	links := 0
	err := filepath.WalkDir(mill.Root(), func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && strings.HasPrefix(entry.Name(), ".") && path != mill.Root() {
			return fs.SkipDir
		}
		if filepath.Ext(path) != ".md" {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, link := range find(`\]\(([^)#:]+)[^):]*\)`, text) {
			links++
			if _, err := os.Stat(filepath.Join(filepath.Dir(path), link)); err != nil {
				t.Errorf("%s: %v", path, err)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if links == 0 {
		t.Error("there is no link at all: this test looks at the wrong place")
	}
}

// TestManifestsAreValid validates the examples' manifests and the one that the
// README shows.
func TestManifestsAreValid(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	shown := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindSubmatch(text)
	if shown == nil {
		t.Fatal("the README shows no manifest")
	}
	var paths []string
	for _, pattern := range []string{"*/queuemill.yaml", "*/kubernetes.yaml", "*/pool.yaml"} {
		found, err := filepath.Glob(pattern)
		if err != nil || len(found) == 0 {
			t.Fatalf("no manifests: %v", err)
		}
		paths = append(paths, found...)
	}
	path := filepath.Join(t.TempDir(), "readme.yaml")
	if err := os.WriteFile(path, shown[1], 0o644); err != nil {
		t.Fatal(err)
	}
	for _, path := range append(paths, path) {
		if out, err := exec.Command(binary, "validate", "-f", path).CombinedOutput(); err != nil {
			t.Errorf("validate %s: %v\n%s", path, err, out)
		}
	}
}
