package rights

import (
	"fmt"
	"net/http"
	"slices"

	rbacv1 "k8s.io/api/rbac/v1"
)

// Denied are the requests that were refused: by the authorizer, by an admission
// policy, or for want of a valid token.
func Denied(requests []Request) []Request {
	var out []Request
	for _, r := range requests {
		if !r.Allowed || r.Code == http.StatusForbidden || r.Code == http.StatusUnauthorized {
			out = append(out, r)
		}
	}
	return out
}

// Right is one verb on one resource; Name is "" for all its objects.
type Right struct {
	Verb, Group, Resource, Name string
}

// String is the right as a person would say it.
func (r Right) String() string {
	s := r.Verb + " " + resource(r.Group, r.Resource)
	if r.Name != "" {
		s += fmt.Sprintf(" %q", r.Name)
	}
	return s
}

// Rights are rules taken apart.
func Rights(rules []rbacv1.PolicyRule) []Right {
	var out []Right
	for _, rule := range rules {
		names := rule.ResourceNames
		if len(names) == 0 {
			names = []string{""}
		}
		for _, group := range rule.APIGroups {
			for _, resource := range rule.Resources {
				for _, verb := range rule.Verbs {
					for _, name := range names {
						out = append(out, Right{verb, group, resource, name})
					}
				}
			}
		}
	}
	return out
}

// covers tells whether the right allows the request. The shipped rules have no
// wildcards; with one, nothing is covered.
func (r Right) covers(q Request) bool {
	return r.Verb == q.Verb && r.Group == q.Group && r.Resource == q.Resource && (r.Name == "" || r.Name == q.Name)
}

// Unused are the rights that no allowed request made use of.
func Unused(rights []Right, requests []Request) []Right {
	return slices.DeleteFunc(slices.Clone(rights), func(right Right) bool {
		return slices.ContainsFunc(requests, func(q Request) bool { return q.Allowed && right.covers(q) })
	})
}

// Foreign are the requests for objects that were allowed by something else than
// these rights: what only works where somebody has given more.
func Foreign(rights []Right, requests []Request) []Request {
	var out []Request
	for _, q := range requests {
		if q.Allowed && q.Resource != "" && !slices.ContainsFunc(rights, func(r Right) bool { return r.covers(q) }) {
			out = append(out, q)
		}
	}
	return out
}
