package process_test

import (
	"fmt"
	"os"
	"testing"

	"github.com/queuemill/queuemill/internal/executor/process"
)

func TestMain(m *testing.M) {
	process.SupervisorMain()
	if dir := os.Getenv(crashEnv); dir != "" {
		if err := crashMain(dir); err != nil {
			fmt.Fprintln(os.Stderr, "controller:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}
