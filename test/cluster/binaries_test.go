package cluster

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

func TestVersionsAreThoseOfTheModules(t *testing.T) {
	path := map[string]string{
		"etcd": "go.etcd.io/etcd/server/v3", "kubernetes": "k8s.io/kubernetes",
		"containerd": "github.com/containerd/containerd/v2", "runc": "github.com/opencontainers/runc",
	}
	for _, s := range sources {
		mod, err := os.ReadFile(filepath.Join("modules", s.module, "go.mod"))
		if err != nil {
			t.Fatal(err)
		}
		required := regexp.MustCompile(`(?m)^\s*(?:require )?` + regexp.QuoteMeta(path[s.module]) + ` (\S+)`).FindSubmatch(mod)
		if required == nil || string(required[1]) != s.version {
			t.Errorf("modules/%s/go.mod requires %s %q, binaries.go says %s", s.module, path[s.module], required, s.version)
		}
	}
}

func TestAssetsAreTakenWholeOrNotAtAll(t *testing.T) {
	dir := t.TempDir()
	list := needed(0)
	var log bytes.Buffer
	for _, s := range list {
		for _, p := range s.programs {
			if p.name == "kube-controller-manager" {
				continue // what envtest's folder lacks
			}
			if err := os.WriteFile(filepath.Join(dir, p.name), nil, 0o700); err != nil {
				t.Fatal(err)
			}
		}
	}
	b := &binaries{paths: make(map[string]string)}
	if b.fromAssets(dir, list, &log) {
		t.Error("a folder without kube-controller-manager was taken")
	}
	if !strings.Contains(log.String(), "kube-controller-manager") {
		t.Errorf("told %q, want what is missing", log.String())
	}
	if err := os.WriteFile(filepath.Join(dir, "kube-controller-manager"), nil, 0o700); err != nil {
		t.Fatal(err)
	}
	if !b.fromAssets(dir, list, &log) {
		t.Error("a complete folder was not taken")
	}
	if got, want := b.path("etcd"), filepath.Join(dir, "etcd"); got != want {
		t.Errorf("etcd is %s, want %s", got, want)
	}
}

func TestAControlPlaneAloneNeedsNoContainerd(t *testing.T) {
	names := func(nodes int) (out []string) {
		for _, s := range needed(nodes) {
			for _, p := range s.programs {
				out = append(out, p.name)
			}
		}
		return out
	}
	if got, want := strings.Join(names(0), " "), "etcd kube-apiserver kube-controller-manager kubectl"; got != want {
		t.Errorf("without nodes: %s, want %s", got, want)
	}
	if got := strings.Join(names(1), " "); !strings.HasSuffix(got, "kube-scheduler kubelet containerd containerd-shim-runc-v2 ctr runc") {
		t.Errorf("with a node: %s", got)
	}
}

func TestNamespacesAreNamedAfterTheirTests(t *testing.T) {
	for name, want := range map[string]string{
		"TestA":                 "testa-",
		"TestA/some_case#01":    "testa-some-case-01-",
		strings.Repeat("x", 60): strings.Repeat("x", 40) + "-",
	} {
		if got := namespacePrefix(name); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
}
