package app

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/go-cmp/cmp"

	"github.com/queuemill/queuemill/api/v1alpha1"
	"github.com/queuemill/queuemill/internal/store"
)

func TestSuspensionHoldsUntilTheManifestSaysSomethingElse(t *testing.T) {
	db, err := store.Open("/data", store.Options{FS: vfs.NewMem()})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	s := newSuspensions(db)
	type answer struct{ Suspended, ByPerson bool }
	for i, step := range []struct {
		say      *suspension // nil: nothing
		manifest bool
		want     answer
	}{
		{nil, false, answer{false, false}},
		{nil, true, answer{true, false}},
		{&suspension{Suspended: true, Manifest: false}, false, answer{true, true}},
		{nil, true, answer{true, false}},                                              // the manifest was edited
		{nil, false, answer{false, false}},                                            // … and edited back: that is the last word
		{&suspension{Suspended: false, Manifest: false}, false, answer{false, false}}, // resumed: as the manifest says
		{&suspension{Suspended: false, Manifest: true}, true, answer{false, true}},
		{nil, false, answer{false, false}},
	} {
		if step.say != nil {
			if err := s.set("ping", *step.say); err != nil {
				t.Fatal(err)
			}
		}
		_, byPerson, err := s.effective("ping", step.manifest)
		if err != nil {
			t.Fatal(err)
		}
		suspended, err := s.follow("ping", step.manifest)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(step.want, answer{suspended, byPerson}); diff != "" {
			t.Errorf("step %d: %s", i, diff)
		}
		if suspended, _, err := s.effective("pong", false); suspended || err != nil {
			t.Errorf("step %d: another QueueJob is suspended: %v, %v", i, suspended, err)
		}
	}
}

func TestEditsOfOtherFilesDoNotMatter(t *testing.T) {
	dir := t.TempDir()
	sub := filepath.Join(dir, "manifests")
	if err := os.Mkdir(sub, 0o755); err != nil {
		t.Fatal(err)
	}
	w := watchPaths([]string{filepath.Join(dir, "a.yaml"), sub, filepath.Join(sub, "x.txt"), "-"})
	for name, want := range map[string]bool{
		filepath.Join(dir, "a.yaml"):  true,
		filepath.Join(dir, "b.yaml"):  false,
		filepath.Join(sub, "b.yaml"):  true,
		filepath.Join(sub, "b.json"):  true,
		filepath.Join(sub, "b.yaml~"): false,
		filepath.Join(sub, ".b.swp"):  false,
		"/elsewhere/a.yaml":           false,
	} {
		if w.concerns(name) != want {
			t.Errorf("%s concerns: %v, want %v", name, !want, want)
		}
	}
}

func TestListenSaysWhichFlagMendsIt(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for name, c := range map[string]struct {
		address string
		guarded bool
		want    string
		hint    string
	}{
		"taken":               {taken.Addr().String(), false, "is in use by another program", "--listen"},
		"no address":          {"8080", false, "--listen 8080 is no address", "HOST:PORT"},
		"everybody":           {":0", false, "needs a token", "--token-file"},
		"a name of somewhere": {"example.com:0", false, "needs a token", "--token-file"},
		"no such port":        {"127.0.0.1:99999", false, "invalid port", "--listen"},
	} {
		_, err := listen(c.address, "--listen", c.guarded, "a token", "give --token-file")
		var h *hint
		if !errors.As(err, &h) || !strings.Contains(err.Error(), c.want) || !strings.Contains(h.Hint(), c.hint) {
			t.Errorf("%s: %v, want %q and a hint with %q", name, err, c.want, c.hint)
		}
	}
	l, err := listen("0.0.0.0:0", "--listen", true, "a token", "")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if !strings.HasPrefix(urlOf(l), "http://127.0.0.1:") {
		t.Errorf("URL %s works nowhere", urlOf(l))
	}
}

func TestExampleHasTheFieldsTheQueueJobWants(t *testing.T) {
	ten := "10"
	for name, c := range map[string]struct {
		spec v1alpha1.MessageSpec
		want string
	}{
		"text": {v1alpha1.MessageSpec{Format: []v1alpha1.MessageFormat{v1alpha1.FormatText}}, "hello"},
		"fields": {v1alpha1.MessageSpec{Format: []v1alpha1.MessageFormat{v1alpha1.FormatJSON}, Env: []v1alpha1.FieldEnv{
			{Name: "TARGET", FieldPath: "target"}, {Name: "DEEP", FieldPath: "a.b"}, {Name: "DURATION", FieldPath: "duration", Default: &ten},
		}}, `{"target": "…", "duration": "10"}`},
		"no fields": {v1alpha1.MessageSpec{Format: []v1alpha1.MessageFormat{v1alpha1.FormatJSON}}, "{}"},
	} {
		if got := exampleBody(&c.spec); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}
