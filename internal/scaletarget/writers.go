package scaletarget

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// remembered is how long somebody who wrote the replicas is told of after that.
const remembered = time.Hour

// lastApplied is where kubectl apply keeps the manifest, and Argo CD by default.
const lastApplied = "kubectl.kubernetes.io/last-applied-configuration"

// writers remembers who else writes the replicas of a Deployment. Our own write
// takes the field from others, so what managedFields say must be kept for a while.
// Whether the field is ours they don't always say: a Scale with no replicas has
// an empty spec, and once nobody owns anything of it the API server stops noting
// its writers. So what we left is compared with what is found.
type writers struct {
	uid  types.UID
	left *int                 // that we wrote last; nil: not known
	seen map[string]time.Time // a manager and its advice, to when it last claimed the field
}

func (w *writers) forget() { *w = writers{} }

// wrote is told before a write (nil) and after it.
func (w *writers) wrote(n *int) { w.left = n }

// look says who writes the replicas besides us, in words that stay the same as
// long as it is the same ones; empty: nobody is known to.
func (w *writers) look(d *appsv1.Deployment, now time.Time) string {
	if w.uid != d.UID {
		*w = writers{uid: d.UID, seen: map[string]time.Time{}}
	}
	lost, named := w.left != nil && *w.left != desired(d), false
	for i := range d.ManagedFields {
		if f := &d.ManagedFields[i]; claims(f, lost) {
			named = true
			w.seen[advice(f.Manager, f.Subresource)] = now
		}
	}
	if lost && !named {
		w.seen[adviceUnknown] = now
	}
	if manager := appliedBy(d); manager != "" {
		w.seen[adviceApplied(manager)] = now
	}
	maps.DeleteFunc(w.seen, func(_ string, at time.Time) bool { return now.Sub(at) > remembered })
	if len(w.seen) == 0 {
		return ""
	}
	return fmt.Sprintf("spec.replicas of Deployment %s is also written by %s", d.Name, strings.Join(slices.Sorted(maps.Keys(w.seen)), "; and by "))
}

// claims tells whether a manager states the number, by what it owns. Who made an
// object by an Update owns all defaults too, whatever its manifest said, and Argo
// CD applies the live number where it is told to ignore it: with those it is a
// claim only once the number is not the one that we left.
func claims(f *metav1.ManagedFieldsEntry, lost bool) bool {
	if f.Manager == FieldManager || !owns(f, "f:spec", "f:replicas") {
		return false
	}
	return lost || f.Operation == metav1.ManagedFieldsOperationApply && !isArgo(f.Manager)
}

func isArgo(manager string) bool { return strings.HasPrefix(manager, "argocd") }

// owns tells whether an entry has a field; path is in the fields' own notation.
func owns(f *metav1.ManagedFieldsEntry, path ...string) bool {
	if f.FieldsV1 == nil {
		return false
	}
	fields := f.FieldsV1.GetRawBytes()
	for _, name := range path {
		var below map[string]json.RawMessage
		if err := json.Unmarshal(fields, &below); err != nil {
			return false
		}
		var ok bool
		if fields, ok = below[name]; !ok {
			return false
		}
	}
	return true
}

// appliedBy is who applied a manifest that states replicas, the old way; empty:
// nobody.
func appliedBy(d *appsv1.Deployment) string {
	var manifest struct {
		Spec struct {
			Replicas *int32 `json:"replicas"`
		} `json:"spec"`
	}
	if err := json.Unmarshal([]byte(d.Annotations[lastApplied]), &manifest); err != nil || manifest.Spec.Replicas == nil {
		return ""
	}
	for i := range d.ManagedFields {
		f := &d.ManagedFields[i]
		switch {
		case !owns(f, "f:metadata", "f:annotations", "f:"+lastApplied):
		case isArgo(f.Manager):
			return "" // see claims
		default:
			return f.Manager
		}
	}
	return "kubectl apply"
}

// adviceApplied is advice for who applied the old way, where a number that is
// only left out of the manifest is deleted, which is 1.
func adviceApplied(manager string) string {
	return fmt.Sprintf("%q at each apply: take replicas out of its manifest, but first out of what it applied last, "+
		"with kubectl apply edit-last-applied (left out alone it becomes 1 for a moment)", manager)
}

const byHand = "who wants a number of their own suspends the pool, or sets minWorkers and maxWorkers"

// adviceUnknown is about a write whose manager was not noted.
const adviceUnknown = "somebody who is not named, as by kubectl scale: " + byHand

// advice names a manager, and what stops it.
func advice(manager, subresource string) string {
	var stop string
	switch {
	case subresource == "scale":
		stop = byHand
	case isArgo(manager):
		stop = "leave replicas out of its manifest, or list /spec/replicas under ignoreDifferences with the sync option RespectIgnoreDifferences=true"
	case manager == "kustomize-controller" || manager == "helm-controller" || manager == "flux":
		stop = "leave replicas out of what Flux applies (of a chart: by the value that does so)"
	case manager == "helm":
		stop = "leave replicas out by the chart's value that does so, often autoscaling.enabled=true with its HPA off"
	default:
		stop = "leave replicas out of its manifest"
	}
	return fmt.Sprintf("%q: %s", manager, stop)
}
