package manifest

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/queuemill/queuemill/api/v1alpha1"
)

var update = flag.Bool("update", false, "write the golden files anew")

// TestBadManifests compares what is said of each file of testdata/bad with the
// file of the same name and .txt.
func TestBadManifests(t *testing.T) {
	files, err := filepath.Glob("testdata/bad/*[ln]")
	if err != nil || len(files) == 0 {
		t.Fatalf("no files: %v", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			objects, _, err := Load(file)
			if err == nil {
				t.Fatalf("accepted as %+v", objects)
			}
			if len(objects) > 0 {
				t.Errorf("objects beside an error: %+v", objects)
			}
			golden(t, file+".txt", err.Error()+"\n")
		})
	}
}

func golden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Error(diff)
	}
}

// TestGoodManifests freezes what good files are read as, defaults included.
func TestGoodManifests(t *testing.T) {
	objects, warnings, err := Load("testdata/good")
	if err != nil || len(warnings) > 0 {
		t.Fatalf("%v, warnings %v", err, warnings)
	}
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	for _, o := range objects {
		text, err := json.MarshalIndent(o.of(), "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&out, "%s:%d\n%s\n", o.File, o.Line, strings.ReplaceAll(string(text), here, "HERE"))
	}
	golden(t, "testdata/good.txt", out.String())
}

const least = "apiVersion: queuemill.dev/v1alpha1\nkind: QueueJob\nmetadata: {name: least}\nspec: {queue: {sqs: {name: least}}, process: {command: [cat]}}\n"

func TestSeveralFiles(t *testing.T) {
	dir := t.TempDir()
	write := func(name, content string) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	a := write("a.yaml", least)
	b := write("b.yml", "\ufeff# with a byte order mark\r\n---\r\n"+strings.ReplaceAll(least, "\n", "\r\n"))
	bad := write("c.yaml", strings.ReplaceAll(least, "queue:", "queues:"))
	write("ignored.txt", "\x00")

	objects, _, err := Load(a)
	if err != nil || len(objects) != 1 || objects[0].QueueJob.Name != "least" || objects[0].Line != 1 {
		t.Fatalf("%+v, %v", objects, err)
	}
	_, _, err = Load(dir, filepath.Join(dir, "none.yaml"), t.TempDir())
	if err == nil {
		t.Fatal("accepted")
	}
	for _, want := range []string{
		b + ":5: metadata.name: there is a QueueJob least already, at " + a + ":1",
		bad + ":4: spec.queues: unknown field\n    did you mean queue?",
		"none.yaml: no such file or directory",
		"is a folder without .yaml, .yml or .json files",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in:\n%v", want, err)
		}
	}
	var first *Error
	if !errors.As(err, &first) || first.File != b || first.Line != 5 || first.Field != "metadata.name" {
		t.Errorf("first error: %+v", first)
	}
}

