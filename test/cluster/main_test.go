package cluster

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"testing"
)

// ownerVariable makes this test binary a process that starts a cluster in that
// folder, with so many nodes, and waits, to be killed.
const (
	ownerVariable      = "CLUSTER_TEST_OWNER"
	ownerNodesVariable = "CLUSTER_TEST_OWNER_NODES"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(ownerVariable); dir != "" {
		own(dir)
	}
	Main(m, Options{Audit: true})
}

// own never returns.
func own(dir string) {
	nodes, _ := strconv.Atoi(os.Getenv(ownerNodesVariable)) // unset: 0
	c, err := Start(context.Background(), Options{Dir: dir, Nodes: nodes})
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println(c.Kubeconfig())
	select {}
}

func ownerCommand(t *testing.T, dir string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self)
	cmd.Env = append(os.Environ(), ownerVariable+"="+dir)
	cmd.Stderr = os.Stderr
	return cmd
}
