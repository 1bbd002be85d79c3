package process_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/queuemill/queuemill/api/v1alpha1"
	"github.com/queuemill/queuemill/internal/executor/executortest"
)

func TestExecutorConforms(t *testing.T) {
	executortest.Run(t, func(t *testing.T) executortest.Rig { return controlled(newRig(t)) })
}

// controlled is a rig whose jobs do what they are told through a FIFO: the exit
// code in a line, then what to write.
func controlled(r *rig) executortest.Rig {
	dir := r.t.TempDir()
	fifo := func(name string, attempt int) string {
		return filepath.Join(dir, fmt.Sprintf("%s-%d", name, attempt))
	}
	s := shell(`exec 3<"$DIR/$QUEUEMILL_IDEMPOTENCY_KEY-$QUEUEMILL_ATTEMPT"; read -r code <&3; cat <&3; exit "$code"`)
	s.Process.Env = []v1alpha1.EnvVar{{Name: "DIR", Value: dir}}
	return executortest.Rig{
		Executor: r,
		Spec:     s,
		Prepare: func(t *testing.T, name string, attempt int) {
			if err := unix.Mkfifo(fifo(name, attempt), 0o600); err != nil && err != unix.EEXIST {
				t.Fatal(err)
			}
		},
		Finish: func(t *testing.T, name string, attempt, code int, output string) {
			if err := os.WriteFile(fifo(name, attempt), fmt.Appendf(nil, "%d\n%s", code, output), 0); err != nil {
				t.Error(err)
			}
		},
	}
}
