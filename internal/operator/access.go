package operator

import (
	"errors"
	"fmt"
	"net/url"
	"path"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"

	"github.com/queuemill/queuemill/api/v1alpha1"
	"github.com/queuemill/queuemill/internal/queue/sqs"
)

// Access is which queues the QueueJobs of which namespaces may read, and as
// which roles. What no line allows is refused. A nil Access allows everything:
// a controller of one namespace has that namespace's own rights at the queue.
type Access struct {
	Allow []AccessLine `json:"allow"`
}

// AccessLine allows QueueJobs of Namespaces to read Queues, and to do so as
// RoleARNs. In all of them * stands for any characters but '/'.
type AccessLine struct {
	Namespaces []string `json:"namespaces"`

	// Queues are URLs, or names where a QueueJob gives a name: NAME, and
	// NAME@REGION where it gives a region too. A host that is not Amazon's is
	// allowed only by its own name, never by a pattern.
	Queues []string `json:"queues"`

	// RoleARNs may be assumed; reading with the controller's own identity needs none.
	RoleARNs []string `json:"roleARNs,omitempty"`
}

// ParseAccess reads the controller's configuration file. Errors name the line
// of the list and its field.
func ParseAccess(text []byte) (*Access, error) {
	a := &Access{}
	if err := yaml.UnmarshalStrict(text, a); err != nil {
		return nil, fmt.Errorf("read the allow-list: %w", err)
	}
	var errs []error
	for i, line := range a.Allow {
		for _, f := range []struct {
			name     string
			patterns []string
			needed   bool
		}{
			{"namespaces", line.Namespaces, true}, {"queues", line.Queues, true}, {"roleARNs", line.RoleARNs, false},
		} {
			if f.needed && len(f.patterns) == 0 {
				errs = append(errs, fmt.Errorf("read the allow-list: allow[%d].%s is missing: the line allows nothing", i, f.name))
			}
			for j, p := range f.patterns {
				if _, err := path.Match(p, ""); err != nil || p == "" {
					errs = append(errs, fmt.Errorf("read the allow-list: allow[%d].%s[%d]: %q is no pattern: write a name, with * for any characters but /", i, f.name, j, p))
				}
			}
		}
	}
	return a, errors.Join(errs...)
}

// Check says why QueueJobs of namespace may not read source, nil when they may:
// with the very line that would allow it.
func (a *Access) Check(namespace string, source *v1alpha1.SQSSource) error {
	if source.URL != "" && source.Region != "" {
		if u, err := url.Parse(source.URL); err == nil {
			// Amazon looks a queue up by account and name at the region's endpoint:
			// another region would be another queue than the URL says.
			if own, ok := sqs.AWSHost(u); ok && own != source.Region {
				return fmt.Errorf("spec.queue.sqs.region is %s and its url is of %s: leave region out", source.Region, own)
			}
		}
	}
	if a == nil {
		return nil
	}
	queueAllowed := false
	for _, line := range a.Allow {
		if !matchesAny(line.Namespaces, namespace) || !line.allowsQueue(source) {
			continue
		}
		queueAllowed = true
		if source.RoleARN == "" || matchesAny(line.RoleARNs, source.RoleARN) {
			return nil
		}
	}
	line := fmt.Sprintf("- {namespaces: [%s], queues: [%q]}", namespace, subject(source))
	what := "read " + subject(source)
	if source.RoleARN != "" {
		line = strings.TrimSuffix(line, "}") + fmt.Sprintf(", roleARNs: [%q]}", source.RoleARN)
		if queueAllowed {
			what = "assume " + source.RoleARN
		}
	}
	return fmt.Errorf("namespace %s may not %s; whoever runs the controller allows it with this line under allow in its configuration: %s", namespace, what, line)
}

// subject is how a list names a source.
func subject(s *v1alpha1.SQSSource) string {
	switch {
	case s.URL != "":
		return s.URL
	case s.Region != "":
		return s.Name + "@" + s.Region
	}
	return s.Name
}

func (l *AccessLine) allowsQueue(s *v1alpha1.SQSSource) bool {
	if s.URL == "" {
		return slices.ContainsFunc(l.Queues, func(p string) bool {
			return !strings.Contains(p, "://") && matches(p, subject(s))
		})
	}
	u, err := url.Parse(s.URL)
	if err != nil {
		return false
	}
	u.Scheme, u.Host = strings.ToLower(u.Scheme), strings.ToLower(u.Host)
	_, amazon := sqs.AWSHost(u)
	return slices.ContainsFunc(l.Queues, func(p string) bool {
		scheme, rest, isURL := strings.Cut(p, "://")
		host, _, _ := strings.Cut(rest, "/")
		return isURL && matches(p, u.String()) && (amazon || scheme == u.Scheme && host == u.Host)
	})
}

func matchesAny(patterns []string, s string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return matches(p, s) })
}

func matches(pattern, s string) bool {
	ok, err := path.Match(pattern, s)
	return err == nil && ok
}
