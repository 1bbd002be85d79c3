package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/queuemill/queuemill/test/cluster"
	"github.com/queuemill/queuemill/test/mill"
)

// command is the built one, with a cache folder of its own.
type command struct {
	t      *testing.T
	binary string
	env    []string
}

func newCommand(t *testing.T) *command {
	t.Helper()
	// This builds the programs where they are missing, in the usual folder.
	c, err := cluster.Start(t.Context(), cluster.Options{})
	if err != nil {
		t.Fatal(err)
	}
	assets := t.TempDir()
	for _, name := range []string{"etcd", "kube-apiserver", "kube-controller-manager", "kubectl"} {
		if err := os.Symlink(c.Bin(name), filepath.Join(assets, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Stop(); err != nil {
		t.Fatal(err)
	}
	binary, err := mill.Build(t.TempDir(), "./test/cluster/cmd", false)
	if err != nil {
		t.Fatal(err)
	}
	return &command{t: t, binary: binary, env: append(os.Environ(), "KUBEBUILDER_ASSETS="+assets, "XDG_CACHE_HOME="+t.TempDir())}
}

func (c *command) run(args ...string) (stdout, stderr string, err error) {
	c.t.Helper()
	cmd := exec.Command(c.binary, args...)
	cmd.Env = c.env
	var said strings.Builder
	cmd.Stderr = &said
	out, err := cmd.Output()
	return string(out), said.String(), err
}

func TestUpIsFoundAgainAndDownLeavesNothing(t *testing.T) {
	c := newCommand(t)
	t.Cleanup(func() { _, _, _ = c.run("down") })
	first, stderr, err := c.run("up")
	if err != nil {
		t.Fatalf("up: %v\n%s", err, stderr)
	}
	kubeconfig := strings.TrimSpace(first)
	if _, err := os.Stat(kubeconfig); err != nil {
		t.Fatalf("up printed %q: %v", first, err)
	}
	if again, stderr, err := c.run("up"); err != nil || again != first {
		t.Errorf("up again: %q, %v\n%s", again, err, stderr)
	}
	if _, stderr, err := c.run("up", "-nodes", "1"); err == nil || !strings.Contains(stderr, "make cluster-down") {
		t.Errorf("up with another number of nodes: %v\n%s", err, stderr)
	}
	if _, stderr, err := c.run("down"); err != nil {
		t.Errorf("down: %v\n%s", err, stderr)
	}
	if _, err := os.Stat(filepath.Dir(kubeconfig)); !os.IsNotExist(err) {
		t.Errorf("the folder after down: %v", err)
	}
	if _, stderr, err := c.run("down"); err != nil || !strings.Contains(stderr, "none is running") {
		t.Errorf("down again: %v\n%s", err, stderr)
	}
	// It starts anew from what is left.
	if out, stderr, err := c.run("up"); err != nil || out != first {
		t.Errorf("up after down: %q, %v\n%s", out, err, stderr)
	}
}
