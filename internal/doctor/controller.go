package doctor

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/queuemill/queuemill/internal/install"
)

// controllerPods are those of the shipped Deployment.
const controllerPods = "app.kubernetes.io/name=queuemill,app.kubernetes.io/component=controller"

// controller looks for a controller that serves what is meant, by the Lease of
// its leader: in its own namespace when it serves all, else in the served one.
//
// One that works without election has no Lease; that it was there shows in a
// status that it wrote: seen.
func (c *clusterExam) controller(ctx context.Context, seen bool) {
	const name = "controller"
	homes := []string{install.Namespace}
	if c.namespace != "" && c.namespace != install.Namespace {
		homes = append(homes, c.namespace)
	}
	leases, err := c.leases(ctx, homes)
	if len(leases) == 0 {
		if err != nil {
			c.add(found(Unknown, name, "", "", "could not be looked for: %v", c.backend.Explain(err)))
			return
		}
		if seen {
			c.add(found(Warning, name, "", "let it run with --leader-elect: then its Lease tells, and another one can take over",
				"one has worked here without --leader-elect; whether it still runs can't be told"))
			return
		}
		c.add(found(Problem, name, "", "kubectl apply -f deploy/kubernetes/install.yaml, or start one with: queuemill controller --leader-elect",
			"none leads: there is no Lease %s in %s", install.Name, places(homes, c.namespace)))
		return
	}
	for _, l := range leases {
		c.add(leader(&l, time.Now()))
		c.add(c.pods(ctx, l.Namespace)...)
		if c.runsHere(ctx, l.Namespace) {
			c.add(c.controllerRights(ctx, l.Namespace))
		}
	}
}

// runsHere tells whether a controller of that namespace has the shipped
// ServiceAccount; one outside the cluster has other rights.
func (c *clusterExam) runsHere(ctx context.Context, home string) bool {
	_, err := c.backend.Client().CoreV1().ServiceAccounts(home).Get(ctx, install.Name, metav1.GetOptions{})
	return !apierrors.IsNotFound(err)
}

// leases are those of leaders. An error beside leases that were found is of
// namespaces that may not be looked into.
func (c *clusterExam) leases(ctx context.Context, homes []string) (leases []coordinationv1.Lease, err error) {
	api := c.backend.Client().CoordinationV1()
	if c.namespace == "" {
		found, err := api.Leases(metav1.NamespaceAll).List(ctx, metav1.ListOptions{FieldSelector: "metadata.name=" + install.Name})
		if err == nil {
			return found.Items, nil
		}
	}
	for _, home := range homes {
		l, getErr := api.Leases(home).Get(ctx, install.Name, metav1.GetOptions{})
		switch {
		case getErr == nil:
			leases = append(leases, *l)
		case !apierrors.IsNotFound(getErr):
			err = getErr
		}
	}
	return leases, err
}

func places(homes []string, namespace string) string {
	if namespace == "" {
		return "any namespace"
	}
	return strings.Join(homes, " or ")
}

// leader tells whether the holder of a Lease renews it. Both clocks are looked
// at apart.
func leader(l *coordinationv1.Lease, now time.Time) Check {
	const name = "controller"
	holder := "nobody"
	if h := l.Spec.HolderIdentity; h != nil && *h != "" {
		holder = *h
	}
	hint := fmt.Sprintf("kubectl get pods -n %s -l app.kubernetes.io/name=queuemill, and the log of one", l.Namespace)
	if l.Spec.RenewTime == nil || holder == "nobody" {
		return found(Problem, name, l.Namespace, hint, "nobody leads")
	}
	lasts := 15 * time.Second
	if s := l.Spec.LeaseDurationSeconds; s != nil {
		lasts = time.Duration(*s) * time.Second
	}
	idle := now.Sub(l.Spec.RenewTime.Time)
	switch {
	case idle > 2*lasts+skewSeen:
		return found(Problem, name, l.Namespace, hint, "nobody leads: %s did until %v ago", holder, idle.Round(time.Second))
	case idle < -skewSeen:
		return found(Warning, "clock", l.Namespace, "let both machines' clocks be set by NTP",
			"the controller %s leads, and its clock is %v ahead of this machine's", holder, -idle.Round(time.Second))
	}
	return ok(name, l.Namespace, "%s leads, as it said %v ago", holder, max(0, idle).Round(100*time.Millisecond))
}

// pods looks at the Deployment's pods. A controller may as well run outside the
// cluster.
func (c *clusterExam) pods(ctx context.Context, home string) []Check {
	const name = "replicas"
	list, err := c.backend.Client().CoreV1().Pods(home).List(ctx, metav1.ListOptions{LabelSelector: controllerPods})
	if err != nil {
		return []Check{found(Unknown, name, home, "", "could not be looked at: %v", c.backend.Explain(err))}
	}
	ready := 0
	var ill []Check
	for i := range list.Items {
		pod := &list.Items[i]
		if isReady(pod) {
			ready++
		} else if pod.DeletionTimestamp.IsZero() {
			ill = append(ill, found(Warning, name, home, fmt.Sprintf("kubectl describe pod -n %s %s", home, pod.Name), "%s is not ready: %s", pod.Name, whyNot(pod)))
		}
	}
	switch {
	case len(ill) > 0:
		return ill
	case ready == 0:
		return []Check{ok(name, home, "no pods of the Deployment: the controller runs elsewhere")}
	case ready == 1:
		return []Check{found(Warning, name, home, "kubectl scale deployment -n "+home+" "+install.Name+" --replicas 2", "one pod is ready: nobody takes over while it is replaced")}
	}
	return []Check{ok(name, home, "%d pods are ready", ready)}
}

func isReady(pod *corev1.Pod) bool {
	return slices.ContainsFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
	})
}

func whyNot(pod *corev1.Pod) string {
	for _, s := range pod.Status.ContainerStatuses {
		if w := s.State.Waiting; w != nil {
			return strings.TrimSuffix(w.Reason+": "+w.Message, ": ")
		}
	}
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse {
			return c.Message
		}
	}
	return string(pod.Status.Phase)
}
