package doctor

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/queuemill/queuemill/api/v1alpha1"
)

const applyCRD = "apply the CRDs of this version: kubectl apply --server-side -f deploy/kubernetes/crds/"

// crd looks whether the cluster's kinds are those this program knows, by
// the schema that the API server publishes to everybody.
func (c *clusterExam) crd(ctx context.Context) (installed bool) {
	const name = "crd"
	path := "/openapi/v3/apis/" + v1alpha1.GroupVersion.Group + "/" + v1alpha1.GroupVersion.Version
	data, err := c.backend.Client().Discovery().RESTClient().Get().AbsPath(path).DoRaw(ctx)
	if apierrors.IsNotFound(err) {
		c.add(found(Problem, name, "", "kubectl apply -f deploy/kubernetes/install.yaml",
			"this cluster has no QueueJobs of %s: Queuemill is not installed", v1alpha1.GroupVersion))
		return false
	}
	if err != nil {
		err = c.backend.Explain(err)
		c.add(found(Unknown, name, "", hintOf(err), "the schema of QueueJobs could not be read: %v", err))
		return true
	}
	for _, k := range kinds {
		check, err := k.schema(data)
		if err != nil {
			check = found(Unknown, name, "", "", "the schema of %ss could not be read: %v", k.name, err)
		}
		c.add(check)
	}
	return true
}

// kind is one of ours, as this program knows it.
type kind struct {
	name         string
	spec, status reflect.Type
	lacking      Level // what it is when the cluster has none
}

// kinds are all. A cluster without WorkerPools runs QueueJobs all the same.
var kinds = []kind{
	{v1alpha1.KindQueueJob, reflect.TypeFor[v1alpha1.QueueJobSpec](), reflect.TypeFor[v1alpha1.QueueJobStatus](), Problem},
	{v1alpha1.KindWorkerPool, reflect.TypeFor[v1alpha1.WorkerPoolSpec](), reflect.TypeFor[v1alpha1.WorkerPoolStatus](), Warning},
}

// schema compares the fields of a published schema with those of this program.
func (k *kind) schema(openAPI []byte) (Check, error) {
	const name = "crd"
	var document struct {
		Components struct {
			Schemas map[string]schemaNode `json:"schemas"`
		} `json:"components"`
	}
	if err := json.Unmarshal(openAPI, &document); err != nil {
		return Check{}, fmt.Errorf("read the OpenAPI document: %w", err)
	}
	for id, node := range document.Components.Schemas {
		if !strings.HasSuffix(id, "."+k.name) {
			continue
		}
		var missing, more []string
		compare(node.Properties["spec"], k.spec, "spec", &missing, &more)
		compare(node.Properties["status"], k.status, "status", &missing, &more)
		switch {
		case len(missing) > 0:
			return found(Problem, name, "", applyCRD, "the CRD of %s is older than this program: it has no %s", k.name, strings.Join(missing, ", ")), nil
		case len(more) > 0:
			return found(Warning, name, "", "use the command line of the controller's version", "the CRD of %s is newer than this program, which knows no %s", k.name, strings.Join(more, ", ")), nil
		}
		return ok(name, "", "%s %s, with the fields of this version", k.name, v1alpha1.GroupVersion), nil
	}
	return found(k.lacking, name, "", applyCRD, "this cluster has %s but no %s in it", v1alpha1.GroupVersion, k.name), nil
}

type schemaNode struct {
	Properties map[string]schemaNode `json:"properties"`
	Items      *schemaNode           `json:"items"`
	Opaque     bool                  `json:"x-kubernetes-preserve-unknown-fields"`
}

// compare walks the fields of t, a struct, that are structs of this API.
func compare(node schemaNode, t reflect.Type, at string, missing, more *[]string) {
	known := map[string]bool{}
	for i := range t.NumField() {
		field, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		if field == "" || field == "-" {
			continue
		}
		known[field] = true
		child, there := node.Properties[field]
		if !there {
			*missing = append(*missing, at+"."+field)
			continue
		}
		inner, where := t.Field(i).Type, at+"."+field
		for inner.Kind() == reflect.Pointer || inner.Kind() == reflect.Slice {
			if inner.Kind() == reflect.Slice && child.Items != nil {
				child, where = *child.Items, where+"[]"
			}
			inner = inner.Elem()
		}
		if inner.Kind() == reflect.Struct && inner.PkgPath() == t.PkgPath() && !child.Opaque {
			compare(child, inner, where, missing, more)
		}
	}
	for _, field := range slices.Sorted(maps.Keys(node.Properties)) {
		if !known[field] {
			*more = append(*more, at+"."+field)
		}
	}
}
