package operator_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/queuemill/queuemill/api/v1alpha1"
	"github.com/queuemill/queuemill/test/cluster"
)

// valid is a manifest that the table below breaks, a line each.
const valid = `
apiVersion: queuemill.dev/v1alpha1
kind: QueueJob
metadata: {name: ping}
spec:
  queue: {sqs: {url: "https://sqs.eu-west-1.amazonaws.com/123456789012/ping"}}
  maxActive: 10
  ack: OnCreate
  deduplicationWindow: 5m
  deletionPolicy: Orphan
  failedJobsHistoryLimit: 10
  breaker: {failures: 3, within: 5m, pause: 1m}
  message:
    format: [json]
    env: [{name: TARGET, fieldPath: target}]
    schema: {type: object}
  kubernetes: {jobTemplate: {spec: {template: {spec: {restartPolicy: Never, containers: [{name: a, image: b}]}}}}}
`

func TestAPIServerRefusesWhatIsWrongAndSaysWhy(t *testing.T) {
	c, _ := admin(t)
	ns := cluster.Namespace(t, cluster.Shared(t))
	for name, row := range map[string]struct{ old, wrong, want string }{
		"long name":       {"name: ping}", "name: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa}", "<nil>: Invalid value: metadata.name: at most 40 characters leave room for the job's own name behind it"},
		"name with a dot": {"name: ping}", "name: p.ing}", "<nil>: Invalid value: metadata.name: a name is lower case letters, digits and '-', and begins and ends with a letter or digit"},
		"no queue":        {`queue: {sqs: {url: "https://sqs.eu-west-1.amazonaws.com/123456789012/ping"}}`, "queue: {}", "spec.queue: Invalid value: say where the messages come from, as in sqs: {name: NAME}"},
		"url and name":    {`012/ping"}}`, `012/ping", name: ping}}`, "spec.queue.sqs: Invalid value: exactly one of url and name is wanted"},
		"neither":         {`url: "https://sqs.eu-west-1.amazonaws.com/123456789012/ping"`, "region: eu-west-1", "spec.queue.sqs: Invalid value: exactly one of url and name is wanted"},
		"no url":          {"https://sqs.eu-west-1.amazonaws.com/123456789012/ping", "ping", `[spec.queue.sqs.url: Invalid value: "ping": a queue's URL looks like https://sqs.eu-west-1.amazonaws.com/123456789012/NAME, spec.queue.sqs.url: Invalid value: "ping": a queue's URL ends with the queue's name]`},
		"password":        {"https://sqs", "https://a:b@sqs", "spec.queue.sqs: Invalid value: url: a queue's URL holds no credentials; they come from the environment, or by roleARN"},
		"query":           {`012/ping"`, `012/ping?a=b"`, `[spec.queue.sqs.url: Invalid value: "https://sqs.eu-west-1.amazonaws.com/123456789012/ping?a=b": a queue's URL has no ? and no #, spec.queue.sqs.url: Invalid value: "https://sqs.eu-west-1.amazonaws.com/123456789012/ping?a=b": a queue's URL ends with the queue's name]`},
		"region":          {`012/ping"`, `012/ping", region: "Europe"`, `spec.queue.sqs.region: Invalid value: "Europe": a region looks like eu-west-1`},
		"role":            {`012/ping"`, `012/ping", roleARN: "admin"`, `spec.queue.sqs.roleARN: Invalid value: "admin": a role looks like arn:aws:iam::123456789012:role/NAME`},
		"too many":        {"maxActive: 10", "maxActive: 100001", "spec.maxActive: Invalid value: 100001: spec.maxActive in body should be less than or equal to 100000"},
		"none":            {"maxActive: 10", "maxActive: 0", "spec.maxActive: Invalid value: 0: spec.maxActive in body should be greater than or equal to 1"},
		"ack":             {"ack: OnCreate", "ack: Later", `[spec.ack: Unsupported value: "Later": supported values: "OnCreate", "OnSuccess"]`},
		"deletionPolicy":  {"deletionPolicy: Orphan", "deletionPolicy: Keep", `[spec.deletionPolicy: Unsupported value: "Keep": supported values: "Orphan", "Delete"]`},
		"history":         {"failedJobsHistoryLimit: 10", "failedJobsHistoryLimit: 0", "spec.failedJobsHistoryLimit: Invalid value: 0: spec.failedJobsHistoryLimit in body should be greater than or equal to 1"},
		"unit":            {"deduplicationWindow: 5m", "deduplicationWindow: 5 minutes", `spec.deduplicationWindow: Invalid value: "5 minutes": a duration looks like 30s, 5m or 1h30m`},
		"number":          {"deduplicationWindow: 5m", "deduplicationWindow: 300", `[spec.deduplicationWindow: Invalid value: "integer": spec.deduplicationWindow in body must be of type string: "integer"]`},
		"long window":     {"deduplicationWindow: 5m", "deduplicationWindow: 337h", `spec.deduplicationWindow: Invalid value: "337h": must be 0s to 336h`},
		"overflow":        {"deduplicationWindow: 5m", "deduplicationWindow: 99999999999h", `spec.deduplicationWindow: Invalid value: "string": type conversion error from 'string' to 'google.protobuf.Duration' evaluating rule: must be 0s to 336h`},
		"breaker":         {"within: 5m", "within: 25h", `spec.breaker.within: Invalid value: "25h": must be 1s to 24h`},
		"format":          {"format: [json]", "format: [xml]", `[spec.message.format[0]: Unsupported value: "xml": supported values: "json", "text", "sns", "s3Event"]`},
		"variable":        {"name: TARGET", "name: 1TARGET", `spec.message.env[0].name: Invalid value: "1TARGET": a variable's name is letters, digits and _, and does not begin with a digit`},
		"path":            {"name: TARGET", "name: PATH", `spec.message.env[0].name: Invalid value: "PATH": a message must not choose which program or library is loaded`},
		"loader":          {"name: TARGET", "name: LD_PRELOAD", `spec.message.env[0].name: Invalid value: "LD_PRELOAD": a message must not choose which program or library is loaded`},
		"ours":            {"name: TARGET", "name: QUEUEMILL_JOB", `spec.message.env[0].name: Invalid value: "QUEUEMILL_JOB": QUEUEMILL_ is for the variables that Queuemill sets`},
		"twice":           {"fieldPath: target}]", "fieldPath: target}, {name: TARGET, fieldPath: b}]", `spec.message.env[1]: Duplicate value: {"name":"TARGET"}`},
		"no field":        {"fieldPath: target", `fieldPath: ""`, `spec.message.env[0].fieldPath: Invalid value: "": spec.message.env[0].fieldPath in body should be at least 1 chars long`},
		"no template":     {"kubernetes: {jobTemplate", "kubernetes: {template", `strict decoding error: unknown field "spec.kubernetes.template"`},
		"both": {"kubernetes: {jobTemplate", `process: {command: [date]}
  kubernetes: {jobTemplate`, "spec.kubernetes: Invalid value: process is set already; exactly one of process and kubernetes is wanted"},
		"neither template": {`  kubernetes: {jobTemplate: {spec: {template: {spec: {restartPolicy: Never, containers: [{name: a, image: b}]}}}}}
`, "", "spec: Invalid value: say where the job runs: exactly one of process and kubernetes is wanted"},
		"unknown field":    {"maxActive: 10", "maxactive: 10", `strict decoding error: unknown field "spec.maxactive"`},
		"template is text": {"jobTemplate: {spec: {template: {spec: {restartPolicy: Never, containers: [{name: a, image: b}]}}}}", "jobTemplate: hello", `[spec.kubernetes.jobTemplate: Invalid value: "string": spec.kubernetes.jobTemplate in body must be of type object: "string"]`},
		"schema is a list": {"schema: {type: object}", "schema: []", `[spec.message.schema: Invalid value: "array": spec.message.schema in body must be of type object: "array"]`},
		"process timeout":  {"kubernetes: {jobTemplate: {spec: {template: {spec: {restartPolicy: Never, containers: [{name: a, image: b}]}}}}}", "process: {command: [date], timeout: soon}", `spec.process.timeout: Invalid value: "soon": a duration looks like 30s, 5m or 1h30m`},
		"process retries":  {"kubernetes: {jobTemplate: {spec: {template: {spec: {restartPolicy: Never, containers: [{name: a, image: b}]}}}}}", "process: {command: [date], retries: 99999999999999999999}", `[spec.process.retries: Invalid value: "number": spec.process.retries in body must be of type integer: "number", <nil>: Invalid value: "": Checked value must be of type integer (default format) in spec.process.retries, spec.process.retries: Invalid value: 1e+20: spec.process.retries in body should be less than or equal to 1000]`},
	} {
		t.Run(name, func(t *testing.T) {
			text := strings.Replace(valid, row.old, row.wrong, 1)
			if text == valid {
				t.Fatalf("there is no %q in the manifest", row.old)
			}
			err := c.Create(t.Context(), object(t, ns, text), strictly)
			if err == nil {
				t.Fatalf("was taken; want %q", row.want)
			}
			_, got, _ := strings.Cut(err.Error(), ": ") // QueueJob.queuemill.dev "ping" is invalid
			got = strings.Replace(got, notChecked, "", 1)
			if got != row.want {
				t.Errorf("got  %s\nwant %s", got, row.want)
			}
		})
	}
}

