package doctor

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"
	authorizationv1 "k8s.io/api/authorization/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/queuemill/queuemill/internal/install"
)

// rightsOf takes rules apart into one question to the API server each.
func rightsOf(rules []rbacv1.PolicyRule, namespace string) []authorizationv1.ResourceAttributes {
	var all []authorizationv1.ResourceAttributes
	for _, rule := range rules {
		names := rule.ResourceNames
		if len(names) == 0 {
			names = []string{""}
		}
		for _, group := range rule.APIGroups {
			for _, resource := range rule.Resources {
				resource, subresource, _ := strings.Cut(resource, "/")
				for _, verb := range rule.Verbs {
					for _, name := range names {
						all = append(all, authorizationv1.ResourceAttributes{
							Namespace: namespace, Verb: verb, Group: group, Resource: resource, Subresource: subresource, Name: name,
						})
					}
				}
			}
		}
	}
	return all
}

func resourceText(a *authorizationv1.ResourceAttributes) string {
	if a.Subresource != "" {
		return a.Resource + "/" + a.Subresource
	}
	return a.Resource
}

// ownRights asks what the caller may.
func (c *clusterExam) ownRights(ctx context.Context) {
	see := rightsOf(install.ViewRules(), c.namespace)
	c.add(c.ask(ctx, "your-rights-to-see", see, Problem, "status, jobs, describe and logs", install.RoleView))
	// Writing manifests is another matter than working with jobs.
	change := slices.DeleteFunc(rightsOf(install.EditRules(), c.namespace), func(a authorizationv1.ResourceAttributes) bool {
		return (a.Resource == "queuejobs" || a.Resource == "workerpools") && a.Verb != "patch"
	})
	c.add(c.ask(ctx, "your-rights-to-change", change, Warning, "suspend, resume, retry, prune and delete", install.RoleEdit))
}

func (c *clusterExam) ask(ctx context.Context, name string, rights []authorizationv1.ResourceAttributes, l Level, verbs, role string) Check {
	missing, err := lacking(ctx, rights, func(ctx context.Context, a *authorizationv1.ResourceAttributes) (bool, error) {
		review := &authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{ResourceAttributes: a}}
		answer, err := c.backend.Client().AuthorizationV1().SelfSubjectAccessReviews().Create(ctx, review, metav1.CreateOptions{})
		if err != nil {
			return false, err
		}
		return answer.Status.Allowed, nil
	})
	if err != nil {
		err = c.backend.Explain(err)
		return found(Unknown, name, "", hintOf(err), "could not be asked for: %v", err)
	}
	if len(missing) > 0 {
		return found(l, name, "", "the ClusterRole "+role+" gives what is missing",
			"in %s you lack rights on %s: not all of %s will work", scope(c.namespace), strings.Join(missing, ", "), verbs)
	}
	return ok(name, "", "all that %s need in %s", verbs, scope(c.namespace))
}

// controllerRights asks what a controller in a namespace may, where it needs
// it: in all that are meant when it serves all, else in its own.
func (c *clusterExam) controllerRights(ctx context.Context, home string) Check {
	const name = "controller-rights"
	serves := home
	if home == install.Namespace {
		serves = c.namespace
	}
	account := "system:serviceaccount:" + home + ":" + install.Name
	rights := append(rightsOf(install.ControllerRules(), serves), rightsOf(install.LeaderRules(), home)...)
	missing, err := lacking(ctx, rights, func(ctx context.Context, a *authorizationv1.ResourceAttributes) (bool, error) {
		review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
			ResourceAttributes: a, User: account,
			Groups: []string{"system:serviceaccounts", "system:serviceaccounts:" + home, "system:authenticated"},
		}}
		answer, err := c.backend.Client().AuthorizationV1().SubjectAccessReviews().Create(ctx, review, metav1.CreateOptions{})
		if err != nil {
			return false, err
		}
		return answer.Status.Allowed, nil
	})
	if err != nil {
		return found(Unknown, name, home, "", "could not be asked for: %v", c.backend.Explain(err))
	}
	if len(missing) > 0 {
		return found(Problem, name, home, "kubectl apply -f the install.yaml of this version; its ServiceAccount is "+install.Name,
			"in %s the ServiceAccount %s lacks rights on %s", scope(serves), install.Name, strings.Join(missing, ", "))
	}
	return ok(name, home, "the ServiceAccount %s may all that it needs in %s", install.Name, scope(serves))
}

// lacking asks for all rights at once and names those that are not given.
func lacking(ctx context.Context, rights []authorizationv1.ResourceAttributes, allowed func(context.Context, *authorizationv1.ResourceAttributes) (bool, error)) ([]string, error) {
	given := make([]bool, len(rights))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(8)
	for i := range rights {
		g.Go(func() (err error) {
			given[i], err = allowed(ctx, &rights[i])
			if err != nil {
				err = fmt.Errorf("ask for the right to %s %s: %w", rights[i].Verb, resourceText(&rights[i]), err)
			}
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	return missingText(rights, given), nil
}

// missingText names what is not given, a resource each: "jobs (delete, patch)".
func missingText(rights []authorizationv1.ResourceAttributes, given []bool) []string {
	var resources []string
	verbs := map[string][]string{}
	for i := range rights {
		if given[i] {
			continue
		}
		resource := resourceText(&rights[i])
		if verbs[resource] == nil {
			resources = append(resources, resource)
		}
		if !slices.Contains(verbs[resource], rights[i].Verb) {
			verbs[resource] = append(verbs[resource], rights[i].Verb)
		}
	}
	for i, resource := range resources {
		resources[i] = fmt.Sprintf("%s (%s)", resource, strings.Join(verbs[resource], ", "))
	}
	return resources
}
