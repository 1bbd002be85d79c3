package rights

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	rbacv1 "k8s.io/api/rbac/v1"
)

// log has a line per event, as an API server wrote them, shortened.
const log = `{"stage":"ResponseComplete","requestURI":"/apis/batch/v1/namespaces/a/jobs?dryRun=All","verb":"create","user":{"username":"me"},"objectRef":{"resource":"jobs","namespace":"a","apiGroup":"batch"},"responseStatus":{"code":201},"annotations":{"authorization.k8s.io/decision":"allow","authorization.k8s.io/reason":"ours"}}
{"stage":"ResponseStarted","requestURI":"/api/v1/pods?watch=true","verb":"watch","user":{"username":"me"},"objectRef":{"resource":"pods"},"responseStatus":{"code":200},"annotations":{"authorization.k8s.io/decision":"allow"}}
{"stage":"ResponseComplete","requestURI":"/api/v1/pods?watch=true","verb":"watch","user":{"username":"me"},"objectRef":{"resource":"pods"},"responseStatus":{"code":200},"annotations":{"authorization.k8s.io/decision":"allow"}}
{"stage":"ResponseComplete","requestURI":"/api/v1/namespaces/a/secrets","verb":"watch","user":{"username":"me"},"objectRef":{"resource":"secrets","namespace":"a"},"responseStatus":{"code":403},"annotations":{"authorization.k8s.io/decision":"forbid"}}
{"stage":"ResponseComplete","requestURI":"/api/v1/namespaces/a/pods/p/log","verb":"get","user":{"username":"another, not me"},"objectRef":{"resource":"pods","subresource":"log","namespace":"a","name":"p"},"responseStatus":{"code":200},"annotations":{"authorization.k8s.io/decision":"allow"}}
{"stage":"ResponseComplete","requestURI":"/apis/batch/v1/namespaces/a/jobs/j","verb":"patch","user":{"username":"me"},"objectRef":{"resource":"jobs","namespace":"a","name":"j","apiGroup":"batch"},"responseStatus":{"code":403},"annotations":{"authorization.k8s.io/decision":"allow"}}
{"stage":"ResponseComplete","requestURI":"/apis/coordination.k8s.io/v1/namespaces/a/leases/l","verb":"update","user":{"username":"me"},"objectRef":{"resource":"leases","namespace":"a","name":"l","apiGroup":"coordination.k8s.io"},"responseStatus":{"code":200},"annotations":{"authorization.k8s.io/decision":"allow"}}
{"stage":"ResponseComplete","requestURI":"/apis","verb":"get","user":{"username":"me"},"responseStatus":{"code":200},"annotations":{"authorization.k8s.io/decision":"allow"}}
{"stage":"ResponseComplete","requestURI":"/half a li`

func requests(t *testing.T) []Request {
	t.Helper()
	got, err := read(strings.NewReader(log), "me")
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func said[T interface{ String() string }](list []T) (out []string) {
	for _, x := range list {
		out = append(out, x.String())
	}
	return out
}

func TestARequestIsReadOnceAndWithItsUserOnly(t *testing.T) {
	want := []string{
		"create jobs.batch in a: 201", "watch pods: 200", "watch secrets in a: 403", "patch jobs.batch j in a: 403",
		"update leases.coordination.k8s.io l in a: 200", "get /apis: 200",
	}
	if diff := cmp.Diff(want, said(requests(t))); diff != "" {
		t.Error(diff)
	}
}

func TestDeniedIsWhatTheAuthorizerOrAPolicyRefused(t *testing.T) {
	want := []string{"watch secrets in a: 403", "patch jobs.batch j in a: 403"}
	if diff := cmp.Diff(want, said(Denied(requests(t)))); diff != "" {
		t.Error(diff)
	}
}

func TestUnusedAndForeign(t *testing.T) {
	rights := Rights([]rbacv1.PolicyRule{
		{APIGroups: []string{"batch"}, Resources: []string{"jobs"}, Verbs: []string{"create", "delete", "patch"}},
		{APIGroups: []string{""}, Resources: []string{"secrets", "pods"}, Verbs: []string{"watch"}},
		{APIGroups: []string{""}, Resources: []string{"pods/log"}, Verbs: []string{"get"}},
		{APIGroups: []string{"coordination.k8s.io"}, Resources: []string{"leases"}, Verbs: []string{"update"}, ResourceNames: []string{"other"}},
	})
	want := []string{"delete jobs.batch", "watch secrets", "get pods/log", `update leases.coordination.k8s.io "other"`}
	if diff := cmp.Diff(want, said(Unused(rights, requests(t)))); diff != "" {
		t.Error(diff)
	}
	want = []string{"update leases.coordination.k8s.io l in a: 200"}
	if diff := cmp.Diff(want, said(Foreign(rights, requests(t)))); diff != "" {
		t.Error(diff)
	}
}
