package install

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"sigs.k8s.io/yaml"
)

// Files renders every file for the image (a reference that a kubelet pulls), by
// its name in deploy/kubernetes. crds are the CRDs' own YAML documents.
func Files(image string, crds ...[]byte) (map[string][]byte, error) {
	files := map[string][]byte{}
	for name, file := range map[string]struct {
		head  string
		crds  [][]byte
		parts []part
	}{
		"install.yaml":            {headClusterWide, crds, clusterWide(image)},
		"cluster-scoped.yaml":     {headPrerequisites, crds, prerequisites()},
		"install-namespaced.yaml": {headNamespaced, nil, namespaced(image)},
		"alerts.yaml":             {headAlerts, nil, monitoring()},
	} {
		var out bytes.Buffer
		out.WriteString(comment(headGenerated + "\n" + file.head))
		for _, crd := range file.crds {
			fmt.Fprintf(&out, "---\n%s", bytes.TrimPrefix(crd, []byte("---\n")))
		}
		for _, p := range file.parts {
			text, err := document(p.object)
			if err != nil {
				return nil, fmt.Errorf("render %s of %s: %w", p.object.GetName(), name, err)
			}
			fmt.Fprintf(&out, "---\n%s%s", comment(p.comment), text)
		}
		files[name] = out.Bytes()
	}
	return files, nil
}

const (
	headGenerated = "Generated from internal/install; `make generate` writes it anew."

	headClusterWide = `
Queuemill for all namespaces of a cluster:

    kubectl apply -f install.yaml

A QueueJob reads nothing until its namespace and queue are allowed: see
allow-list.yaml. docs/KUBERNETES.md says the rest.`

	headPrerequisites = `
What is cluster-scoped of an install in single namespaces, applied once by an
administrator:

    kubectl apply -f cluster-scoped.yaml

Then the owner of a namespace (ClusterRole admin there) applies
install-namespaced.yaml. Not needed beside install.yaml.`

	headNamespaced = `
Queuemill for one namespace, applied by its owner after an administrator has
applied cluster-scoped.yaml. Put your namespace's name in place of "` + NamespacedNamespace + `":

    sed 's/namespace: ` + NamespacedNamespace + `$/namespace: team-a/' install-namespaced.yaml | kubectl apply -f -`

	headAlerts = `
For the Prometheus operator: what is scraped, and ten alerts, each with a page
in docs/runbooks. Change the namespace and add the labels that your Prometheus
selects by, if it does.`
)

// document is an object as YAML, without the fields that only a server fills.
func document(object any) ([]byte, error) {
	text, err := json.Marshal(object)
	if err != nil {
		return nil, err
	}
	var fields map[string]any
	if err := json.Unmarshal(text, &fields); err != nil {
		return nil, err
	}
	delete(fields, "status")
	prune(fields)
	return yaml.Marshal(fields)
}

// prune takes out null, and what is left empty by that.
func prune(fields map[string]any) {
	for key, value := range fields {
		switch value := value.(type) {
		case nil:
			delete(fields, key)
		case map[string]any:
			if prune(value); len(value) == 0 {
				delete(fields, key)
			}
		case []any:
			for _, item := range value {
				if item, ok := item.(map[string]any); ok {
					prune(item)
				}
			}
		}
	}
}

func comment(text string) string {
	if text == "" {
		return ""
	}
	var out strings.Builder
	for line := range strings.Lines(strings.TrimRight(text, "\n") + "\n") {
		out.WriteString(strings.TrimRight("# "+strings.TrimRight(line, "\n"), " ") + "\n")
	}
	return out.String()
}

// CRDs reads the CRDs that controller-gen has written into folder, in the order
// of their names.
func CRDs(folder string) ([][]byte, error) {
	paths, err := filepath.Glob(filepath.Join(folder, "*.yaml"))
	if err != nil {
		return nil, err
	}
	if len(paths) == 0 {
		return nil, errors.New("no CRDs in " + folder + "; `go generate ./api/...` writes them")
	}
	var crds [][]byte
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		crds = append(crds, text)
	}
	return crds, nil
}