// Who comes from another autoscaler, or from the other kind, is told our word.
func TestWordsOfOtherAutoscalers(t *testing.T) {
	const pool = "apiVersion: queuemill.dev/v1alpha1\nkind: WorkerPool\nmetadata: {name: p}\nspec:\n  queue: {sqs: {name: q}}\n  process: {command: [x]}\n"
	for text, want := range map[string]string{
		"  scaling: {backlogPerWorker: 1}\n  maxReplicas: 3\n":        "spec.maxReplicas: unknown field\n    did you mean maxWorkers?",
		"  scaling: {backlogPerWorker: 1}\n  minReplicaCount: 3\n":    "spec.minReplicaCount: unknown field\n    did you mean minWorkers?",
		"  scaling: {backlogPerWorker: 1}\n  maxActive: 3\n":          "spec.maxActive: unknown field\n    did you mean maxWorkers?",
		"  scaling: {backlogPerWorker: 1, cooldownPeriod: 5m}\n":      "spec.scaling.cooldownPeriod: unknown field\n    did you mean scaleInCooldown?",
		"  scaling: {steps: [{upperBound: 5, adjustment: 3}]}\n":      "spec.scaling.steps: is a list; expected fields of its own, the list in steps: {steps: […]}",
		"  scaling: {backlogPerWorker: 1}\n  worker: [concurrency]\n": "spec.worker: is a list; expected fields of its own\n",
	} {
		if _, _, err := Parse("x", []byte(pool+text)); err == nil || !strings.Contains(err.Error()+"\n", want) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestTheSameNameInTwoNamespacesIsNoClash(t *testing.T) {
	objects, _, err := Parse("x", []byte(least+"---\n"+strings.ReplaceAll(least, "{name: least}\nspec", "{name: least, namespace: b}\nspec")))
	if err != nil || len(objects) != 2 {
		t.Errorf("%+v, %v", objects, err)
	}
}

func TestWarningsHaveAPlace(t *testing.T) {
	text := strings.ReplaceAll(least, "[cat]}", "[sh, -c,\n  'rm $(FILE)']}, message: {env: [{name: FILE, fieldPath: file}]}")
	_, warnings, err := Parse("x.yaml", []byte(text+"---\n"+strings.ReplaceAll(least, "metadata: {name: least", "metadata: {name: other")))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, w := range warnings {
		got = append(got, w.String())
	}
	want := []string{
		`x.yaml:5: spec.process.command[2]: $(FILE) stands in a shell's script: the shell would run what the message says; write "$FILE" in double quotes there`,
		`x.yaml:10: spec.queue.sqs: QueueJob least reads the same queue: each message goes to one of the two, whichever is first`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestAliasesAndMerges(t *testing.T) {
	text := `apiVersion: queuemill.dev/v1alpha1
kind: QueueJob
metadata: {name: a}
spec:
  queue: {sqs: {name: a}}
  process:
    <<: &common {timeout: 1m, retries: 2}
    command: &cmd [cat]
    args: *cmd
    retries: 3
  breaker: {<<: [{pause: 3m}, {pause: 4m, within: 9m}]}
`
	objects, _, err := Parse("x", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	s := objects[0].QueueJob.Spec
	if s.Process.Retries != 3 || s.Process.Timeout.Minutes() != 1 || s.Process.Args[0] != "cat" || s.Breaker.Pause.Minutes() != 3 || s.Breaker.Within.Minutes() != 9 {
		t.Errorf("%+v %+v", s.Process, s.Breaker)
	}
	_, _, err = Parse("x", []byte(strings.ReplaceAll(text, "timeout: 1m", "timeot: 1m")))
	if err == nil || !strings.Contains(err.Error(), "x:7: spec.process.timeot: unknown field\n    did you mean timeout?") {
		t.Error(err)
	}
}

func TestEscapesOfJSON(t *testing.T) {
	text := `{"apiVersion": "queuemill.dev/v1alpha1", "kind": "QueueJob", "metadata": {"name": "a"},
		"spec": {"queue": {"sqs": {"name": "a"}}, "process": {"command": ["echo", "\ud83d\uDE00 \u00e9 \/ \\ud83d\ude00"]}}}`
	objects, _, err := Parse("x.json", []byte(strings.ReplaceAll(text, `\\ud83d\ude00`, `\\ud83d`)))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := objects[0].QueueJob.Spec.Process.Command[1], `😀 é / \ud83d`; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestCommentsKeepTheTemplateHash(t *testing.T) {
	hash := func(text string) string {
		t.Helper()
		objects, _, err := Parse("x", []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		return v1alpha1.TemplateHash(&objects[0].QueueJob.Spec)
	}
	before := hash(least)
	for what, text := range map[string]string{
		"a comment":              "# new\n" + strings.ReplaceAll(least, "\n", " # here\n"),
		"a default written out":  strings.ReplaceAll(least, "[cat]}", "[cat], retryBackoff: 10s, logLimit: 10240Ki}"),
		"another spelling":       strings.ReplaceAll(least, "[cat]}", "\n    ['cat']}"),
		"a field of other parts": strings.ReplaceAll(least, "spec: {", "spec: {maxActive: 3, "),
	} {
		if hash(text) != before {
			t.Errorf("%s changes the hash", what)
		}
	}
	if hash(strings.ReplaceAll(least, "[cat]", "[cat, -n]")) == before {
		t.Error("another command has the same hash")
	}
}

// Whatever a file holds, there are objects or errors with a place, never both
// and never neither.
func FuzzParse(f *testing.F) {
	for _, pattern := range []string{"testdata/bad/*", "testdata/good/*"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			f.Fatal(err)
		}
		for _, file := range files {
			data, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(data)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		objects, _, err := Parse("x", data)
		if (len(objects) == 0) == (err == nil) {
			t.Fatalf("%d objects and error %v", len(objects), err)
		}
		lines := 1 + strings.Count(string(data), "\n")
		if joined, ok := err.(interface{ Unwrap() []error }); ok {
			for _, one := range joined.Unwrap() {
				var e *Error
				if !errors.As(one, &e) || e.Line > lines || e.Line < 0 || e.Msg == "" {
					t.Errorf("%v of %d lines", one, lines)
				}
			}
		}
		for _, o := range objects {
			if o.Line < 1 || o.Line > lines || len(o.of().Validate()) > 0 {
				t.Errorf("line %d of %d: %v", o.Line, lines, o.of().Validate())
			}
			o.of().Warnings()
		}
	})
}
