package clusterapi

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/queuemill/queuemill/internal/executor"
	"github.com/queuemill/queuemill/internal/httpapi"
	"github.com/queuemill/queuemill/internal/install"
)

// Explain makes of the API server's error one that says what to do next. What
// it does not know stays as it is; nil stays nil.
func (b *Backend) Explain(err error) error {
	var problem *httpapi.Problem
	var status apierrors.APIStatus
	switch {
	case err == nil, errors.As(err, &problem), errors.Is(err, executor.ErrNotFound),
		errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	case errors.As(err, &status):
		return b.explainStatus(status.Status(), err)
	}
	return b.explainTransport(err)
}

func (b *Backend) explainStatus(s metav1.Status, err error) error {
	switch s.Reason {
	case metav1.StatusReasonForbidden:
		return b.forbidden(s)
	case metav1.StatusReasonUnauthorized:
		return b.Unauthorized()
	case metav1.StatusReasonNotFound:
		if s.Details == nil || s.Details.Name == "" {
			return noCRD(b.access.Config.Host)
		}
	}
	return err
}

// Unauthorized says that the cluster does not know the caller.
func (b *Backend) Unauthorized() error {
	return &httpapi.Problem{
		Type: typeNoRights, Title: "No access", Status: http.StatusUnauthorized,
		Detail: fmt.Sprintf("the cluster at %s does not accept your credentials", b.access.Config.Host),
		Hint:   "sign in again, or choose another context with --context",
	}
}

const typeNoRights = "urn:queuemill:problem:no-rights"

// forbidden names verb and resource, and the role that gives the right. The API
// server's own words are: jobs.batch is forbidden: User "x" cannot list
// resource "jobs" in API group "batch" in the namespace "y".
func (b *Backend) forbidden(s metav1.Status) error {
	p := &httpapi.Problem{
		Type: typeNoRights, Title: "No right", Status: http.StatusForbidden,
		Detail: s.Message, Hint: "queuemill doctor lists what you may and what is missing",
	}
	_, said, ok := strings.Cut(s.Message, ": User ")
	if !ok { // an admission policy's or webhook's refusal: its own words
		return p
	}
	user, rest, _ := strings.Cut(said, " cannot ")
	user = strings.Trim(user, `"`)
	verb, _, _ := strings.Cut(rest, " ")
	p.Detail = fmt.Sprintf("user %s may not %s", user, plainRight(rest))
	role := install.RoleView
	switch verb {
	case "patch", "update", "delete", "create":
		role = install.RoleEdit
	}
	p.Hint = fmt.Sprintf("the ClusterRole %s gives it: kubectl create rolebinding %s --clusterrole %s --user %s -n %s",
		role, role, role, shellWord(user), orDefault(b.access.Namespace, "NAMESPACE"))
	if b.access.Namespace == "" {
		p.Hint = fmt.Sprintf("choose one namespace with -n, or have the ClusterRole %s bound in all: kubectl create clusterrolebinding %s --clusterrole %s --user %s",
			role, role, role, shellWord(user))
	}
	return p
}

var rightWords = regexp.MustCompile(`^(\S+) resource "([^"]+)" in API group "[^"]*" (?:in the namespace "([^"]+)"|at the cluster scope)`)

// plainRight shortens the API server's words: list queuejobs in namespace x.
func plainRight(words string) string {
	m := rightWords.FindStringSubmatch(words)
	switch {
	case m == nil:
		return words
	case m[3] == "":
		return m[1] + " " + m[2] + " in all namespaces"
	}
	return m[1] + " " + m[2] + " in namespace " + m[3]
}

func orDefault(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// shellWord quotes what a shell would take apart.
func shellWord(s string) string {
	if strings.ContainsAny(s, " '\"$`\\*?&|;<>()[]{}!#~\t\n") {
		return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
	}
	return s
}

func noCRD(host string) error {
	return httpapi.NewProblem(http.StatusServiceUnavailable,
		"the cluster at "+host+" knows no QueueJobs: Queuemill is not installed there",
		"kubectl apply -f deploy/kubernetes/install.yaml installs it; or choose another cluster with --context")
}

func (b *Backend) explainTransport(err error) error {
	var urlErr *url.Error
	var opErr *net.OpError
	if !errors.As(err, &urlErr) && !errors.As(err, &opErr) {
		return err
	}
	cause := err
	if urlErr != nil {
		cause = urlErr.Err
	}
	return httpapi.NewProblem(http.StatusServiceUnavailable,
		fmt.Sprintf("the cluster at %s does not answer: %v", b.access.Config.Host, cause),
		"is it up, and is this the right one? kubectl cluster-info; choose another with --context")
}
