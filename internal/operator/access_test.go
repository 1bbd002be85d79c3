package operator

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/queuemill/queuemill/api/v1alpha1"
)

const role = "arn:aws:iam::123456789012:role/team-a"

const lines = `
allow:
- namespaces: [team-a, "team-b-*"]
  queues: ["https://sqs.eu-west-1.amazonaws.com/123456789012/team-*", "jobs", "jobs@eu-west-1"]
- namespaces: [team-a]
  queues: ["https://sqs.eu-west-1.amazonaws.com/999999999999/*"]
  roleARNs: [` + role + `]
- namespaces: [local]
  queues: ["http://127.0.0.1:9324/000000000000/*", "https://*/*/*", "*"]
`

func TestQueuesAreAllowedByTheirLineAlone(t *testing.T) {
	a, err := ParseAccess([]byte(lines))
	if err != nil {
		t.Fatal(err)
	}
	const host = "https://sqs.eu-west-1.amazonaws.com/"
	type source = v1alpha1.SQSSource
	for name, row := range map[string]struct {
		namespace string
		source    source
		allowed   bool
	}{
		"by pattern":                        {"team-a", source{URL: host + "123456789012/team-a-in"}, true},
		"by a pattern of namespaces":        {"team-b-1", source{URL: host + "123456789012/team-a-in"}, true},
		"another namespace":                 {"team-c", source{URL: host + "123456789012/team-a-in"}, false},
		"a longer namespace":                {"team-ab", source{URL: host + "123456789012/team-a-in"}, false},
		"another queue":                     {"team-a", source{URL: host + "123456789012/other"}, false},
		"another account":                   {"team-a", source{URL: host + "123456789013/team-a-in"}, false},
		"a star ends at a slash":            {"team-a", source{URL: host + "123456789012/team-a/../secret"}, false},
		"another region's host":             {"team-a", source{URL: "https://sqs.us-east-1.amazonaws.com/123456789012/team-a-in"}, false},
		"another region by its field":       {"team-a", source{URL: host + "123456789012/team-a-in", Region: "us-east-1"}, false},
		"its own region by its field":       {"team-a", source{URL: host + "123456789012/team-a-in", Region: "eu-west-1"}, true},
		"the host in other letters":         {"team-a", source{URL: "HTTPS://SQS.eu-west-1.AMAZONAWS.com/123456789012/team-a-in"}, true},
		"unencrypted":                       {"team-a", source{URL: "http://sqs.eu-west-1.amazonaws.com/123456789012/team-a-in"}, false},
		"a role where none is allowed":      {"team-b-1", source{URL: host + "123456789012/team-a-in", RoleARN: role}, false},
		"a role of another line":            {"team-a", source{URL: host + "123456789012/team-a-in", RoleARN: role}, false},
		"a role of its line":                {"team-a", source{URL: host + "999999999999/x", RoleARN: role}, true},
		"another role":                      {"team-a", source{URL: host + "999999999999/x", RoleARN: role + "-admin"}, false},
		"no role where one may be":          {"team-a", source{URL: host + "999999999999/x"}, true},
		"a name":                            {"team-a", source{Name: "jobs"}, true},
		"another name":                      {"team-a", source{Name: "jobs2"}, false},
		"a name in a region":                {"team-a", source{Name: "jobs", Region: "eu-west-1"}, true},
		"a name in another region":          {"team-a", source{Name: "jobs", Region: "us-east-1"}, false},
		"a URL's pattern allows no name":    {"team-b-1", source{Name: "team-a-in"}, false},
		"a foreign host by its name":        {"local", source{URL: "http://127.0.0.1:9324/000000000000/x"}, true},
		"a foreign host by its port":        {"local", source{URL: "http://127.0.0.1:9325/000000000000/x"}, false},
		"a foreign host is in no pattern":   {"local", source{URL: "https://example.com/1/x"}, false},
		"a host that looks like Amazon's":   {"local", source{URL: "https://sqs.eu-west-1.amazonaws.com.example.com/1/x"}, false},
		"a pattern holds for Amazon's host": {"local", source{URL: host + "1/x"}, true},
	} {
		t.Run(name, func(t *testing.T) {
			err := a.Check(row.namespace, &row.source)
			if (err == nil) != row.allowed {
				t.Fatalf("allowed is %v, want %v: %v", err == nil, row.allowed, err)
			}
			if err == nil || strings.Contains(err.Error(), "leave region out") {
				return
			}
			_, line, _ := strings.Cut(err.Error(), "configuration: ")
			mended, parseErr := ParseAccess([]byte("allow:\n" + line))
			if parseErr != nil {
				t.Fatalf("the line to add can't be read: %s: %v", line, parseErr)
			}
			if err := mended.Check(row.namespace, &row.source); err != nil {
				t.Errorf("the line to add does not allow it: %v", err)
			}
		})
	}
	var none *Access
	if err := none.Check("any", &source{URL: "http://example.com/1/x", RoleARN: role}); err != nil {
		t.Errorf("without a list: %v", err)
	}
}

