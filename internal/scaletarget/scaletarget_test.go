package scaletarget_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/queuemill/queuemill/internal/workerpool"
	"github.com/queuemill/queuemill/test/cluster"
	"github.com/queuemill/queuemill/test/cluster/fakekubelet"
)

func TestWritesInARowAreReadBackAtOnce(t *testing.T) {
	w := newWorld(t)
	w.kubectl(web(0), "create", "-f", "-")
	for _, n := range []int{5, 0, 7, 7, 2, 0, 1} {
		w.set(n)
		w.quiet(n)
	}
}

func TestAWriteGoesOverConcurrentOnes(t *testing.T) {
	w := newWorld(t)
	w.kubectl(web(0), "create", "-f", "-")
	var others sync.WaitGroup
	defer others.Wait()
	others.Go(func() {
		for i := range 30 {
			w.kubectl("", "annotate", "deployment", "web", "--overwrite", "n="+strings.Repeat("x", i+1))
		}
	})
	for i := range 200 {
		w.set(1 + i%9)
	}
	w.quiet(1 + 199%9)
}

func TestPodsThatAreReadyCount(t *testing.T) {
	w := newWorld(t)
	ctx, cancel := context.WithCancel(t.Context())
	var kubelet sync.WaitGroup
	kubelet.Go(func() {
		_ = fakekubelet.Run(ctx, fakekubelet.Options{
			Config: cluster.Shared(t).Config(), Namespace: w.ns,
			Plan: func(*corev1.Pod) fakekubelet.Plan { return fakekubelet.Plan{Until: make(chan struct{})} },
		})
	})
	defer kubelet.Wait()
	defer cancel()
	w.kubectl(web(0), "create", "-f", "-")
	w.set(3)
	w.kubectl("", "rollout", "status", "deployment", "web", "--timeout=2m")
	if r := w.look(); r.Ready != 3 || r.Desired != 3 {
		t.Errorf("%+v", r)
	}
}

// lossy loses the answers to writes that were done.
type lossy struct {
	http.RoundTripper
	losing *atomic.Bool
}

func (l lossy) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := l.RoundTripper.RoundTrip(r)
	if err != nil || !l.losing.Load() || r.Method != http.MethodPut || answer.StatusCode != http.StatusOK {
		return answer, err
	}
	return nil, errors.Join(errors.New("connection reset"), answer.Body.Close())
}

func TestAWriteWhoseAnswerIsLostIsNotSomebodyElses(t *testing.T) {
	w := newWorld(t)
	w.kubectl(web(0), "create", "-f", "-")
	config := cluster.Shared(t).Config()
	var losing atomic.Bool
	config.Wrap(func(next http.RoundTripper) http.RoundTripper { return lossy{next, &losing} })
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	w.client = client
	w.open()
	w.set(5)
	w.quiet(5)
	losing.Store(true)
	if err := w.target.SetReplicas(t.Context(), 3); err == nil {
		t.Fatal("the answer was not lost")
	}
	w.quiet(3)
}

func TestADeploymentThatIsMissingOrGoesIsRefused(t *testing.T) {
	w := newWorld(t)
	_, err := w.target.Replicas(t.Context())
	if r := refusal(t, err); r.Reason != workerpool.EventTargetMissing || !strings.Contains(r.Message, "create it") {
		t.Errorf("%+v", r)
	}
	w.kubectl(web(0), "create", "-f", "-")
	w.quiet(1)
	w.kubectl("", "patch", "deployment", "web", "--type=merge", "-p", `{"metadata":{"finalizers":["example.com/stays"]}}`)
	w.kubectl("", "delete", "deployment", "web", "--wait=false")
	_, err = w.target.Replicas(t.Context())
	refusal(t, err)
	w.kubectl("", "patch", "deployment", "web", "--type=merge", "-p", `{"metadata":{"finalizers":null}}`)
}

func TestAnHPAOfSomethingElseIsNoRival(t *testing.T) {
	w := newWorld(t)
	w.kubectl(web(0), "create", "-f", "-")
	for _, ref := range []string{"{apiVersion: apps/v1, kind: StatefulSet, name: web}", "{apiVersion: example.com/v1, kind: Deployment, name: web}"} {
		w.kubectl("apiVersion: autoscaling/v2\nkind: HorizontalPodAutoscaler\nmetadata: {generateName: other-}\nspec: {maxReplicas: 3, scaleTargetRef: "+ref+"}\n", "create", "-f", "-")
	}
	w.quiet(1)
	w.kubectl("", "autoscale", "deployment", "web", "--max=3")
	_, err := w.target.Replicas(t.Context())
	if r := refusal(t, err); r.Reason != workerpool.EventAlsoScaled || !strings.Contains(r.Message, "HorizontalPodAutoscaler web") {
		t.Errorf("%+v", r)
	}
	w.kubectl("", "delete", "hpa", "web")
	w.quiet(int(*deployment(w).Spec.Replicas))
}

