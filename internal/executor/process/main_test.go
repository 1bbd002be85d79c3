package process_test

import (
	"os"
	"testing"

	"github.com/queuemill/queuemill/internal/executor/process"
)

// asController, where set, runs this process as a controller to be killed, if
// it was started as one.
var asController func()

func TestMain(m *testing.M) {
	process.SupervisorMain()
	if asController != nil {
		asController()
	}
	os.Exit(m.Run())
}
