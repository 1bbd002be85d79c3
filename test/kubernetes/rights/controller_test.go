package rights

import (
	"fmt"
	"strings"
	"testing"

	batchv1 "k8s.io/api/batch/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/queuemill/queuemill/api/v1alpha1"
	"github.com/queuemill/queuemill/internal/install"
)

// TestTheControllerHasTheRightsItUsesAndNoOthers goes through every feature that
// needs a right, with two replicas one after the other.
func TestTheControllerHasTheRightsItUsesAndNoOthers(t *testing.T) {
	applyInstall(t)
	w := newWorld(t)
	args := []string{"--config", w.allow("", w.queues.SQSURL+"/000000000000/*")}
	w.everything(install.Namespace, args...)
	judge(t, "system:serviceaccount:"+install.Namespace+":"+install.Name,
		append(install.ControllerRules(), install.LeaderRules()...))
}

// TestTheControllerOfANamespaceNeedsNothingOutsideIt runs it under
// install-namespaced.yaml.
func TestTheControllerOfANamespaceNeedsNothingOutsideIt(t *testing.T) {
	applyInstall(t) // for the CRD and the policy
	w := newWorld(t)
	text := kubectl(t, "", "create", "--dry-run=client", "-o", "yaml", "-f", manifest("install-namespaced.yaml"))
	kubectl(t, strings.ReplaceAll(text, "namespace: "+install.NamespacedNamespace+"\n", "namespace: "+w.namespace+"\n"), "apply", "-f", "-")
	w.everything(w.namespace, "--namespace", w.namespace)
	user := "system:serviceaccount:" + w.namespace + ":" + install.Name
	judge(t, user, append(install.ControllerRules(), install.LeaderRules()...))
	for _, r := range requestsOf(t, user) {
		if r.Resource != "" && r.Namespace != w.namespace {
			t.Errorf("a request outside its namespace: %s", r)
		}
	}
}

func requestsOf(t *testing.T, user string) []Request {
	t.Helper()
	all, err := Read(plane.AuditLog(), user)
	if err != nil {
		t.Fatal(err)
	}
	if len(all) == 0 {
		t.Fatalf("the audit log has no request of %s", user)
	}
	return all
}

// judge holds what user did against its rules.
func judge(t *testing.T, user string, rules []rbacv1.PolicyRule) {
	t.Helper()
	all := requestsOf(t, user)
	for _, r := range Denied(all) {
		t.Errorf("denied: %s (%s)", r, r.URI)
	}
	rights := Rights(rules)
	for _, r := range Foreign(rights, all) {
		t.Errorf("allowed by something that is not shipped: %s (%s)", r, r.By)
	}
	for _, r := range Unused(rights, all) {
		if r.Verb != install.VerbRun { // the admission policy asks for it
			t.Errorf("nothing used the right to %s", r)
		}
	}
	t.Logf("%d requests of %s", len(all), user)
}

// everything has two controllers, one after the other, do all that they can.
func (w *world) everything(account string, args ...string) {
	w.t.Helper()
	first := w.controller(account, nil, args...)
	first.WaitReady(w.t)
	w.features()
	w.sameKey("system:serviceaccount:" + account + ":" + install.Name)
	w.pool("pooled", w.queue("pooled"))
	w.targeted("targeted", w.queue("targeted"))
	if code := first.Stop(w.t); code != 0 {
		w.t.Errorf("the controller's exit code is %d", code)
	}
	// An API server that can't stream a list is asked for it, as older ones are.
	second := w.controller(account, []string{"KUBE_FEATURE_WatchListClient=false"}, args...)
	second.WaitReady(w.t)
	w.ends()
}

func failed(j *batchv1.Job) bool    { return j.Labels["queuemill.dev/state"] == "failed" }
func invalid(j *batchv1.Job) bool   { return j.Labels["queuemill.dev/state"] == "invalid" }
func succeeded(j *batchv1.Job) bool { return j.Status.Succeeded == 1 }

// second tells whether it is a record's second attempt, ended well.
func second(j *batchv1.Job) bool { return strings.HasSuffix(j.Name, "-2") && succeeded(j) }

// features has everything happen that becomes of messages.
func (w *world) features() {
	plain, fails, secret, held := w.queue("plain"), w.queue("fails"), w.queue("secret"), w.queue("held")

	w.queueJob("plain", plain, "works", "message: {format: [json]}\ndeduplicationWindow: 1s\nsuccessfulJobsHistoryLimit: 1\n")
	w.send(plain, `{"n":1}`, `{"n":2}`, `not JSON`, `{"large":"`+strings.Repeat("x", 10<<10)+`"}`)
	bad := w.job("plain", "is Invalid", invalid)
	w.annotate(bad.Name, "queuemill.dev/prune=true")
	w.until("the Invalid record is pruned, and of the successes one is left", func() bool { return len(w.jobs("plain")) == 1 })

	w.queueJob("fails", fails, "fails", "")
	w.send(fails, `{"n":1}`)
	bad = w.job("fails", "failed", failed)
	w.annotate(bad.Name, "queuemill.dev/retry=true")
	w.job("fails", "is the second attempt and succeeded", second)

	w.queueJob("secret", secret, "fails", "message: {confidential: true, deduplicationField: key}\n")
	w.send(secret, `{"key":"a"}`)
	bad = w.job("secret", "failed", failed)
	w.annotate(bad.Name, "queuemill.dev/retry=true")
	w.job("secret", "is the second attempt and succeeded", second)

	w.queueJob("held", held, "fails", "ack: OnSuccess\n")
	w.send(held, `{"n":1}`)
	bad = w.job("held", "failed", failed)
	w.annotate(bad.Name, "queuemill.dev/retry=true")
	w.job("held", "is the second attempt and succeeded", second)

	w.patch("held", `{"spec":{"suspend":true}}`)
	w.until("held is suspended", func() bool { s, _, _ := w.condition("held", "Suspended"); return s == "True" })
	w.patch("held", `{"spec":{"suspend":false}}`)
	w.until("held is resumed", func() bool { s, _, _ := w.condition("held", "Suspended"); return s == "False" })
}

