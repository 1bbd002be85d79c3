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
	left *int             // that we wrote last; nil: not known
	seen map[string]claim // by manager
}

// claim is somebody's who writes the replicas.
type claim struct {
	advice  string    // who, and what stops it
	at      time.Time // seen last
	applied bool      // by the manifest that was applied last, the old way
}

func (w *writers) forget() { *w = writers{} }

// wrote is told before a write (nil) and after it.
func (w *writers) wrote(n *int) { w.left = n }

// look says who writes the replicas besides us, in words that stay the same as
// long as it is the same ones; empty: nobody is known to.
func (w *writers) look(d *appsv1.Deployment, now time.Time) string {
	if w.uid != d.UID && w.uid != "" {
		w.forget() // it was made anew
	}
	if w.uid = d.UID; w.seen == nil {
		w.seen = map[string]claim{}
	}
	lost, named := w.left != nil && *w.left != desired(d), false
	for i := range d.ManagedFields {
		if f := &d.ManagedFields[i]; claims(f, lost) {
			named = true
			w.seen[f.Manager] = claim{advice: advice(f.Manager, f.Subresource), at: now}
		}
	}
	if lost && !named {
		w.seen[""] = claim{advice: adviceUnknown, at: now}
	}
	switch manager, states := applied(d); {
	case states:
		w.seen[manager] = claim{advice: adviceApplied(manager), at: now, applied: true}
	case manager != "": // it is mended, whoever did so
		maps.DeleteFunc(w.seen, func(who string, c claim) bool { return c.applied || who == manager })
	}
	maps.DeleteFunc(w.seen, func(_ string, c claim) bool { return now.Sub(c.at) > remembered })
	if len(w.seen) == 0 {
		return ""
	}
	var all []string
	for _, manager := range slices.Sorted(maps.Keys(w.seen)) {
		all = append(all, w.seen[manager].advice)
	}
	return fmt.Sprintf("spec.replicas of Deployment %s is also written by %s", d.Name, strings.Join(all, "; and by "))
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

// applied is who applied a manifest the old way, empty: nobody, and whether that
// states replicas.
func applied(d *appsv1.Deployment) (manager string, states bool) {
	text, ok := d.Annotations[lastApplied]
	if !ok {
		return "", false
	}
	manager = "kubectl apply"
	for i := range d.ManagedFields {
		if f := &d.ManagedFields[i]; owns(f, "f:metadata", "f:annotations", "f:"+lastApplied) {
			manager = f.Manager
		}
	}
	if isArgo(manager) {
		return "", false // see claims
	}
	var manifest struct {
		Spec struct {
			Replicas *int32 `json:"replicas"`
		} `json:"spec"`
	}
	err := json.Unmarshal([]byte(text), &manifest)
	return manager, err == nil && manifest.Spec.Replicas != nil
}

// adviceApplied is advice for who applied the old way, where a number that is
// only left out of the manifest is deleted, which is 1.
func adviceApplied(manager string) string {
	return fmt.Sprintf("%q: take replicas out of its manifest, then kubectl apply set-last-applied -f MANIFEST before the next apply, "+
		"which else makes it 1", manager)
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