// What makes a Deployment without saying a number owns the default all the same.
func TestWhoDoesNotStateReplicasIsNotTold(t *testing.T) {
	for name, args := range map[string][]string{
		"create": {"create", "-f", "-"}, "apply": {"apply", "-f", "-"}, "server side": {"apply", "--server-side", "-f", "-"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.kubectl(web(0), args...)
			w.quiet(1)
			w.set(4)
			w.quiet(4)
			if name != "create" {
				w.kubectl(strings.Replace(web(0), "image: i", "image: j", 1), args...)
				w.quiet(4)
			}
			w.open()
			w.quiet(4)
		})
	}
}

func TestKubectlApplyIsToldUntilItsLineIsGone(t *testing.T) {
	w := newWorld(t)
	w.kubectl(web(3), "apply", "-f", "-")
	w.told(3, "kubectl-client-side-apply", "set-last-applied")
	w.set(5)
	w.told(5, "kubectl-client-side-apply")
	w.kubectl(web(2), "apply", "-f", "-")
	w.told(2, "kubectl-client-side-apply")
	w.set(5)
	// The way out that is told.
	w.kubectl(web(0), "apply", "set-last-applied", "-f", "-")
	w.quiet(5)
	w.kubectl(web(0), "apply", "-f", "-")
	w.quiet(5)
}

// What the docs warn of: it is kubectl's doing, and the reason for the way out.
func TestALineThatIsOnlyLeftOutBecomesOne(t *testing.T) {
	w := newWorld(t)
	w.kubectl(web(3), "apply", "-f", "-")
	w.set(5)
	w.kubectl(web(0), "apply", "-f", "-")
	w.quiet(1)
}

func TestServerSideApplyIsTold(t *testing.T) {
	w := newWorld(t)
	w.kubectl(web(3), "apply", "--server-side", "--field-manager=kustomize-controller", "-f", "-")
	w.told(3, `"kustomize-controller"`, "Flux")
	w.set(5)
	w.told(5, `"kustomize-controller"`) // although the field is not its own any more
	w.kubectl(web(0), "apply", "--server-side", "--field-manager=kustomize-controller", "-f", "-")
	w.open()
	w.quiet(5) // the line is gone, and the number is not
}

// Those that apply as Helm 3 and Argo CD do are seen once they wrote another
// number.
func TestAnUpdateIsToldOnceItChangedTheNumber(t *testing.T) {
	for manager, words := range map[string]string{
		"helm": "autoscaling.enabled", "argocd-controller": "RespectIgnoreDifferences=true", "deployer": "leave replicas out of its manifest",
	} {
		t.Run(manager, func(t *testing.T) {
			w := newWorld(t)
			w.kubectl(web(2), "create", "--field-manager="+manager, "-f", "-")
			w.quiet(2)
			w.set(5)
			w.quiet(5)
			w.scale(manager, 2)
			w.told(2, `"`+manager+`"`, words)
			w.set(5)
			w.told(5, `"`+manager+`"`)
		})
	}
}

func TestArgoCDThatAppliesTheLiveNumberIsNotTold(t *testing.T) {
	w := newWorld(t)
	w.kubectl(web(0), "create", "-f", "-")
	w.set(5)
	w.kubectl(web(5), "apply", "--server-side", "--field-manager=argocd-controller", "-f", "-")
	w.quiet(5)
}

func TestKubectlScaleIsTold(t *testing.T) {
	w := newWorld(t)
	w.kubectl(web(0), "create", "-f", "-")
	w.set(5)
	w.kubectl("", "scale", "deployment", "web", "--replicas=2")
	w.told(2, `"kubectl"`, "suspends the pool")
	// After no replicas at all the API server notes no manager of a Scale.
	w.open()
	w.set(0)
	w.kubectl("", "scale", "deployment", "web", "--replicas=2")
	w.told(2, "suspends the pool")
}
