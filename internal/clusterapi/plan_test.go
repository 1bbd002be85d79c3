package clusterapi

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/queuemill/queuemill/api/v1alpha1"
	"github.com/queuemill/queuemill/internal/httpapi"
	"github.com/queuemill/queuemill/internal/record"
)

func TestPrunePlan(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	finished := func(name, queueJob string, state record.State, ago time.Duration) record.Record {
		return record.Record{Name: name, Namespace: "a", QueueJob: queueJob, State: state, FinishedAt: now.Add(-ago)}
	}
	asked := finished("asked", "ping", record.Succeeded, time.Hour)
	asked.RetryRequested = true
	all := []record.Record{
		finished("young", "ping", record.Succeeded, time.Minute),
		finished("old", "ping", record.Succeeded, time.Hour),
		finished("older", "ping", record.Succeeded, 2*time.Hour),
		finished("failed", "ping", record.Failed, time.Hour),
		finished("orphan", "gone", record.Succeeded, time.Second),
		asked,
	}
	w := windows{{"a", "ping"}: 5 * time.Minute}
	p := w.plan(all, httpapi.PruneRequest{States: []record.State{record.Succeeded}}, now)
	if got := names(p.asked); !slices.Equal(got, []string{"older", "old"}) {
		t.Errorf("the controller is asked for %q", got)
	}
	if got := names(p.orphans); !slices.Equal(got, []string{"orphan"}) {
		t.Errorf("deleted here: %q", got)
	}
	want := &httpapi.Kept{InWindow: 1, WindowEndsAt: now.Add(4 * time.Minute), MaybeQueued: 1}
	if diff := cmp.Diff(want, p.result.Kept); diff != "" {
		t.Error(diff)
	}
	p = w.plan(all, httpapi.PruneRequest{States: []record.State{record.Succeeded, record.Failed}, OlderThanSeconds: 5400}, now)
	if got := names(p.asked); !slices.Equal(got, []string{"older"}) || p.orphans != nil || p.result.Kept != nil {
		t.Errorf("older than 90 minutes: %q, %q, %+v", got, names(p.orphans), p.result.Kept)
	}
}

func queueJob(namespace, name, url string, depth *v1alpha1.QueueCounts) v1alpha1.QueueJob {
	return v1alpha1.QueueJob{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec:       v1alpha1.QueueJobSpec{Queue: v1alpha1.QueueSource{SQS: &v1alpha1.SQSSource{URL: url}}},
		Status:     v1alpha1.QueueJobStatus{Queue: depth},
	}
}

func TestQueuesAreNamedForPeopleAndToldApart(t *testing.T) {
	depth := &v1alpha1.QueueCounts{Visible: 3, InFlight: 2, Delayed: 1}
	pool := func(namespace, name, url string, depth *v1alpha1.QueueCounts) v1alpha1.WorkerPool {
		qj := queueJob(namespace, name, url, depth)
		return v1alpha1.WorkerPool{ObjectMeta: qj.ObjectMeta, Spec: v1alpha1.WorkerPoolSpec{Queue: qj.Spec.Queue}, Status: v1alpha1.WorkerPoolStatus{Queue: depth}}
	}
	got := queuesOf(readersOf([]v1alpha1.QueueJob{
		queueJob("a", "one", "https://sqs.eu-west-1.amazonaws.com/1/ping", depth),
		queueJob("a", "two", "https://sqs.eu-west-1.amazonaws.com/1/ping", nil),
		queueJob("b", "one", "https://sqs.eu-west-1.amazonaws.com/2/twin", nil),
		queueJob("c", "one", "https://sqs.eu-west-1.amazonaws.com/3/twin", nil),
	}, []v1alpha1.WorkerPool{
		pool("a", "one", "https://sqs.eu-west-1.amazonaws.com/1/ping", nil),
		pool("a", "thumbs", "https://sqs.eu-west-1.amazonaws.com/1/images", depth),
	}))
	var all []string
	for _, q := range got {
		all = append(all, q.Name+" "+strings.Join(q.QueueJobs, "+")+" "+strings.Join(q.WorkerPools, "+")+" "+q.Error)
	}
	want := []string{
		"https://sqs.eu-west-1.amazonaws.com/2/twin one  " + unknownDepth,
		"https://sqs.eu-west-1.amazonaws.com/3/twin one  " + unknownDepth,
		"images  thumbs ",
		"ping one+two one ",
	}
	if diff := cmp.Diff(want, all); diff != "" {
		t.Error(diff)
	}
	if q := got[3]; q.Visible != 3 || q.InFlight != 2 || q.Delayed != 1 {
		t.Errorf("%+v", q)
	}
}

func TestIdle(t *testing.T) {
	empty := &v1alpha1.QueueCounts{}
	change := func(f func(*v1alpha1.QueueJob)) *v1alpha1.QueueJob {
		qj := queueJob("a", "ping", "https://example.invalid/1/ping", empty)
		f(&qj)
		return &qj
	}
	full := []metav1.Condition{{Type: "RecordsFull", Status: metav1.ConditionTrue}}
	for name, c := range map[string]struct {
		queueJob *v1alpha1.QueueJob
		want     bool
	}{
		"nothing to do":              {change(func(*v1alpha1.QueueJob) {}), true},
		"a job waits for room":       {change(func(q *v1alpha1.QueueJob) { q.Status.Jobs.Queued = 1 }), false},
		"a job runs":                 {change(func(q *v1alpha1.QueueJob) { q.Status.Jobs.Running = 1 }), false},
		"a message waits":            {change(func(q *v1alpha1.QueueJob) { q.Status.Queue = &v1alpha1.QueueCounts{Visible: 1} }), false},
		"a message is delayed":       {change(func(q *v1alpha1.QueueJob) { q.Status.Queue = &v1alpha1.QueueCounts{Delayed: 1} }), false},
		"the depth is not known":     {change(func(q *v1alpha1.QueueJob) { q.Status.Queue = nil }), false},
		"an edit is not seen":        {change(func(q *v1alpha1.QueueJob) { q.Generation = 2 }), false},
		"suspended, a message waits": {change(func(q *v1alpha1.QueueJob) { q.Spec.Suspend = true; q.Status.Queue = nil }), true},
		"full, a message waits":      {change(func(q *v1alpha1.QueueJob) { q.Status.Conditions = full; q.Status.Queue = nil }), true},
	} {
		if got := idle(c.queueJob); got != c.want {
			t.Errorf("%s: idle is %v", name, got)
		}
	}
}

func TestTheRightThatIsMissingIsNamedShortly(t *testing.T) {
	for words, want := range map[string]string{
		`list resource "queuejobs" in API group "queuemill.dev" in the namespace "a"`: "list queuejobs in namespace a",
		`get resource "pods/log" in API group "" in the namespace "a"`:                "get pods/log in namespace a",
		`list resource "jobs" in API group "batch" at the cluster scope`:              "list jobs in all namespaces",
		`do what nobody knows`: "do what nobody knows",
	} {
		if got := plainRight(words); got != want {
			t.Errorf("%s: %q, want %q", words, got, want)
		}
	}
}
