package cli

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const poolManifest = `apiVersion: queuemill.dev/v1alpha1
kind: WorkerPool
metadata: {name: pool}
spec:
  queue: {sqs: {name: work}}
  maxWorkers: 10
  scaling: {backlogPerWorker: 5}
  process: {command: [cat]}
`

// offline runs a verb that needs no controller.
func offline(args ...string) (stdout, stderr string, code int) {
	var out, errs bytes.Buffer
	env := Env{Stdin: strings.NewReader(""), Stdout: &out, Stderr: &errs, Name: "queuemill"}
	code = Main(args, env)
	return out.String(), errs.String(), code
}

func writePools(t *testing.T) (five, ten string) {
	t.Helper()
	five, ten = filepath.Join(t.TempDir(), "five.yaml"), filepath.Join(t.TempDir(), "ten.yaml")
	for path, text := range map[string]string{five: poolManifest, ten: strings.Replace(poolManifest, "Worker: 5", "Worker: 10", 1)} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return five, ten
}

func TestSimulateComparesPolicies(t *testing.T) {
	five, ten := writePools(t)
	args := []string{"simulate", "-f", five, "-f", ten, "--burst", "30", "--service", "10s", "--start-up", "5s", "-o", "json"}
	page := filepath.Join(t.TempDir(), "out.html")
	args = append(args, "--chart", page)
	out, stderr, code := offline(args...)
	if code != 0 {
		t.Fatalf("exit %d: %s", code, stderr)
	}
	var s simulation
	if err := json.Unmarshal([]byte(out), &s); err != nil {
		t.Fatal(err)
	}
	if len(s.Pools) != 2 || s.Pools[0].Name != "five" || s.Pools[1].Name != "ten" {
		t.Fatalf("two policies of pools with one name are told apart by their files: %+v", s.Pools)
	}
	// 30 messages of 10 s: 6 workers take 5 rounds, 3 take 10, from 5 s on.
	for i, want := range []struct {
		workers int
		longest float64
	}{{6, 45}, {3, 95}} {
		got := s.Pools[i]
		if got.MaxWorkers != want.workers || got.Wait.Max != want.longest {
			t.Errorf("%s: %d workers, the longest wait %v s; want %+v", got.Name, got.MaxWorkers, got.Wait.Max, want)
		}
		if first := got.Changes[0]; first.To != want.workers || !strings.HasPrefix(first.Reason, "30 waiting + 0 running") {
			t.Errorf("%s: first %+v", got.Name, first)
		}
		if got.Cost <= 0 || got.AlwaysOn.Cost <= got.Cost*0.5 {
			t.Errorf("%s costs %v, always on %v", got.Name, got.Cost, got.AlwaysOn.Cost)
		}
	}
	if drawn, err := os.ReadFile(page); err != nil || strings.Count(string(drawn), "<polyline") != 6 {
		t.Errorf("the chart has not two lines in each of three panels: %v", err)
	}
	if again, _, _ := offline(args...); again != out {
		t.Error("the same simulation prints something else")
	}
}

func TestSimulateSaysWhatIsMissing(t *testing.T) {
	five, _ := writePools(t)
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"no file":       {nil, "no policy to simulate"},
		"no load":       {[]string{"-f", five, "--service", "1s"}, "exactly one load"},
		"two loads":     {[]string{"-f", five, "--burst", "1", "--day", "1", "--service", "1s"}, "exactly one load"},
		"no service":    {[]string{"-f", five, "--burst", "1"}, "needs a service time"},
		"a bad rate":    {[]string{"-f", five, "--steady", "5", "--service", "1s"}, `"5" is no rate`},
		"a bad start":   {[]string{"-f", five, "--burst", "1", "--service", "1s", "--start-up", "soon"}, `"soon" is no start-up time`},
		"no such price": {[]string{"-f", five, "--burst", "1", "--service", "1s", "--capacity", "mainframe"}, `no price for "mainframe"`},
		"a negative":    {[]string{"-f", five, "--burst", "-1", "--service", "1s"}, "a load has 1 to"},
	} {
		t.Run(name, func(t *testing.T) {
			_, stderr, code := offline(append([]string{"simulate"}, c.args...)...)
			if code != exitUsage || !strings.Contains(stderr, c.want) || !strings.Contains(stderr, "hint: ") {
				t.Errorf("exit %d: %s", code, stderr)
			}
		})
	}
}

func TestSimulateAndCostPrintTables(t *testing.T) {
	five, _ := writePools(t)
	out, stderr, code := offline("simulate", "-f", five, "--steady", "6/m", "--even", "--for", "10m", "--service", "20s", "-o", "wide")
	if code != 0 {
		t.Fatalf("exit %d: %s", code, stderr)
	}
	golden(t, "simulate.txt", out)
	out, stderr, code = offline("cost", "--cpu", "1", "--memory", "2Gi", "--hours", "10")
	if code != 0 {
		t.Fatalf("exit %d: %s", code, stderr)
	}
	golden(t, "cost.txt", out)
}
