package worker

import (
	"os"
	"testing"

	"github.com/queuemill/queuemill/internal/executor/process/supervisor"
)

func TestMain(m *testing.M) {
	supervisor.Main() // does not return where this is one
	os.Exit(m.Run())
}
