package rights

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/queuemill/queuemill/api/v1alpha1"
	"github.com/queuemill/queuemill/internal/install"
)

// person is a ServiceAccount of the world's namespace that has one of the
// cluster's own roles there.
type person struct {
	w          *world
	user       string
	kubeconfig string
}

func (w *world) person(role string) *person {
	w.t.Helper()
	kubectl(w.t, "", "create", "serviceaccount", role, "-n", w.namespace)
	kubectl(w.t, "", "create", "rolebinding", role, "-n", w.namespace, "--clusterrole", role, "--serviceaccount", w.namespace+":"+role)
	kubeconfig, err := plane.KubeconfigFor(w.t.Context(), w.namespace, role)
	if err != nil {
		w.t.Fatal(err)
	}
	return &person{w: w, user: "system:serviceaccount:" + w.namespace + ":" + role, kubeconfig: kubeconfig}
}

// queuemill runs a verb against the cluster as this person.
func (p *person) queuemill(args ...string) (string, error) {
	p.w.t.Helper()
	command := exec.Command(binary, append(args, "--kubeconfig", p.kubeconfig, "--namespace", p.w.namespace)...)
	command.Env = append(os.Environ(), "HOME="+p.w.t.TempDir())
	out, err := command.CombinedOutput()
	return string(out), err
}

func (p *person) must(args ...string) string {
	p.w.t.Helper()
	out, err := p.queuemill(args...)
	if err != nil {
		p.w.t.Fatalf("queuemill %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

// TestThePeoplesRolesAreEnoughForTheVerbs has somebody with the cluster's view
// look, and somebody with edit act.
func TestThePeoplesRolesAreEnoughForTheVerbs(t *testing.T) {
	applyInstall(t)
	w := newWorld(t)
	w.controller(install.Namespace, nil, "--config", w.allow("", w.queues.SQSURL+"/000000000000/*")).WaitReady(t)
	fails, secret := w.queue("fails"), w.queue("secret")
	w.queueJob("fails", fails, "fails", "message: {format: [json]}\ndeduplicationWindow: 1s\n")
	w.queueJob("secret", secret, "works", "message: {confidential: true}\n")
	w.send(fails, `{"n":1}`, `not JSON`)
	w.send(secret, "the hidden word")
	w.pool("pooled", w.queue("pooled"))
	bad := w.job("fails", "failed", failed)
	invalid := w.job("fails", "is Invalid", invalid)
	confidential := w.job("secret", "succeeded", succeeded)

	viewer, editor := w.person("view"), w.person("edit")
	w.until("the cluster has aggregated its roles", func() bool {
		_, err := viewer.queuemill("status")
		return err == nil
	})
	looked := len(requestsOf(t, viewer.user)) // up to here it may have been too early

	if out := viewer.must("jobs"); !strings.Contains(out, bad.Name) || !strings.Contains(out, invalid.Name) {
		t.Errorf("jobs shows\n%s", out)
	}
	if out := viewer.must("describe", bad.Name); !strings.Contains(out, `{"n":1}`) {
		t.Errorf("describe shows\n%s", out)
	}
	_, _ = viewer.queuemill("logs", bad.Name) // nothing ran that could have written one
	if out := viewer.must("status"); !strings.Contains(out, "pooled") {
		t.Errorf("status shows\n%s", out)
	}

	editor.must("retry", bad.Name)
	w.job("fails", "is the second attempt and succeeded", second)
	editor.must("suspend", "fails")
	editor.must("resume", "fails")
	editor.must("suspend", "pooled")
	w.until("the pool has no workers", func() bool {
		wp := w.workerPool("pooled")
		return wp.Spec.Suspend && wp.Status.Workers == (v1alpha1.WorkerCounts{})
	})
	editor.must("resume", "pooled")
	w.until("the pool has its worker again", func() bool { return w.workerPool("pooled").Status.Workers.Starting == 1 })
	editor.must("delete", "--yes", bad.Name)
	editor.must("prune", "--yes", "--state", "invalid")
	w.until("nothing is left of fails", func() bool { return len(w.jobs("fails")) == 0 })

	for _, p := range []*person{viewer, editor} {
		requests := requestsOf(t, p.user)
		if p == viewer {
			requests = requests[looked:]
		}
		for _, r := range Denied(requests) {
			t.Errorf("denied to %s: %s", p.user, r)
		}
	}

	// What view does not give.
	if out, _ := viewer.queuemill("describe", "--confidential", confidential.Name); !strings.Contains(out, confidential.Name) || strings.Contains(out, "hidden word") {
		t.Errorf("somebody who may not read Secrets is shown a confidential message:\n%s", out)
	}
	if out := editor.must("describe", "--confidential", confidential.Name); !strings.Contains(out, "hidden word") {
		t.Errorf("somebody who may read Secrets is not shown the message:\n%s", out)
	}
	if out, err := viewer.queuemill("retry", confidential.Name); err == nil {
		t.Errorf("somebody who may only look can retry:\n%s", out)
	}
	if out, err := viewer.queuemill("suspend", "pooled"); err == nil || !strings.Contains(out, "may not patch") {
		t.Errorf("somebody who may only look suspends a pool: %v\n%s", err, out)
	}
	if out, err := viewer.queuemill("suspend", "fails"); err == nil || !strings.Contains(out, "may not patch queuejobs") {
		t.Errorf("somebody who may only look suspends: %v\n%s", err, out)
	}
}
