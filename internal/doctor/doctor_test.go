package doctor

import (
	"encoding/json"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/queuemill/queuemill/api/v1alpha1"
	"github.com/queuemill/queuemill/internal/httpapi"
)

// levels are the checks as "name level".
func levels(checks []Check) []string {
	var all []string
	for _, c := range checks {
		all = append(all, c.Name+" "+string(c.Level))
	}
	return all
}

func TestQueueSettings(t *testing.T) {
	const day = 24 * 3600.0
	sound := httpapi.Queue{Name: "ping", DeadLetterQueue: "ping-dlq", MaxReceiveCount: 5, RetentionSeconds: 4 * day, VisibilityTimeoutSeconds: 30}
	long := httpapi.Queue{Name: "ping-dlq", RetentionSeconds: 14 * day}
	short := httpapi.Queue{Name: "ping-dlq", RetentionSeconds: 4 * day}
	once := sound
	once.MaxReceiveCount = 1
	bare := httpapi.Queue{Name: "ping", RetentionSeconds: 4 * day}
	for name, c := range map[string]struct {
		queue       httpapi.Queue
		ack         v1alpha1.AckMode
		deadLetters *httpapi.Queue
		want        []string
	}{
		"all is well":                    {sound, v1alpha1.AckOnSuccess, &long, []string{"queue ok", "visibility ok", "dead-letter-queue ok", "max-receive-count ok"}},
		"dead letters go too soon":       {sound, v1alpha1.AckOnSuccess, &short, []string{"queue ok", "visibility ok", "dead-letter-queue warning", "max-receive-count ok"}},
		"one receive":                    {once, v1alpha1.AckOnSuccess, &long, []string{"queue ok", "visibility ok", "dead-letter-queue ok", "max-receive-count warning"}},
		"one receive is enough OnCreate": {once, v1alpha1.AckOnCreate, &long, []string{"queue ok", "visibility ok", "dead-letter-queue ok"}},
		"dead letters out of sight":      {sound, v1alpha1.AckOnCreate, nil, []string{"queue ok", "visibility ok", "dead-letter-queue unknown"}},
		"workers, all is well":           {sound, "", &long, []string{"queue ok", "dead-letter-queue ok", "max-receive-count ok"}},
		"workers, one receive":           {once, "", &long, []string{"queue ok", "dead-letter-queue ok", "max-receive-count warning"}},
		"workers, no dead letters":       {bare, "", nil, []string{"queue ok", "dead-letter-queue warning"}},
		"no dead letters, OnSuccess":     {bare, v1alpha1.AckOnSuccess, nil, []string{"queue ok", "dead-letter-queue warning"}},
		"no dead letters, OnCreate":      {bare, v1alpha1.AckOnCreate, nil, []string{"queue ok", "dead-letter-queue ok"}},
		"no answer":                      {httpapi.Queue{Name: "ping", Error: "no such queue"}, v1alpha1.AckOnCreate, nil, []string{"queue problem"}},
	} {
		if got := levels(queueSettings(&c.queue, reading{ack: c.ack, workers: c.ack == ""}, c.deadLetters)); !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

func TestConditions(t *testing.T) {
	for name, c := range map[string]struct {
		conditions []httpapi.Condition
		want       []string
	}{
		"well":                 {[]httpapi.Condition{{Type: "Ready", Status: true}, {Type: "SourceHealthy", Status: true}, {Type: "TemplateValid", Status: true}, {Type: "RecordsFull"}}, []string{"ready ok"}},
		"the settings it saw":  {[]httpapi.Condition{{Type: "Ready", Status: true}, {Type: "SourceHealthy", Status: true, Message: "visibility 30s"}}, []string{"source ok", "ready ok"}},
		"the cause alone":      {[]httpapi.Condition{{Type: "Ready"}, {Type: "SourceHealthy", Message: "no such queue"}}, []string{"source problem"}},
		"not ready, unsaid":    {[]httpapi.Condition{{Type: "Ready", Reason: "NotAllowed"}}, []string{"ready problem"}},
		"a bad template":       {[]httpapi.Condition{{Type: "Ready"}, {Type: "TemplateValid"}}, []string{"template problem"}},
		"suspended":            {[]httpapi.Condition{{Type: "Ready"}, {Type: "Suspended", Status: true}}, []string{"suspended warning"}},
		"what nobody knows":    {[]httpapi.Condition{{Type: "Ready", Status: true}, {Type: "Odd", Status: true}}, []string{"ready ok"}},
		"what can't be told":   {[]httpapi.Condition{{Type: "Ready", Status: true}, {Type: "TemplateValid", Unknown: true}}, []string{"TemplateValid unknown", "ready ok"}},
		"full and the breaker": {[]httpapi.Condition{{Type: "Ready"}, {Type: "RecordsFull", Status: true}, {Type: "BreakerOpen", Status: true}}, []string{"records problem", "breaker warning"}},
	} {
		if got := levels(conditions(&httpapi.QueueJob{Name: "ping", Conditions: c.conditions})); !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

func TestLease(t *testing.T) {
	template := func(ack v1alpha1.AckMode, text string) *v1alpha1.QueueJob {
		raw, err := yaml.YAMLToJSON([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		qj := &v1alpha1.QueueJob{Spec: v1alpha1.QueueJobSpec{Ack: ack, Kubernetes: &v1alpha1.KubernetesTemplate{}}}
		qj.Spec.Kubernetes.JobTemplate.Raw = raw
		return qj
	}
	for name, c := range map[string]struct {
		queueJob *v1alpha1.QueueJob
		want     []string
	}{
		"an hour":           {template(v1alpha1.AckOnSuccess, "spec: {activeDeadlineSeconds: 3600}"), []string{"deadline ok"}},
		"11 h 30 min":       {template(v1alpha1.AckOnSuccess, "spec: {activeDeadlineSeconds: 41400}"), []string{"deadline ok"}},
		"a second too long": {template(v1alpha1.AckOnSuccess, "spec: {activeDeadlineSeconds: 41401}"), []string{"deadline problem"}},
		"none":              {template(v1alpha1.AckOnSuccess, "spec: {}"), []string{"deadline warning"}},
		"Kueue":             {template(v1alpha1.AckOnSuccess, "{metadata: {labels: {kueue.x-k8s.io/queue-name: q}}, spec: {activeDeadlineSeconds: 60}}"), []string{"deadline ok", "quota-queue warning"}},
		"OnCreate":          {template(v1alpha1.AckOnCreate, "metadata: {labels: {kueue.x-k8s.io/queue-name: q}}"), nil},
	} {
		if got := levels(lease(c.queueJob)); !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

func TestClock(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for skew, want := range map[time.Duration]Level{
		0: OK, 4 * time.Second: OK, -4 * time.Second: OK, time.Minute: Warning, -time.Minute: Warning, 6 * time.Minute: Problem, -6 * time.Minute: Problem,
	} {
		if got := clock("it", now.Add(skew), now, 0).Level; got != want {
			t.Errorf("%v apart: %s, want %s", skew, got, want)
		}
	}
	if got := clock("it", now.Add(-20*time.Second), now, 30*time.Second).Level; got != OK {
		t.Errorf("an answer that took half a minute: %s", got)
	}
}

func TestLeader(t *testing.T) {
	now := time.Now()
	lease := func(holder string, ago time.Duration) *coordinationv1.Lease {
		seconds, renewed := int32(4), metav1.NewMicroTime(now.Add(-ago))
		return &coordinationv1.Lease{Spec: coordinationv1.LeaseSpec{HolderIdentity: &holder, LeaseDurationSeconds: &seconds, RenewTime: &renewed}}
	}
	for name, c := range map[string]struct {
		lease *coordinationv1.Lease
		want  string
	}{
		"fresh":    {lease("pod", time.Second), "controller ok"},
		"stale":    {lease("pod", time.Minute), "controller problem"},
		"released": {lease("", time.Second), "controller problem"},
		"ahead":    {lease("pod", -time.Minute), "clock warning"},
		"new":      {&coordinationv1.Lease{}, "controller problem"},
	} {
		if got := levels([]Check{leader(c.lease, now)}); got[0] != c.want {
			t.Errorf("%s: %s, want %s", name, got[0], c.want)
		}
	}
}

func TestServerVersion(t *testing.T) {
	for minor, want := range map[string]Level{"31": Problem, "32": OK, "36": OK, "34+": OK, "odd": OK} {
		if got := serverVersion("here", minor, "v1."+minor).Level; got != want {
			t.Errorf("1.%s: %s, want %s", minor, got, want)
		}
	}
}

// published is what an API server says of a shipped CRD.
func published(t *testing.T, kind string) map[string]any {
	t.Helper()
	data, err := os.ReadFile("../../deploy/kubernetes/crds/queuemill.dev_" + strings.ToLower(kind) + "s.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var crd struct {
		Spec struct {
			Versions []struct {
				Schema struct {
					OpenAPIV3Schema map[string]any `json:"openAPIV3Schema"`
				} `json:"schema"`
			} `json:"versions"`
		} `json:"spec"`
	}
	if err := yaml.Unmarshal(data, &crd); err != nil {
		t.Fatal(err)
	}
	return crd.Spec.Versions[0].Schema.OpenAPIV3Schema
}

func TestSchema(t *testing.T) {
	properties := func(node map[string]any) map[string]any { return node["properties"].(map[string]any) }
	for name, c := range map[string]struct {
		kind   int
		change func(spec map[string]any)
		want   Level
		says   string
	}{
		"the shipped one":  {0, func(map[string]any) {}, OK, "QueueJob"},
		"the shipped pool": {1, func(map[string]any) {}, OK, "WorkerPool"},
		"an older pool":    {1, func(spec map[string]any) { delete(spec, "maxWorkers") }, Problem, "spec.maxWorkers"},
		"older":            {0, func(spec map[string]any) { delete(spec, "deduplicationWindow") }, Problem, "spec.deduplicationWindow"},
		"older within": {0, func(spec map[string]any) {
			delete(properties(properties(spec["queue"].(map[string]any))["sqs"].(map[string]any)), "roleARN")
		}, Problem, "spec.queue.sqs.roleARN"},
		"newer": {0, func(spec map[string]any) { spec["priority"] = map[string]any{"type": "integer"} }, Warning, "spec.priority"},
	} {
		k := kinds[c.kind]
		node := published(t, k.name)
		c.change(properties(properties(node)["spec"].(map[string]any)))
		document, err := json.Marshal(map[string]any{"components": map[string]any{"schemas": map[string]any{"dev.queuemill.v1alpha1." + k.name: node}}})
		if err != nil {
			t.Fatal(err)
		}
		got, err := k.schema(document)
		if err != nil || got.Level != c.want || !strings.Contains(got.Message, c.says) {
			t.Errorf("%s: %+v, %v; want %s of %q", name, got, err, c.want, c.says)
		}
	}
	for i, want := range []Level{Problem, Warning} { // QueueJobs do without WorkerPools
		if got, err := kinds[i].schema([]byte("{}")); err != nil || got.Level != want {
			t.Errorf("without %s: %+v, %v", kinds[i].name, got, err)
		}
	}
}

func TestMissingRightsAreNamedByResource(t *testing.T) {
	right := func(verb, resource string) authorizationv1.ResourceAttributes {
		return authorizationv1.ResourceAttributes{Verb: verb, Resource: resource}
	}
	got := missingText([]authorizationv1.ResourceAttributes{right("get", "jobs"), right("list", "pods"), right("patch", "jobs"), right("delete", "jobs")},
		[]bool{false, false, true, false})
	if want := []string{"jobs (get, delete)", "pods (list)"}; !reflect.DeepEqual(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}