func TestWrongAllowListNamesLineAndField(t *testing.T) {
	for text, want := range map[string]string{
		"allow: [{queues: [a]}]":                     "allow[0].namespaces is missing",
		"allow: [{namespaces: [a], queues: []}]":     "allow[0].queues is missing",
		"allow: [{namespaces: ['[a'], queues: [b]}]": `allow[0].namespaces[0]: "[a" is no pattern`,
		"allow: [{namespace: [a], queues: [b]}]":     `unknown field "namespace"`,
		"allow: [{namespaces: [a], queues: ['']}]":   "allow[0].queues[0]",
		"deny: []": `unknown field "deny"`,
		"allow: [{namespaces: [a], queues: 'https://'}": "read the allow-list",
	} {
		if _, err := ParseAccess([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}

// A mounted ConfigMap is a link to a link to a folder, and changes by a swap of
// the one in the middle.
func TestMountedAllowListIsFollowed(t *testing.T) {
	dir := t.TempDir()
	swap := func(version, text string) {
		t.Helper()
		if err := os.Mkdir(filepath.Join(dir, version), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, version, "config.yaml"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		next := filepath.Join(dir, "next")
		if err := os.Symlink(version, next); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(next, filepath.Join(dir, "..data")); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(dir, "config.yaml")
	if err := os.Symlink(filepath.Join("..data", "config.yaml"), path); err != nil {
		t.Fatal(err)
	}
	f, err := OpenAccess(path, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Access().Check("a", &v1alpha1.SQSSource{Name: "q"}); err == nil {
		t.Error("a list that is not there yet allows something")
	}
	changed := make(chan struct{}, 10)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); f.follow(ctx, func() { changed <- struct{}{} }) }()
	defer func() { stop(); <-ended }()

	const good = "allow: [{namespaces: [a], queues: [q]}]"
	// The watch may begin after the first swap: until it is seen another one follows.
	next := time.NewTicker(accessSettle * 3)
	defer next.Stop()
	swap("1", good)
	for n := byte('a'); ; n++ {
		select {
		case <-changed:
		case <-next.C:
			swap("again-"+string(n), good)
			continue
		}
		break
	}
	if err := f.Access().Check("a", &v1alpha1.SQSSource{Name: "q"}); err != nil {
		t.Error(err)
	}
	swap("broken", "allow: [{namespaces: [a]}]")
	swap("2", "allow: []")
	<-changed
	if err := f.Access().Check("a", &v1alpha1.SQSSource{Name: "q"}); err == nil {
		t.Error("a line that was taken away still allows")
	}
	swap("3", "allow: [{}]")
	if f.reload(); f.Access() == nil || len(f.Access().Allow) != 0 {
		t.Error("a list that can't be read took the place of the last good one")
	}
}
