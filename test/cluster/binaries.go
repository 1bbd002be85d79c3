package cluster

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// source is a module of modules/ and what is built from it.
type source struct {
	module   string // its folder below modules/
	version  string // as its go.mod requires it
	tags     string
	ldflags  string
	cgo      bool
	programs []program
}

// program is one binary of a source. Its cold build on two cores takes about
// that many minutes, given those before it in the list.
type program struct {
	name    string
	pkg     string
	minutes float64
	nodes   bool // needed where there are nodes only
}

// sources in the order in which they are built.
var sources = []source{
	{module: "etcd", version: "v3.6.8", programs: []program{
		{name: "etcd", pkg: ".", minutes: 0.7},
	}},
	{
		module: "kubernetes", version: "v1.36.3",
		ldflags: "-X k8s.io/component-base/version.gitVersion=v1.36.3",
		programs: []program{
			{name: "kube-apiserver", pkg: "k8s.io/kubernetes/cmd/kube-apiserver", minutes: 4},
			{name: "kube-controller-manager", pkg: "k8s.io/kubernetes/cmd/kube-controller-manager", minutes: 1},
			{name: "kubectl", pkg: "k8s.io/kubernetes/cmd/kubectl", minutes: 0.5},
			{name: "kube-scheduler", pkg: "k8s.io/kubernetes/cmd/kube-scheduler", minutes: 0.3, nodes: true},
			{name: "kubelet", pkg: "k8s.io/kubernetes/cmd/kubelet", minutes: 1, nodes: true},
		},
	},
	{module: "containerd", version: "v2.4.2", tags: "no_btrfs no_zfs no_aufs no_devmapper", programs: []program{
		{name: "containerd", pkg: "github.com/containerd/containerd/v2/cmd/containerd", minutes: 1, nodes: true},
		{name: "containerd-shim-runc-v2", pkg: "github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2", minutes: 0.1, nodes: true},
		{name: "ctr", pkg: "github.com/containerd/containerd/v2/cmd/ctr", minutes: 0.1, nodes: true},
	}},
	// cgo, for libseccomp: Debian's libseccomp-dev and pkg-config.
	{module: "runc", version: "v1.5.2", tags: "netgo osusergo seccomp", cgo: true, programs: []program{
		{name: "runc", pkg: "github.com/opencontainers/runc", minutes: 0.3, nodes: true},
	}},
}

// needed is sources with the programs that a cluster of that many nodes runs.
func needed(nodes int) []source {
	var out []source
	for _, s := range sources {
		var programs []program
		for _, p := range s.programs {
			if nodes > 0 || !p.nodes {
				programs = append(programs, p)
			}
		}
		if s.programs = programs; len(programs) > 0 {
			out = append(out, s)
		}
	}
	return out
}

// binaries are programs by name, with their paths.
type binaries struct {
	paths map[string]string
}

func (b *binaries) path(name string) string {
	if path, ok := b.paths[name]; ok {
		return path
	}
	return name
}

// findBinaries is where the programs of list are. What is neither in
// KUBEBUILDER_ASSETS nor in the cache it builds, and tells log.
func findBinaries(ctx context.Context, list []source, log io.Writer) (*binaries, error) {
	b := &binaries{paths: make(map[string]string)}
	if b.fromAssets(os.Getenv("KUBEBUILDER_ASSETS"), list, log) {
		return b, nil
	}
	cache, err := CacheDir()
	if err != nil {
		return nil, err
	}
	if b.fromCache(cache, list) {
		return b, nil
	}
	if err := build(ctx, cache, list, log); err != nil {
		return nil, err
	}
	if !b.fromCache(cache, list) {
		return nil, fmt.Errorf("find the cluster's programs in %s: they were built there and are gone", cache)
	}
	return b, nil
}

// Build finds or builds the programs that clusters with and without nodes run,
// as Start does, so that it is done and told of before anything waits for it.
func Build(ctx context.Context, nodes int, log io.Writer) error {
	_, err := findBinaries(ctx, needed(nodes), log)
	return err
}

// fromAssets takes a folder as envtest's, if it has everything: parts of
// different versions don't go together.
func (b *binaries) fromAssets(dir string, list []source, log io.Writer) bool {
	if dir == "" {
		return false
	}
	var missing []string
	for _, s := range list {
		for _, p := range s.programs {
			b.paths[p.name] = filepath.Join(dir, p.name)
			if !executable(b.paths[p.name]) {
				missing = append(missing, p.name)
			}
		}
	}
	if len(missing) > 0 {
		fmt.Fprintf(log, "cluster: KUBEBUILDER_ASSETS=%s has no %s; using programs built from source\n", dir, strings.Join(missing, ", "))
	}
	return len(missing) == 0
}

func (b *binaries) fromCache(cache string, list []source) bool {
	for _, s := range list {
		for _, p := range s.programs {
			b.paths[p.name] = s.path(cache, p)
			if !executable(b.paths[p.name]) {
				return false
			}
		}
	}
	return true
}

// path is where a program of s is kept: a folder for each version of a source,
// so that one of them can change without the others being built again.
func (s source) path(cache string, p program) string {
	return filepath.Join(cache, fmt.Sprintf("%s-%s-%s-%s", s.module, s.version, runtime.GOOS, runtime.GOARCH), p.name)
}

func executable(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0
}

// CacheDir is the folder of the programs: ~/.cache/queuemill/cluster, or below
// XDG_CACHE_HOME.
func CacheDir() (string, error) {
	base := os.Getenv("XDG_CACHE_HOME")
	if !filepath.IsAbs(base) {
		home, err := os.UserHomeDir()
		if err != nil {
			return "", fmt.Errorf("find the cache folder: %w; set XDG_CACHE_HOME", err)
		}
		base = filepath.Join(home, ".cache")
	}
	return filepath.Join(base, "queuemill", "cluster"), nil
}
