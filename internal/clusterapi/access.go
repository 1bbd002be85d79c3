package clusterapi

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	_ "k8s.io/client-go/plugin/pkg/client/auth/oidc" // kubeconfigs that name it
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/queuemill/queuemill/internal/httpapi"
	"github.com/queuemill/queuemill/internal/nearest"
)

// Flags say which cluster is meant, and which of its namespaces, as kubectl's
// flags of the same names do.
type Flags struct {
	Kubeconfig    string // empty: $KUBECONFIG, then ~/.kube/config, then the cluster around this process
	Context       string // empty: the file's current one
	Namespace     string // empty: the context's
	AllNamespaces bool
}

// Access is a cluster and the namespaces that are meant.
type Access struct {
	Config    *rest.Config
	Namespace string // empty: all
	User      string // the name the kubeconfig has for the person; may be empty
}

// Load reads the kubeconfig. Nothing is asked of the cluster yet. Errors are
// *httpapi.Problem, with what to do.
func Load(f Flags) (*Access, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = f.Kubeconfig
	if f.Kubeconfig != "" {
		if _, err := os.Stat(f.Kubeconfig); err != nil {
			return nil, noCluster(fmt.Sprintf("read the kubeconfig: %v", err), "give --kubeconfig the path of one")
		}
	}
	if raw, err := rules.Load(); err == nil && f.Context != "" && raw.Contexts[f.Context] == nil {
		return nil, noCluster(fmt.Sprintf("the kubeconfig has no context %q", f.Context),
			didYouMean(f.Context, slices.Sorted(maps.Keys(raw.Contexts)), "kubectl config get-contexts lists them"))
	}
	overrides := &clientcmd.ConfigOverrides{CurrentContext: f.Context}
	overrides.Context.Namespace = f.Namespace
	loader := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, overrides)
	config, err := loader.ClientConfig()
	if err != nil {
		return nil, unusable(f, err)
	}
	namespace, _, err := loader.Namespace()
	if err != nil {
		return nil, unusable(f, err)
	}
	if f.AllNamespaces {
		namespace = corev1.NamespaceAll
	}
	config.QPS = -1 // the API server's priority and fairness is the limit
	config.WarningHandler = rest.NoWarnings{}
	config.UserAgent = "queuemill"
	a := &Access{Config: config, Namespace: namespace}
	if raw, err := loader.RawConfig(); err == nil {
		a.User = userOf(&raw, f.Context)
	}
	return a, nil
}

// Contexts are the names of the kubeconfig's contexts, none when it can't be
// read.
func Contexts(f Flags) []string {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = f.Kubeconfig
	raw, err := rules.Load()
	if err != nil {
		return nil
	}
	return slices.Sorted(maps.Keys(raw.Contexts))
}

// Namespaces are the cluster's, none when the caller may not list them.
func (b *Backend) Namespaces(ctx context.Context) []string {
	list, err := b.client.CoreV1().Namespaces().List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil
	}
	var all []string
	for _, n := range list.Items {
		all = append(all, n.Name)
	}
	return all
}

// userOf is the name of the context's user.
func userOf(c *clientcmdapi.Config, context string) string {
	if context == "" {
		context = c.CurrentContext
	}
	if found := c.Contexts[context]; found != nil {
		return found.AuthInfo
	}
	return ""
}

// unusable says of a kubeconfig that leads nowhere what to do.
func unusable(f Flags, err error) error {
	if clientcmd.IsEmptyConfig(err) || errors.Is(err, rest.ErrNotInCluster) {
		return noCluster("no cluster: there is no kubeconfig, or it names none",
			"give --kubeconfig FILE or set KUBECONFIG; kubectl config current-context shows what is chosen")
	}
	hint := "kubectl config view shows it"
	if f.Kubeconfig != "" {
		hint += "; is " + f.Kubeconfig + " a kubeconfig?"
	}
	return noCluster(fmt.Sprintf("read the kubeconfig: %v", err), hint)
}

// didYouMean is a hint that begins with what was probably meant.
func didYouMean(name string, all []string, hint string) string {
	if meant := nearest.To(name, all); meant != "" {
		return "did you mean " + meant + "? " + hint
	}
	return hint
}

func noCluster(detail, hint string) *httpapi.Problem {
	return httpapi.NewProblem(http.StatusServiceUnavailable, detail, hint)
}
