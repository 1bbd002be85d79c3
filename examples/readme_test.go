// Package examples holds the test that runs the examples' READMEs.
package examples

import (
	"bytes"
	"fmt"
	"image/jpeg"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/queuemill/queuemill/internal/httpapi"
	"github.com/queuemill/queuemill/internal/record"
	"github.com/queuemill/queuemill/test/mill"
)

// binary is what the examples run.
var binary string

func TestMain(m *testing.M) {
	os.Exit(withBinary(m))
}

func withBinary(m *testing.M) int {
	bin, err := os.MkdirTemp("", "queuemill-examples-")
	if err == nil {
		defer os.RemoveAll(bin)
		binary, err = mill.Build(bin, "./cmd/queuemill", false)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// readme is one example, copied to where it may write.
type readme struct {
	t      *testing.T
	folder string
	env    []string
	up     *mill.Up
	output string // of all commands so far
}

// newReadme copies the example beside a copy of the module's go.mod, so that
// its own go commands work there too.
func newReadme(t *testing.T, name string) *readme {
	t.Helper()
	root := t.TempDir()
	for _, file := range []string{"go.mod", "go.sum"} {
		data, err := os.ReadFile(filepath.Join(mill.Root(), file))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(root, file), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	folder := filepath.Join(root, "examples", name)
	if err := os.CopyFS(folder, os.DirFS(name)); err != nil {
		t.Fatal(err)
	}
	for _, leftover := range ignored(t, name) {
		if err := os.RemoveAll(filepath.Join(folder, leftover)); err != nil {
			t.Fatal(err)
		}
	}
	r := &readme{t: t, folder: folder}
	r.env = append(os.Environ(), "PATH="+filepath.Dir(binary)+string(os.PathListSeparator)+os.Getenv("PATH"), "GOFLAGS=-buildvcs=false")
	return r
}

// ignored are the files that an earlier tour by hand has left in the folder.
func ignored(t *testing.T, name string) (paths []string) {
	t.Helper()
	list, err := os.ReadFile(filepath.Join(name, ".gitignore"))
	if err != nil {
		t.Fatal(err)
	}
	for _, pattern := range strings.Fields(string(list)) {
		matches, err := filepath.Glob(filepath.Join(name, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, match := range matches {
			paths = append(paths, filepath.Base(match))
		}
	}
	return paths
}

// tour runs every sh block of the README in order: a line that begins with
// "queuemill up" on addresses of its own and in the background, the rest in a
// shell that stops at the first error. A block may end with exit code 3: some
// job failed. What builds and finds the binary is left out: the test has one.
func (r *readme) tour(path string) {
	r.t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		r.t.Fatal(err)
	}
	for _, part := range strings.Split(string(text), "```sh\n")[1:] {
		block, _, _ := strings.Cut(part, "```")
		lines := strings.Split(strings.TrimSpace(block), "\n")
		lines = slices.DeleteFunc(lines, func(line string) bool {
			return line == "make build" || strings.HasPrefix(line, "export PATH=")
		})
		if last := lines[len(lines)-1]; strings.HasPrefix(last, "queuemill up ") {
			r.shell(strings.Join(lines[:len(lines)-1], "\n"))
			r.start(strings.Fields(last)[2:])
			continue
		}
		r.shell(strings.ReplaceAll(strings.Join(lines, "\n"), "http://127.0.0.1:9324", r.up.SQSURL))
	}
}

func (r *readme) start(args []string) {
	r.up = mill.Start(r.t, mill.Options{
		Binary: binary, Dir: r.folder, Args: args,
		Data: filepath.Join(r.folder, ".queuemill"), Listen: mill.FreeAddress(r.t), SQSListen: mill.FreeAddress(r.t),
	})
	r.up.WaitReady(r.t)
	r.env = append(r.env, "QUEUEMILL_SERVER="+r.up.URL)
}

func (r *readme) shell(script string) {
	r.t.Helper()
	shell := exec.Command("bash", "-euo", "pipefail", "-c", script)
	shell.Dir, shell.Env = r.folder, r.env
	output, err := shell.CombinedOutput()
	r.output += string(output)
	if code := shell.ProcessState.ExitCode(); code != 0 && code != 3 {
		r.t.Fatalf("exit code %d (%v) of\n%s\n%s\n%s", code, err, script, output, r.up.Log())
	}
	r.t.Logf("%s\n%s", script, output)
}

// want checks how many jobs ended in each state and what the commands said.
func (r *readme) want(states map[record.State]int, said ...string) {
	r.t.Helper()
	var list httpapi.JobList
	if err := r.up.Get("/v1/jobs", &list); err != nil {
		r.t.Fatal(err)
	}
	got := map[record.State]int{}
	for _, j := range list.Jobs {
		got[j.State]++
	}
	for _, state := range record.States {
		if got[state] != states[state] {
			r.t.Errorf("%d jobs are %s, want %d", got[state], state, states[state])
		}
	}
	for _, text := range said {
		if !strings.Contains(r.output, text) {
			r.t.Errorf("no command said %q", text)
		}
	}
}

// wantMetrics checks that the document has a row for each metric there is, and
// for none that there is not: of pools, or of all else.
func (r *readme) wantMetrics(path string, ofPools bool) {
	r.t.Helper()
	document, err := os.ReadFile(path)
	if err != nil {
		r.t.Fatal(err)
	}
	resp, err := http.Get(r.up.URL + "/metrics")
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	metrics, err := io.ReadAll(resp.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	others := func(name string) bool { return strings.HasPrefix(name, "queuemill_pool_") != ofPools }
	rows := slices.DeleteFunc(find(`(?m)^\| .(queuemill_\w+)`, document), others)
	there := slices.DeleteFunc(find(`(?m)^# HELP (queuemill_\w+)`, metrics), others)
	if !slices.Equal(rows, there) || len(rows) == 0 {
		r.t.Errorf("%s has rows for\n%q\nthe metrics are\n%q", path, rows, there)
	}
}

// find is what the first group of every match holds, sorted.
func find(pattern string, text []byte) (found []string) {
	for _, match := range regexp.MustCompile(pattern).FindAllSubmatch(text, -1) {
		found = append(found, string(match[1]))
	}
	slices.Sort(found)
	return found
}

func TestPing(t *testing.T) {
	t.Parallel()
	r := newReadme(t, "ping")
	r.tour(filepath.Join(r.folder, "README.md"))
	r.want(map[record.State]int{record.Succeeded: 9, record.Failed: 2, record.Invalid: 1},
		"db-2 is unknown", "printer is unknown", "web..example.com", "SchemaMismatch")
}

// TestTour runs the five minutes of the README in the root.
func TestTour(t *testing.T) {
	t.Parallel()
	r := newReadme(t, "ping")
	r.folder = filepath.Join(r.folder, "../..")
	r.tour("../README.md")
	r.want(map[record.State]int{record.Succeeded: 10, record.Failed: 2, record.Invalid: 1}, "MessageId", "exit code 2")
	r.wantMetrics("../docs/OPERATIONS.md", false)
}

// TestDemo runs what `make demo` runs, and then the commands it prints.
func TestDemo(t *testing.T) {
	t.Parallel()
	r := newReadme(t, "ping")
	r.folder = filepath.Join(r.folder, "../..")
	if err := os.CopyFS(filepath.Join(r.folder, "tools"), os.DirFS("../tools")); err != nil {
		t.Fatal(err)
	}
	r.env = append(r.env, "QUEUEMILL="+binary)
	defer r.shell("tools/demo stop")
	r.shell("tools/demo start")
	if !strings.Contains(r.output, "8 succeeded, 3 failed, 1 invalid") {
		t.Error("the demo does not end with 8 succeeded, 3 failed and 1 invalid")
	}
	printed := map[string]string{}
	for line := range strings.Lines(r.output) {
		for _, what := range []string{"list them", "look at one", "retry them"} {
			if command, ok := strings.CutPrefix(strings.TrimSpace(line), what); ok {
				printed[what] = strings.TrimSpace(command)
			}
		}
	}
	r.output = ""
	r.shell(printed["list them"])
	if n := strings.Count(r.output, "Failed"); n != 3 {
		t.Errorf("%q lists %d failed jobs, want 3", printed["list them"], n)
	}
	r.shell(printed["look at one"])
	r.output = ""
	r.shell(printed["retry them"])
	if n := strings.Count(r.output, "ping-"); n != 3 {
		t.Errorf("%q retries %d jobs, want 3", printed["retry them"], n)
	}
}

func TestThumbnails(t *testing.T) {
	t.Parallel()
	r := newReadme(t, "thumbnails")
	r.tour(filepath.Join(r.folder, "README.md"))
	goroot, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatal(err)
	}
	pictures, err := filepath.Glob(filepath.Join(strings.TrimSpace(string(goroot)), "src/image/testdata/*"))
	if err != nil || len(pictures) == 0 {
		t.Fatalf("no pictures in %s: %v", goroot, err)
	}
	r.want(map[record.State]int{record.Succeeded: len(pictures), record.Failed: 1}, "1920.jpg", "unknown format")
	for _, picture := range pictures {
		for _, size := range []int{150, 800, 1920} {
			path := filepath.Join(r.folder, "out", filepath.Base(picture), fmt.Sprintf("%d.jpg", size))
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			config, err := jpeg.DecodeConfig(bytes.NewReader(data))
			if err != nil || max(config.Width, config.Height) != size {
				t.Errorf("%s is %dx%d (%v), want %d on the longer side", path, config.Width, config.Height, err, size)
			}
		}
	}
}

func TestCSV(t *testing.T) {
	t.Parallel()
	r := newReadme(t, "csv")
	r.tour(filepath.Join(r.folder, "README.md"))
	r.want(map[record.State]int{record.Succeeded: 2, record.Failed: 1},
		`line 3, ID 7: value "twelve" is not a number`, "input-3.csv: no such file")
	data, err := os.ReadFile(filepath.Join(r.folder, "output.csv"))
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Fields(string(data))
	want := []string{"ID,Value,ProcessedValue", "1,10,20", "2,20.5,41", "3,-7,-14", "4,0.25,0.5", "5,1000,2000"}
	if !slices.Equal(lines, want) {
		t.Errorf("output.csv holds %q, want %q", lines, want)
	}
}
