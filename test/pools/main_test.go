package pools

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"testing"

	"github.com/queuemill/queuemill/test/mill"
)

var (
	shocks = flag.Int("shocks", 120, "how many scale-ins, edits and kills there are")
	seed   = flag.Uint64("seed", 0, "of everything random; 0: a new one, which is printed")
)

// The programs under test: queuemill under the race detector, controller and
// workers, and the work.
var binary, job string

func TestMain(m *testing.M) {
	flag.Parse()
	if *seed == 0 {
		*seed = rand.Uint64()
	}
	os.Exit(withPrograms(m))
}

func withPrograms(m *testing.M) int {
	bin, err := os.MkdirTemp("", "queuemill-pools-")
	if err == nil {
		defer os.RemoveAll(bin)
		binary, err = mill.Build(bin, "./cmd/queuemill", true)
	}
	if err == nil {
		job, err = mill.Build(bin, "./test/crash/job", false)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}
