package operator_test

import (
	"context"
	"os"
	"sync"
	"testing"
	"time"

	apiextensions "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/queuemill/queuemill/api/v1alpha1"
	"github.com/queuemill/queuemill/test/cluster"
)

func TestMain(m *testing.M) { cluster.Main(m, cluster.Options{}) }

const crdFile = "../../deploy/kubernetes/crds/queuemill.dev_queuejobs.yaml"

const poolCRDFile = "../../deploy/kubernetes/crds/queuemill.dev_workerpools.yaml"

// patience bounds what a test waits for; nothing is measured by it.
const patience = 2 * time.Minute

var scheme = func() *runtime.Scheme {
	s := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, apiextensions.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(s); err != nil {
			panic(err)
		}
	}
	return s
}()

var installed sync.Mutex

// admin is a client of a cluster with the custom resource installed.
func admin(t *testing.T) (client.WithWatch, *rest.Config) {
	t.Helper()
	config := cluster.Shared(t).Config()
	config.QPS = -1
	c, err := client.NewWithWatch(config, client.Options{Scheme: scheme})
	if err != nil {
		t.Fatal(err)
	}
	installed.Lock()
	defer installed.Unlock()
	for _, file := range []string{crdFile, poolCRDFile} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		install(t, c, text)
	}
	await(t, "the custom resources are served", func(ctx context.Context) bool {
		return c.List(ctx, &v1alpha1.QueueJobList{}) == nil && c.List(ctx, &v1alpha1.WorkerPoolList{}) == nil
	})
	return c, config
}

func install(t *testing.T, c client.Client, text []byte) {
	t.Helper()
	var crd apiextensions.CustomResourceDefinition
	if err := yaml.UnmarshalStrict(text, &crd); err != nil {
		t.Fatal(err)
	}
	name := crd.Name
	if err := c.Create(t.Context(), &crd); err != nil && !apierrors.IsAlreadyExists(err) {
		t.Fatal(err)
	}
	await(t, name+" is established", func(ctx context.Context) bool {
		if err := c.Get(ctx, client.ObjectKey{Name: name}, &crd); err != nil {
			return false
		}
		established := false
		for _, cond := range crd.Status.Conditions {
			if cond.Type == apiextensions.NonStructuralSchema && cond.Status == apiextensions.ConditionTrue {
				t.Fatal(cond.Message)
			}
			established = established || cond.Type == apiextensions.Established && cond.Status == apiextensions.ConditionTrue
		}
		return established
	})
}

// await looks until it is so.
func await(t *testing.T, what string, so func(ctx context.Context) bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !so(ctx) {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("not within %v: %s", patience, what)
		}
	}
}
