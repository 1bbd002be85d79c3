package rights

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
)

// Request is one request as the audit log has it.
type Request struct {
	Verb      string // of RBAC: get, list, watch, create, …
	Group     string // "" is the core group
	Resource  string // with its subresource: "pods/log"; "" when it is none of an object
	Namespace string
	Name      string // "" where the request names no object
	URI       string
	Code      int    // of the answer
	Allowed   bool   // by the authorizer
	By        string // the authorizer's reason
}

// String is the request as a person would say it, with its answer.
func (r Request) String() string {
	what := r.URI
	if r.Resource != "" {
		what = resource(r.Group, r.Resource)
		if r.Name != "" {
			what += " " + r.Name
		}
		if r.Namespace != "" {
			what += " in " + r.Namespace
		}
	}
	return fmt.Sprintf("%s %s: %d", r.Verb, what, r.Code)
}

// resource is a resource with its group, "jobs.batch".
func resource(group, name string) string {
	if group == "" {
		return name
	}
	name, sub, found := strings.Cut(name, "/")
	if found {
		return name + "." + group + "/" + sub
	}
	return name + "." + group
}

// event is what is read of an audit.k8s.io/v1 Event.
type event struct {
	Stage      string `json:"stage"`
	RequestURI string `json:"requestURI"`
	Verb       string `json:"verb"`
	User       struct {
		Username string `json:"username"`
	} `json:"user"`
	ObjectRef *struct {
		Resource    string `json:"resource"`
		Subresource string `json:"subresource"`
		Namespace   string `json:"namespace"`
		Name        string `json:"name"`
		APIGroup    string `json:"apiGroup"`
	} `json:"objectRef"`
	ResponseStatus struct {
		Code int `json:"code"`
	} `json:"responseStatus"`
	Annotations map[string]string `json:"annotations"`
}

// Read is what user ("system:serviceaccount:NAMESPACE:NAME") asked for, in the
// order of the answers. A request that is still being answered, as a watch is,
// is there as soon as it was allowed; one that ends later is there once.
func Read(path, user string) ([]Request, error) {
	log, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read the audit log: %w", err)
	}
	defer log.Close()
	return read(log, user)
}

func read(log io.Reader, user string) ([]Request, error) {
	var out []Request
	lines := bufio.NewReader(log)
	for n := 1; ; n++ {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return out, nil // what has no end yet is still being written
		}
		if err != nil {
			return nil, fmt.Errorf("read the audit log: %w", err)
		}
		if !bytes.Contains(line, []byte(user)) {
			continue
		}
		var e event
		if err := json.Unmarshal(line, &e); err != nil {
			return nil, fmt.Errorf("read line %d of the audit log: %w", n, err)
		}
		if e.User.Username == user && e.counts() {
			out = append(out, e.request())
		}
	}
}

// counts tells whether e is the one event that stands for its request: of a
// long-running one (a watch, a followed log) its start, of others their end.
func (e *event) counts() bool {
	switch e.Stage {
	case "ResponseStarted":
		return true
	case "ResponseComplete", "Panic":
		return !e.longRunning() || e.ResponseStatus.Code >= http.StatusBadRequest
	}
	return false
}

func (e *event) longRunning() bool {
	return e.Verb == "watch" || e.ObjectRef != nil && e.ObjectRef.Subresource == "log"
}

func (e *event) request() Request {
	r := Request{
		Verb: e.Verb, URI: e.RequestURI, Code: e.ResponseStatus.Code,
		Allowed: e.Annotations["authorization.k8s.io/decision"] == "allow",
		By:      e.Annotations["authorization.k8s.io/reason"],
	}
	if ref := e.ObjectRef; ref != nil {
		r.Group, r.Resource, r.Namespace, r.Name = ref.APIGroup, ref.Resource, ref.Namespace, ref.Name
		if ref.Subresource != "" {
			r.Resource += "/" + ref.Subresource
		}
	}
	return r
}
