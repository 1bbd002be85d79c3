package cli

import (
	"bytes"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/queuemill/queuemill/api/v1alpha1"
	"github.com/queuemill/queuemill/internal/httpapi"
)

func TestAPoolAtAGlance(t *testing.T) {
	now := time.Unix(1e9, 0)
	next := metav1.NewMicroTime(now.Add(212 * time.Second))
	decided := &v1alpha1.ScalingDecision{Desired: 6, Reason: "23 waiting + 4 running over 5 per worker wants 6", NextChange: &next}
	for want, wp := range map[string]httpapi.WorkerPool{
		"-": {},
		"23 waiting + 4 running over 5 per worker wants 6 (next change in 3m32s)": {Decision: decided},
		"Suspended": {Suspended: true, Decision: decided},
		"queue: unreachable; 23 waiting + 4 running over 5 per worker wants 6 (next change in 3m32s)":       {SourceError: "unreachable", Decision: decided},
		"workers: no such program; 23 waiting + 4 running over 5 per worker wants 6 (next change in 3m32s)": {Trouble: "no such program", Decision: decided},
		"in no manifest: its workers leave when they are idle":                                              {Leaving: true},
	} {
		if got := poolText(&wp, now); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	if got := poolText(&httpapi.WorkerPool{Decision: decided}, now.Add(time.Hour)); strings.Contains(got, "next change") {
		t.Errorf("a change that was possible an hour ago is still to come: %q", got)
	}
}

func TestStatusShowsPoolsBetweenQueueJobsAndQueues(t *testing.T) {
	var out, said bytes.Buffer
	p := &program{env: Env{Stdout: &out, Stderr: &said}}
	s := httpapi.Status{
		WorkerPools: []httpapi.WorkerPool{{
			Name: "thumbs", Queue: "images", RunsOn: "process", MaxWorkers: 10, Desired: 6, File: "pool.yaml",
			Workers: v1alpha1.WorkerCounts{Starting: 1, Ready: 5, Busy: 4, Retiring: 2, Outdated: 3}, Messages: &v1alpha1.QueueCounts{Visible: 23, InFlight: 4, Delayed: 9},
			Decision: &v1alpha1.ScalingDecision{Desired: 6, Reason: "27 over 5 wants 6"},
		}},
		Queues: []httpapi.Queue{{Name: "images", QueueJobs: []string{"ping"}, WorkerPools: []string{"thumbs"}}},
	}
	if err := p.printStatus(s, true); err != nil {
		t.Fatal(err)
	}
	var lines []string
	for l := range strings.Lines(out.String()) {
		lines = append(lines, strings.Join(strings.Fields(l), " "))
	}
	want := []string{
		"WORKERPOOL QUEUE DESIRED READY BUSY RETIRING BACKLOG DECISION STARTING UNKNOWN OUTDATED MIN MAX RUNS ON FILE",
		"thumbs images 6 5 4 2 27 27 over 5 wants 6 1 0 3 0 10 process pool.yaml",
		"",
		"QUEUE VISIBLE IN FLIGHT DELAYED OLDEST DEAD-LETTER QUEUE READ BY FIFO URL",
		"images 0 0 0 - - ping, workerpool/thumbs false -",
	}
	if strings.Join(lines, "\n") != strings.Join(want, "\n") || said.Len() > 0 {
		t.Errorf("%s\n%s", strings.Join(lines, "\n"), &said)
	}
	if names := p.statusResult(s).names; len(names) != 1 || names[0] != "workerpool/thumbs" {
		t.Errorf("names %q", names)
	}
}
