package kubernetes_test

import (
	"testing"

	"github.com/queuemill/queuemill/test/cluster"
)

func TestMain(m *testing.M) { cluster.Main(m, cluster.Options{}) }
