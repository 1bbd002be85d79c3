package install

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	rbacv1 "k8s.io/api/rbac/v1"
)

const folder = "../../deploy/kubernetes"

func TestFilesInTheTreeAreCurrent(t *testing.T) {
	t.Parallel()
	crds, err := CRDs(filepath.Join(folder, "crds"))
	if err != nil {
		t.Fatal(err)
	}
	files, err := Files(DefaultImage, crds...)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range files {
		got, err := os.ReadFile(filepath.Join(folder, name))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), string(got)); diff != "" {
			t.Errorf("deploy/kubernetes/%s is stale; `make generate` writes it anew (-source +file):\n%s", name, diff)
		}
	}
}

func TestImageIsTheOneAskedFor(t *testing.T) {
	t.Parallel()
	const image = "registry.example:5000/team/queuemill@sha256:0123"
	files, err := Files(image)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"install.yaml", "install-namespaced.yaml"} {
		if text := string(files[name]); strings.Count(text, "image: "+image+"\n") != 1 || strings.Contains(text, DefaultImage) {
			t.Errorf("%s does not name %s once and nothing else", name, image)
		}
	}
}

// TestNobodyListsSecrets holds for the rules themselves what DESIGN promises.
func TestNobodyListsSecrets(t *testing.T) {
	t.Parallel()
	for name, rules := range map[string][]rbacv1.PolicyRule{
		"controller": ControllerRules(), "leader": LeaderRules(), "view": ViewRules(), "edit": EditRules(), "owner": OwnerRules(),
	} {
		for _, rule := range rules {
			if slices.Contains(slices.Concat(rule.Verbs, rule.Resources, rule.APIGroups), "*") {
				t.Errorf("%s: %v has a wildcard", name, rule)
			}
			if slices.Contains(rule.Resources, "secrets") && (slices.Contains(rule.Verbs, "list") || slices.Contains(rule.Verbs, "watch") || name != "controller") {
				t.Errorf("%s: %v", name, rule)
			}
		}
	}
}