// notChecked is what the API server adds where the schema was not met.
const notChecked = ", <nil>: Invalid value: null: some validation rules were not checked because the object was invalid; correct the existing errors to complete validation"

// strictly has the API server refuse unknown fields, as kubectl does.
const strictly = client.FieldValidation("Strict")

func object(t *testing.T, namespace, text string) *unstructured.Unstructured {
	t.Helper()
	var o unstructured.Unstructured
	if err := yaml.Unmarshal([]byte(text), &o.Object); err != nil {
		t.Fatal(err)
	}
	o.SetNamespace(namespace)
	return &o
}

func TestAPIServerTakesWhatIsRightAndFillsIn(t *testing.T) {
	c, _ := admin(t)
	ns := cluster.Namespace(t, cluster.Shared(t))
	const least = `
apiVersion: queuemill.dev/v1alpha1
kind: QueueJob
metadata: {name: least}
spec:
  queue: {sqs: {name: least.fifo}}
  breaker: {}
  kubernetes: {jobTemplate: {spec: {template: {spec: {restartPolicy: Never, containers: [{name: a, image: b, anything: {it: [likes]}}]}}}}}
`
	for _, text := range []string{valid, least} {
		o := object(t, ns, text)
		if err := c.Create(t.Context(), o, strictly); err != nil {
			t.Fatal(err)
		}
	}
	var got, want v1alpha1.QueueJob
	if err := c.Get(t.Context(), client.ObjectKey{Namespace: ns, Name: "least"}, &got); err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal([]byte(least), &want); err != nil {
		t.Fatal(err)
	}
	want.SetDefaults()
	want.Spec.Message = v1alpha1.MessageSpec{} // its default follows from other fields: the controller's
	if diff := cmp.Diff(want.Spec, got.Spec, cmpopts.EquateEmpty(), cmp.Comparer(sameJSON)); diff != "" {
		t.Errorf("defaults of the API server are not SetDefaults's: %s", diff)
	}
}

// sameJSON ignores the order of keys, which the API server does not keep.
func sameJSON(a, b runtime.RawExtension) bool {
	var x, y any
	return json.Unmarshal(a.Raw, &x) == nil && json.Unmarshal(b.Raw, &y) == nil && cmp.Equal(x, y)
}

func TestAPIServerTakesEveryExample(t *testing.T) {
	c, _ := admin(t)
	ns := cluster.Namespace(t, cluster.Shared(t))
	files, err := filepath.Glob("../../examples/*/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatal("no examples", err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, part := range strings.Split("\n"+string(text), "\n---") {
			o := object(t, ns, part)
			if o.GetKind() != v1alpha1.KindQueueJob {
				continue
			}
			if err := c.Create(t.Context(), o, strictly); err != nil {
				t.Errorf("%s: %v", file, err)
			}
			if err := c.Delete(t.Context(), o); err != nil {
				t.Errorf("%s: %v", file, err)
			}
		}
	}
}
