package chaos

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"testing"

	"github.com/go-logr/logr"
	ctrllog "sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/queuemill/queuemill/test/cluster"
	"github.com/queuemill/queuemill/test/mill"
)

var (
	kills    = flag.Int("kills", 30, "how often a controller is killed under OnCreate and OnSuccess")
	messages = flag.Int("messages", 3000, "how many messages there are for OnCreate")
	settled  = flag.Int("settled", 600, "how many messages there are for OnSuccess")
	seed     = flag.Uint64("seed", 0, "of everything random; 0: a new one, which is printed")
)

// The program under test, under the race detector, and what it runs on.
var (
	binary string
	plane  *cluster.Cluster
)

func TestMain(m *testing.M) {
	flag.Parse()
	ctrllog.SetLogger(logr.Discard())
	if *seed == 0 {
		*seed = rand.Uint64()
	}
	os.Exit(withPlane(m))
}

func withPlane(m *testing.M) int {
	bin, err := os.MkdirTemp("", "queuemill-chaos-")
	if err == nil {
		defer os.RemoveAll(bin)
		binary, err = mill.Build(bin, "./cmd/queuemill", true)
	}
	if err == nil {
		plane, err = cluster.Start(context.Background(), cluster.Options{})
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	code := m.Run()
	if err := plane.Stop(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = max(code, 1)
	}
	return code
}