// sameKey sends confidential messages of one key and different bodies at once,
// until two of them made their Secrets before either had its Job: one of the
// Secrets is dropped.
func (w *world) sameKey(user string) {
	w.t.Helper()
	dropped := Right{Verb: "delete", Resource: "secrets"}
	for round := range 20 {
		key := fmt.Sprint("round ", round)
		var bodies []string
		for n := range 10 {
			bodies = append(bodies, fmt.Sprintf(`{"key":%q,"n":%d}`, key, n))
		}
		before := len(w.jobs("secret"))
		w.send(w.queues.SQSURL+"/000000000000/secret", bodies...)
		w.until("each of them has its record", func() bool { return len(w.jobs("secret")) >= before+len(bodies) })
		if len(Unused([]Right{dropped}, requestsOf(w.t, user))) == 0 {
			return
		}
	}
}

// pool makes a WorkerPool, and waits for its worker to be let go.
func (w *world) pool(name, url string) {
	w.t.Helper()
	w.send(url, `{"n":1}`)
	wp := &v1alpha1.WorkerPool{}
	text := fmt.Sprintf(`
metadata: {name: %s, namespace: %s}
spec:
  queue: {sqs: {url: %q, region: us-east-1}}
  scaling: {backlogPerWorker: 1, interval: 100ms}
  kubernetes: {template: {spec: {containers: [{name: main, image: works, command: [work]}]}}}
`, name, w.namespace, url)
	if err := yaml.UnmarshalStrict([]byte(text), wp); err != nil {
		w.t.Fatal(err)
	}
	if err := w.api.Create(w.t.Context(), wp); err != nil {
		w.t.Fatal(err)
	}
	w.until("the pool has its worker", func() bool {
		s := w.workerPool(name).Status
		return s.Desired == 1 && s.Workers.Starting == 1
	})
	w.work(name)
	w.until("the worker may receive", func() bool { return w.workerPool(name).Status.Workers.Ready == 1 })
}

// targeted makes a WorkerPool that scales a Deployment, and waits until it has.
func (w *world) targeted(name, url string) {
	w.t.Helper()
	w.send(url, `{"n":1}`, `{"n":2}`)
	kubectl(w.t, "", "create", "deployment", name, "--image=works", "-n", w.namespace)
	kubectl(w.t, fmt.Sprintf(`
apiVersion: queuemill.dev/v1alpha1
kind: WorkerPool
metadata: {name: %s, namespace: %s}
spec:
  queue: {sqs: {url: %q, region: us-east-1}}
  scaling: {backlogPerWorker: 1, interval: 100ms}
  scaleTargetRef: {name: %[1]s}
`, name, w.namespace, url), "create", "-f", "-")
	w.until("the Deployment follows the backlog", func() bool {
		return kubectl(w.t, "", "get", "deployment", name, "-n", w.namespace, "-o", "jsonpath={.spec.replicas}") == "2"
	})
}

// workerPool is one as it is now.
func (w *world) workerPool(name string) *v1alpha1.WorkerPool {
	w.t.Helper()
	wp := &v1alpha1.WorkerPool{}
	if err := w.api.Get(w.t.Context(), client.ObjectKey{Namespace: w.namespace, Name: name}, wp); err != nil {
		w.t.Fatal(err)
	}
	return wp
}

// ends deletes QueueJobs, one with its Jobs, one of them running, and the
// WorkerPools.
func (w *world) ends() {
	for _, name := range []string{"pooled", "targeted"} {
		wp := &v1alpha1.WorkerPool{}
		wp.Namespace, wp.Name = w.namespace, name
		if err := w.api.Delete(w.t.Context(), wp); err != nil {
			w.t.Fatal(err)
		}
		w.until("WorkerPool "+name+" is gone", func() bool {
			return apierrors.IsNotFound(w.api.Get(w.t.Context(), client.ObjectKeyFromObject(wp), wp))
		})
	}
	w.queueJob("gone", w.queue("gone"), "stays", "deletionPolicy: Delete\n")
	w.send(w.queues.SQSURL+"/000000000000/gone", `{"n":1}`)
	w.job("gone", "runs", func(j *batchv1.Job) bool { return j.Status.Active == 1 })
	for _, name := range []string{"gone", "held"} {
		qj := &v1alpha1.QueueJob{}
		qj.Namespace, qj.Name = w.namespace, name
		if err := w.api.Delete(w.t.Context(), qj); err != nil {
			w.t.Fatal(err)
		}
		w.until("QueueJob "+name+" is gone", func() bool {
			return apierrors.IsNotFound(w.api.Get(w.t.Context(), client.ObjectKeyFromObject(qj), qj))
		})
	}
	w.until("the Jobs of gone went with it", func() bool { return len(w.jobs("gone")) == 0 })
	if len(w.jobs("held")) == 0 {
		w.t.Error("the Jobs of held went with it, whose deletionPolicy is Orphan")
	}
}
