package doctor

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/queuemill/queuemill/api/v1alpha1"
	"github.com/queuemill/queuemill/internal/httpapi"
	"github.com/queuemill/queuemill/internal/httpapi/client"
)

func TestWorkerPool(t *testing.T) {
	onTarget := func(wp *httpapi.WorkerPool) { wp.RunsOn = "scaleTargetRef" }
	well := []httpapi.Condition{{Type: "Ready", Status: true}, {Type: "SourceHealthy", Status: true}, {Type: "TemplateValid", Status: true}, {Type: "ScalingActive", Status: true}}
	not := func(reason string, more ...httpapi.Condition) []httpapi.Condition {
		return append([]httpapi.Condition{{Type: "Ready", Reason: reason, Message: "so it is"}}, more...)
	}
	for name, c := range map[string]struct {
		change     func(wp *httpapi.WorkerPool)
		conditions []httpapi.Condition
		want       []string
		hint       string
	}{
		"well":               {nil, well, []string{"ready ok", "visibility ok"}, ""},
		"never seen":         {nil, not("NotSeen"), []string{"ready problem", "visibility ok"}, "--worker-image"},
		"not allowed":        {nil, not("NotAllowed"), []string{"ready problem", "visibility ok"}, "allow-list"},
		"another autoscaler": {onTarget, not("AlsoScaled", httpapi.Condition{Type: "TargetOwned", Reason: "AlsoScaled", Message: "an HPA"}), []string{"target problem"}, "docs/WORKERPOOLS.md"},
		"no such field":      {nil, not("InvalidSpec"), []string{"ready problem", "visibility ok"}, "describe"},
		"no pod starts":      {nil, not("WorkersNotReady"), []string{"ready problem", "visibility ok"}, "kubectl get pods -n team -l queuemill.dev/workerpool=thumbs"},
		"no queue":           {nil, not("SourceUnhealthy", httpapi.Condition{Type: "SourceHealthy", Message: "no such queue"}), []string{"source problem", "visibility ok"}, "identity"},
		"a bad template":     {nil, not("TemplateInvalid", httpapi.Condition{Type: "TemplateValid"}), []string{"template problem", "visibility ok"}, "spec.kubernetes.template"},
		"suspended":          {nil, not("Suspended", httpapi.Condition{Type: "Suspended", Status: true}), []string{"suspended warning", "visibility ok"}, "queuemill resume workerpool/thumbs"},
		"a second writer": {
			func(wp *httpapi.WorkerPool) { onTarget(wp); wp.Trouble = "argocd writes it too" },
			append(slices.Clone(well), httpapi.Condition{Type: "TargetOwned", Reason: "AlsoWritten", Message: "argocd writes it too"}),
			[]string{"target warning"},
			"setting for each tool",
		},
		"some don't work": {func(wp *httpapi.WorkerPool) { wp.Trouble = "no such queue" }, well, []string{"ready ok", "workers warning", "visibility ok"}, "kubectl get pods"},
		"silent": {
			func(wp *httpapi.WorkerPool) { wp.Workers = v1alpha1.WorkerCounts{Ready: 3, Unknown: 2} }, well,
			[]string{"ready ok", "silent warning", "visibility ok"},
			"NetworkPolicy",
		},
		"silent here": {
			func(wp *httpapi.WorkerPool) { wp.RunsOn, wp.Workers.Unknown = "process", 1 }, well,
			[]string{"ready ok", "silent warning", "visibility ok"},
			"pools/thumbs of the data directory",
		},
		"held briefly":    {func(wp *httpapi.WorkerPool) { wp.VisibilitySeconds = 5 }, well, []string{"ready ok", "visibility warning"}, "worker.visibility"},
		"held for long":   {func(wp *httpapi.WorkerPool) { wp.VisibilitySeconds = 7200 }, well, []string{"ready ok", "visibility warning"}, "worker.visibility"},
		"somebody else's": {func(wp *httpapi.WorkerPool) { wp.RunsOn, wp.VisibilitySeconds = "scaleTargetRef", 5 }, well, []string{"ready ok"}, ""},
	} {
		wp := httpapi.WorkerPool{Name: "thumbs", Namespace: "team", RunsOn: "kubernetes", MaxWorkers: 3, VisibilitySeconds: 60}
		if c.change != nil {
			c.change(&wp)
		}
		checks := workerPool(&wp, c.conditions)
		if got := levels(checks); !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
		hints := ""
		for _, check := range checks {
			hints += check.Hint + "\n"
			if check.About != "WorkerPool team/thumbs" {
				t.Errorf("%s: about %q", name, check.About)
			}
		}
		if c.hint != "" && !strings.Contains(hints, c.hint) {
			t.Errorf("%s: %q does not say %q", name, hints, c.hint)
		}
	}
}

// Beside its own controller a pool has no conditions: what the API shows of it
// is judged alike, and its queue by what workers need of it.
func TestPoolsOnThisMachine(t *testing.T) {
	pool := func(name, queue string, change func(wp *httpapi.WorkerPool)) httpapi.WorkerPool {
		wp := httpapi.WorkerPool{Name: name, Queue: queue, RunsOn: "process", MaxWorkers: 3, VisibilitySeconds: 60, Desired: 1}
		change(&wp)
		return wp
	}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(httpapi.Status{
			Version: "test",
			WorkerPools: []httpapi.WorkerPool{
				pool("blind", "far", func(wp *httpapi.WorkerPool) { wp.SourceError = "no such queue" }),
				pool("crash", "images", func(wp *httpapi.WorkerPool) { wp.Trouble = "no such program" }),
				pool("limps", "images", func(wp *httpapi.WorkerPool) { wp.Trouble, wp.Workers.Ready = "a worker can't receive", 1 }),
				pool("rests", "mail", func(wp *httpapi.WorkerPool) { wp.Suspended, wp.Trouble = true, "old" }),
				pool("leaves", "mail", func(wp *httpapi.WorkerPool) { wp.Leaving = true }),
			},
			Queues: []httpapi.Queue{
				{Name: "images", WorkerPools: []string{"crash", "limps"}},
				{Name: "mail", QueueJobs: []string{"ping"}, WorkerPools: []string{"rests"}},
				{Name: "alone"},
				{Name: "far", WorkerPools: []string{"blind"}, Error: "no such queue"}, // said once
			},
		})
	}))
	defer s.Close()
	c, err := client.New(s.URL, "")
	if err != nil {
		t.Fatal(err)
	}
	r, err := Server(t.Context(), c, "test")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, check := range r.Checks {
		if check.Level != OK {
			got = append(got, strings.TrimPrefix(check.About, "WorkerPool ")+" "+check.Name+" "+string(check.Level))
		}
	}
	want := []string{
		"blind source problem", "crash ready problem", "limps workers warning", "rests suspended warning", "leaves Terminating warning",
		"images readers warning", "images dead-letter-queue warning", "mail readers warning", "mail dead-letter-queue warning",
	}
	if !slices.Equal(got, want) {
		t.Errorf("%q\nwant\n%q", got, want)
	}
}
