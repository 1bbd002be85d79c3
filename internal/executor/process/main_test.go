package process_test

import (
	"os"
	"testing"

	"github.com/queuemill/queuemill/internal/executor/process"
)

func TestMain(m *testing.M) {
	process.SupervisorMain()
	os.Exit(m.Run())
}
