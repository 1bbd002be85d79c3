package chaos

import (
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/queuemill/queuemill/test/mill"
)

// What deploy/kubernetes/install.yaml makes.
const (
	systemNamespace   = "queuemill-system"
	controllerAccount = "queuemill-controller"
)

var installed struct {
	once sync.Once
	out  []byte
	err  error
}

// install applies the shipped manifests: the CRD, the rights, the admission
// policy. Their Deployment waits for a node that never comes.
func install(t testing.TB) {
	t.Helper()
	installed.once.Do(func() {
		manifest := filepath.Join(mill.Root(), "deploy", "kubernetes", "install.yaml")
		apply := exec.Command(plane.Bin("kubectl"), "--kubeconfig", plane.Kubeconfig(), "apply", "--server-side", "-f", manifest)
		apply.Env = append(os.Environ(), "HOME="+os.TempDir())
		installed.out, installed.err = apply.CombinedOutput()
	})
	if installed.err != nil {
		t.Fatalf("apply the shipped manifests: %v\n%s", installed.err, installed.out)
	}
}
