package cli

import (
	"path/filepath"
	"regexp"
	"strings"

	"github.com/go-logr/logr"
	"github.com/spf13/cobra"
	"k8s.io/klog/v2"

	"github.com/queuemill/queuemill/internal/clusterapi"
)

// pluginName is what a person types for kubectl to call us.
const pluginName = "kubectl queuemill"

const pluginLong = `Queuemill turns each message of a queue into one run of your command, sees it
through, and keeps what failed where you can see it, fix it and run it again.

The verbs speak to the cluster that kubectl would: --kubeconfig, --context,
--namespace and --all-namespaces mean what they mean there.`

// calledAs tells by the program's name whether it is kubectl's plugin, and makes
// of a call for completion (kubectl_complete-queuemill) cobra's own.
func calledAs(name string, args []string) (plugin bool, _ []string) {
	switch strings.TrimSuffix(filepath.Base(name), ".exe") {
	case "kubectl-queuemill":
		return true, args
	case "kubectl_complete-queuemill":
		return true, append([]string{cobra.ShellCompRequestCmd}, args...)
	}
	return false, args
}

// ownName finds where a text tells a person to call the program.
var ownName = regexp.MustCompile(`\bqueuemill (status|suspend|resume|validate|jobs|describe|logs|retry|prune|delete|send|peek|redrive|purge|doctor|version|completion|--help)\b`)

// name is what a person types to call the program.
func (p *program) name() string {
	if p.plugin {
		return pluginName
	}
	return "queuemill"
}

// asCalled names the program in a text as the person called it.
func (p *program) asCalled(text string) string {
	if !p.plugin {
		return text
	}
	text = ownName.ReplaceAllString(text, pluginName+" $1")
	return strings.ReplaceAll(text, "kubectl "+pluginName, pluginName)
}

func (p *program) addClusterFlags(cmd *cobra.Command) {
	f := &p.cluster
	cmd.Flags().StringVar(&f.Kubeconfig, "kubeconfig", "", "speak to the cluster of this `FILE` (default $KUBECONFIG or ~/.kube/config)")
	cmd.Flags().StringVar(&f.Context, "context", "", "speak to the cluster of this `CONTEXT` of the kubeconfig (default: its current one)")
	cmd.Flags().StringVarP(&f.Namespace, "namespace", "n", "", "speak to a cluster, about this `NAMESPACE` (default: the context's)")
	cmd.Flags().BoolVarP(&f.AllNamespaces, "all-namespaces", "A", false, "speak to a cluster, about all its namespaces")
	_ = cmd.RegisterFlagCompletionFunc("context", completeContexts(f))
	_ = cmd.RegisterFlagCompletionFunc("namespace", p.completeNamespaces())
}

// onCluster tells whether the verbs speak to a cluster.
func (p *program) onCluster() bool {
	return p.cluster != clusterapi.Flags{} || p.plugin && p.server.url == ""
}

func (p *program) openCluster() (*clusterapi.Backend, error) {
	if p.server.url != "" {
		return nil, usagef("leave one of them out", "--server is a controller's, --kubeconfig, --context, --namespace and --all-namespaces choose a cluster")
	}
	if p.cluster.Namespace != "" && p.cluster.AllNamespaces {
		return nil, usagef("leave one of them out", "--namespace chooses one namespace, --all-namespaces all")
	}
	klog.SetLogger(logr.Discard()) // what it has to say is for controllers
	access, err := clusterapi.Load(p.cluster)
	if err != nil {
		return nil, err
	}
	return clusterapi.Open(access, p.env.Version)
}
